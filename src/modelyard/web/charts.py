"""Charts as Vega-Lite specifications in our look: lines with bands and events, bars, histogram pairs, scatter.

Owns the specifications and how they are drawn without a browser; the same one is drawn on a page, in a PDF, in a notebook.
Colours are tokens (`var(--series-1)`), so a drawing on a page follows its theme.
"""

import functools
import importlib
import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from markupsafe import Markup

from modelyard.core.clock import SECOND, Instant
from modelyard.web.tokens import resolved

Json = dict[str, object]
VERSION = "6.4"
WIDTH = 820
COLOURS = 4
FONT = "Inter, system-ui, sans-serif"
DAY = 86400.0 * SECOND
LABEL_ROW = 13
LABEL_ROOM = 0.13
CONFIG: Json = {
    "font": FONT,
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--ink-3)", "labelFontSize": 11, "titleColor": "var(--ink-2)", "titleFontSize": 11, "titleFontWeight": "normal",
        "gridColor": "var(--grid)", "domainColor": "var(--line-strong)", "tickColor": "var(--line-strong)", "labelPadding": 6,
    },
    "axisY": {
        "domain": False, "ticks": False, "tickCount": 5, "titleAngle": 0,
        "titleAlign": "left", "titleAnchor": "end", "titleY": -14, "titleX": -30,
    },
    "axisX": {"grid": False, "tickSize": 4},
    "text": {"fontSize": 11, "fill": "var(--ink-3)"},
}  # fmt: skip


class Chart(msgspec.Struct, frozen=True, kw_only=True):
    """A specification, what it shows in one sentence, its keys as (word, style) pairs, and its width where no browser sets one."""

    label: str
    spec: Json
    keys: tuple[tuple[str, str], ...] = ()
    width: int = WIDTH


class Point(msgspec.Struct, frozen=True):
    """A value at an instant or a step, with its interval where it is an estimate. A value of `None` breaks the line."""

    x: float
    y: float | None
    low: float | None = None
    high: float | None = None


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """A named line."""

    name: str
    points: Sequence[Point]
    is_dashed: bool = False


class Event(msgspec.Struct, frozen=True):
    """Something that happened, marked on the axis of time: a release, an alarm."""

    at: Instant
    word: str
    tone: Literal["idle", "bad"] = "idle"


class Band(msgspec.Struct, frozen=True):
    """A range of values drawn behind the lines, such as the approved one."""

    name: str
    low: float
    high: float


class Bar(msgspec.Struct, frozen=True):
    """A named length."""

    name: str
    value: float
    tone: Literal["", "good", "warn", "bad"] = ""


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """A bin of two samples: its edges, and the share of either sample that lies in it."""

    low: float
    high: float
    reference: float
    current: float


class Dot(msgspec.Struct, frozen=True, kw_only=True):
    """A named point in a plane; `group` sets its colour."""

    x: float
    y: float
    name: str
    group: str = ""


class Plane(msgspec.Struct, frozen=True, kw_only=True):
    """How the axes of a chart read: their titles, the numbers' format (d3-format), and the height of the drawing."""

    x: str = ""
    y: str = ""
    format: str = ""
    is_time: bool = True
    height: int = 200
    width: int = WIDTH


def lines(label: str, series: Sequence[Series], plane: Plane, *, band: Band | None = None, events: Sequence[Event] = ()) -> Chart:
    """A chart of lines over time or steps, with intervals around estimates, a band behind and events as marks.

    Series are told apart by colour in their order and by dashes; `keys` names them. Values at one x are shown together.
    """
    places = [point.x for line in series for point in line.points] + [float(event.at) for event in events]
    x = _x(plane, places)
    layers: list[Json] = [_band(band)] if band else []
    for i, line in enumerate(series):
        layers += _line(i, line, x, plane)
    if events:
        layers += _events(events, x, places)
    layers.append(_hover(series, x, plane))
    keys = [(line.name, f"key-{i % COLOURS + 1}{' dashed' if line.is_dashed else ''}") for i, line in enumerate(series)]
    shown = (*keys, *([(band.name, "block")] if band else []))
    return _chart(label, {"data": {"values": _rows(series, 1000 if plane.is_time else 1)}, "layer": layers}, plane, shown)


def bars(label: str, items: Sequence[Bar], plane: Plane, *, limit: float | None = None) -> Chart:
    """Named lengths side by side, in their order; `limit` is drawn across as the line that a bar should not pass."""
    values = [{"name": item.name, "value": item.value, "tone": item.tone} for item in items]
    y: Json = {
        "field": "name",
        "type": "nominal",
        "sort": None,
        "axis": {"title": None, "labelLimit": 180, "domain": False, "ticks": False},
    }
    x: Json = {"field": "value", "type": "quantitative", "axis": _axis(plane.x, plane.format, grid=True)}
    tones: Json = {"domain": ["", "good", "warn", "bad"], "range": ["var(--series-1)", "var(--good)", "var(--warn)", "var(--bad)"]}
    colour: Json = {"field": "tone", "type": "nominal", "legend": None, "scale": tones}
    tip = [{"field": "name", "title": "column"}, {"field": "value", "title": plane.x or "value", "format": plane.format}]
    layers: list[Json] = [
        {
            "mark": {"type": "bar", "height": {"band": 0.55}, "cornerRadiusEnd": 2},
            "encoding": {"x": x, "y": y, "color": colour, "tooltip": tip},
        }
    ]
    if limit is not None:
        layers.append({"mark": {"type": "rule", "color": "var(--bad)", "strokeDash": [3, 3]}, "encoding": {"x": {"datum": limit}}})
    sized = msgspec.structs.replace(plane, height=max(48, 26 * len(items)))
    return _chart(label, {"data": {"values": values}, "layer": layers}, sized, ())


def histograms(label: str, bins: Sequence[Bin], plane: Plane) -> Chart:
    """Two samples over the same bins: the reference as filled bars, the current one as a stepped line over them."""
    values = [{"low": b.low, "high": b.high, "reference": b.reference, "current": b.current} for b in bins]
    steps = [{"x": b.low, "current": b.current} for b in bins] + [{"x": b.high, "current": b.current} for b in bins[-1:]]
    shares: Json = {"type": "quantitative", "axis": _axis(plane.y or "share", "%"), "scale": {"zero": True}}
    x_axis = _axis(plane.x, plane.format)
    tip = [
        {"field": "low", "title": "from", "format": plane.format},
        {"field": "high", "title": "to", "format": plane.format},
        {"field": "reference", "title": "reference", "format": ".1%"},
        {"field": "current", "title": "current", "format": ".1%"},
    ]
    x: Json = {"type": "quantitative", "axis": x_axis, "scale": {"zero": False, "nice": False}}
    bar: Json = {
        "mark": {"type": "bar", "color": "var(--line-strong)", "binSpacing": 1},
        "encoding": {
            "x": {"field": "low", "bin": {"binned": True}, **x},
            "x2": {"field": "high"},
            "y": {"field": "reference", **shares},
            "tooltip": tip,
        },
    }
    line: Json = {
        "data": {"values": steps},
        "mark": {"type": "line", "interpolate": "step-after", "color": "var(--series-1)", "strokeWidth": 1.8},
        "encoding": {"x": {"field": "x", **x}, "y": {"field": "current", **shares}},
    }
    keys = (("reference", "filled"), ("current", "key-1"))
    return _chart(label, {"data": {"values": values}, "layer": [bar, line]}, plane, keys)


def scatter(label: str, dots: Sequence[Dot], plane: Plane) -> Chart:
    """Named points in a plane, coloured by group in the groups' order of appearance."""
    groups = list(dict.fromkeys(dot.group for dot in dots))
    values = [{"x": dot.x, "y": dot.y, "name": dot.name, "group": dot.group} for dot in dots]
    scale: Json = {"domain": groups, "range": [_colour(i) for i in range(len(groups))]}
    tip = [{"field": "name", "title": "name"}, {"field": "x", "title": plane.x or "x", "format": plane.format}]
    tip.append({"field": "y", "title": plane.y or "y", "format": plane.format})
    encoding: Json = {
        "x": {"field": "x", "type": "quantitative", "scale": {"zero": False}, "axis": _axis(plane.x, plane.format)},
        "y": {"field": "y", "type": "quantitative", "scale": {"zero": False}, "axis": _axis(plane.y, plane.format)},
        "color": {"field": "group", "type": "nominal", "scale": scale, "legend": None},
        "tooltip": tip,
    }
    mark: Json = {"type": "point", "filled": True, "size": 44, "opacity": 0.85}
    keys = tuple((group, f"key-{i % COLOURS + 1} dot") for i, group in enumerate(groups) if group)
    return _chart(label, {"data": {"values": values}, "mark": mark, "encoding": encoding}, plane, keys)


def composed(label: str, body: Json, plane: Plane, keys: Sequence[tuple[str, str]] = ()) -> Chart:
    """A chart of a component's own making in our look: `body` holds its data and its marks or layers, in tokens' colours."""
    return _chart(label, body, plane, keys)


def drawn(chart: Chart) -> Markup:
    """The chart as an SVG element for a page: its colours are tokens, so it follows the theme without a script.

    A chart whose specification says so is drawn without the library, which takes longer than a page of many lines may.
    """
    if "usermeta" in chart.spec:
        # By name: what draws stills knows the specifications, which know the charts.
        still: Callable[[Json, int], Markup] = importlib.import_module("modelyard.web.stills").drawn
        return still(chart.spec, chart.width)
    return Markup(_svg(spec_text(chart)))  # noqa: S704 - the library escapes every text of the data; tests feed it hostile ones


def svg(chart: Chart, *, is_dark: bool = False) -> str:
    """The chart as an SVG document with plain colours, for a PDF or a file."""
    return resolved(_svg(spec_text(chart)), is_dark=is_dark)


def png(chart: Chart, *, scale: float = 2.0, is_dark: bool = False) -> bytes:
    """The chart as a PNG picture, `scale` pixels for one of the chart's."""
    convert: Callable[..., bytes] = importlib.import_module("vl_convert").svg_to_png
    return convert(svg(chart, is_dark=is_dark), scale=scale)


def spec_text(chart: Chart) -> str:
    """The specification as JSON, with a width for drawing without a browser."""
    return msgspec.json.encode({**chart.spec, "width": chart.width}).decode()


def spec_json(chart: Chart) -> Markup:
    """The specification as JSON for a script element: nothing in it can end the element or begin a comment."""
    text = msgspec.json.encode(chart.spec).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - what HTML could read was replaced above


@functools.lru_cache(maxsize=256)
def _svg(spec: str) -> str:
    # By name: the library is loaded when the first chart is drawn, not by every process that can show pages.
    convert: Callable[..., str] = importlib.import_module("vl_convert").vegalite_to_svg
    return convert(spec, vl_version=VERSION)


def _chart(label: str, body: Json, plane: Plane, keys: Sequence[tuple[str, str]]) -> Chart:
    spec: Json = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": label,
        "width": "container",
        "height": plane.height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": {"left": 4, "right": 8, "top": 4, "bottom": 4},
        "config": CONFIG,
        **body,
    }
    return Chart(label=label, spec=spec, keys=tuple(keys), width=plane.width)


def _colour(index: int) -> str:
    return f"var(--series-{index % COLOURS + 1})"


def _axis(title: str, number_format: str, *, grid: bool | None = None) -> Json:
    axis: Json = {"title": title or None}
    if number_format:
        axis["format"] = number_format
    return axis if grid is None else {**axis, "grid": grid}


def _days(places: Sequence[float]) -> str:
    """How instants read on an axis that spans `places`: hours, days or months."""
    days = (max(places, default=0) - min(places, default=0)) / DAY
    return "%H:%M" if days < 2 else "%-d %b" if days < 300 else "%b %Y"


def _x(plane: Plane, places: Sequence[float]) -> Json:
    if plane.is_time:
        axis: Json = {**_axis(plane.x, _days(places)), "tickCount": 6, "labelOverlap": True}
        return {"field": "x", "type": "temporal", "scale": {"type": "utc"}, "axis": axis}
    return {"field": "x", "type": "quantitative", "scale": {"zero": False, "nice": False}, "axis": _axis(plane.x, "")}


def _rows(series: Sequence[Series], unit: int) -> list[Json]:
    """One row an x with a field for each series, so that names never become field names. Vega counts milliseconds."""
    rows: dict[float, Json] = {}
    for i, line in enumerate(series):
        for point in line.points:
            row = rows.setdefault(point.x, {"x": point.x / unit})
            row[f"s{i}"] = point.y if point.y is not None and math.isfinite(point.y) else None
            if point.low is not None and point.high is not None:
                row[f"s{i}_low"], row[f"s{i}_high"] = point.low, point.high
    return [rows[x] for x in sorted(rows)]


def _line(index: int, line: Series, x: Json, plane: Plane) -> list[Json]:
    field, colour = f"s{index}", _colour(index)
    y: Json = {"field": field, "type": "quantitative", "scale": {"zero": False}, "axis": _axis(plane.y, plane.format)}
    mark: Json = {"type": "line", "color": colour, "strokeWidth": 1.2 if line.is_dashed else 1.8, "strokeJoin": "round"}
    if line.is_dashed:
        mark["strokeDash"] = [3, 3]
    layers: list[Json] = []
    if any(point.low is not None and point.high is not None for point in line.points):
        area: Json = {"type": "area", "color": colour, "opacity": 0.14}
        edges: Json = {"x": x, "y": {**y, "field": f"{field}_low"}, "y2": {"field": f"{field}_high"}}
        layers.append({"mark": area, "encoding": edges})
    if sum(point.y is not None for point in line.points) == 1:
        mark = {"type": "point", "filled": True, "color": colour, "size": 40}
    return [*layers, {"mark": mark, "encoding": {"x": x, "y": y}}]


def _band(band: Band) -> Json:
    encoding: Json = {"y": {"datum": band.low, "type": "quantitative"}, "y2": {"datum": band.high}}
    return {"data": {"values": [{}]}, "mark": {"type": "rect", "color": "var(--band)"}, "encoding": encoding}


def _events(events: Sequence[Event], x: Json, places: Sequence[float]) -> list[Json]:
    """A rule for each event and its word above the plot, in as many rows as keep near words apart."""
    ordered = sorted(events, key=lambda event: event.at)
    room = (max(places) - min(places)) * LABEL_ROOM
    ends: list[float] = []
    layers: list[Json] = []
    for event in ordered:
        row = next((i for i, end in enumerate(ends) if end <= event.at), len(ends))
        ends[row : row + 1] = [event.at + room]
        data: Json = {"values": [{"x": event.at / 1000, "word": event.word}]}
        colour = "var(--bad)" if event.tone == "bad" else "var(--ink-3)"
        rule: Json = {"type": "rule", "color": colour, "strokeDash": [1, 0] if event.tone == "bad" else [2, 3]}
        text: Json = {"type": "text", "align": "left", "baseline": "bottom", "dx": 3, "fontSize": 11, "fill": colour, "limit": 120}
        where: Json = {"x": x, "text": {"field": "word"}, "y": {"value": -3 - row * LABEL_ROW}}
        tip: Json = {"field": "word", "title": "event"}
        layers.append({"data": data, "mark": rule, "encoding": {"x": x, "tooltip": [tip]}})
        layers.append({"data": data, "mark": text, "encoding": where})
    return layers


def _hover(series: Sequence[Series], x: Json, plane: Plane) -> Json:
    """A rule at the x nearest to the pointer, with all values there; unseen in a still drawing."""
    first: Json = {"field": "x", "type": "temporal", "title": "at", "format": "%-d %b %Y %H:%M", "timeUnit": "utcyearmonthdatehoursminutes"}
    step: Json = {"field": "x", "title": plane.x or "step"}
    values = [{"field": f"s{i}", "title": line.name, "format": plane.format or ".4~g"} for i, line in enumerate(series)]
    seen: Json = {"condition": {"param": "hover", "value": 0.6, "empty": False}, "value": 0}
    select: Json = {"type": "point", "fields": ["x"], "nearest": True, "on": "pointerover", "clear": "pointerout"}
    return {
        "params": [{"name": "hover", "select": select}],
        "mark": {"type": "rule", "color": "var(--ink-3)"},
        "encoding": {"x": x, "opacity": seen, "tooltip": [first if plane.is_time else step, *values]},
    }

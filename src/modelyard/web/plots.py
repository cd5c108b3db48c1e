"""Charts of many runs at once: curves over steps or time, parallel coordinates, dots. Owns their specifications.

They are Vega-Lite like the others, and a browser explores them; what it shows before is drawn by `stills`, in a few
milliseconds, from the very values of the specification: the library takes longer than a page may.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from modelyard.web.charts import CONFIG, Chart, Json

HUES = 8
WIDTH = 1140
DASHES = ([1, 0], [7, 3], [2, 2])
CLASSES = 5
"""How many classes a value's rank sets the colour of a run by, from the lowest fifth to the highest."""

Axis = Literal["step", "relative", "wall"]
UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
PADDING: Json = {"left": 4, "right": 8, "top": 4, "bottom": 4}
_KEY_DASHES = ("", " dashed", " dotted")


class CurveLine(msgspec.Struct, frozen=True, kw_only=True):
    """A named line, `None` where it has a gap; `raw` is what it was before it was smoothed, drawn faintly behind."""

    name: str
    course: tuple[Sequence[float], Sequence[float | None]]
    raw: tuple[Sequence[float], Sequence[float | None]] | None = None


class CurvePlane(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines run over and measure, on which scale, and the range that is looked at where it is not all."""

    y: str
    axis: Axis = "step"
    is_log: bool = False
    first: float | None = None
    last: float | None = None
    height: int = 300


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """An axis: its title, the values at its ends, and whether it is logarithmic, of time, or of seconds told in `unit`."""

    title: str
    low: float
    high: float
    is_log: bool = False
    is_time: bool = False
    unit: str = ""


class Rail(msgspec.Struct, frozen=True, kw_only=True):
    """An axis of parallel coordinates: its name, what stands at its lower and upper end, and how it is read."""

    name: str
    low: str
    high: str
    note: str = ""


class Thread(msgspec.Struct, frozen=True, kw_only=True):
    """A run across the rails: where it meets each, in [0, 1] or nowhere, as text too; `rank` is its class, None without one."""

    name: str
    places: tuple[float | None, ...]
    texts: tuple[str, ...]
    rank: int | None = None


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A run as a dot."""

    name: str
    x: float
    y: float
    rank: int | None = None


def curves(label: str, lines: Sequence[CurveLine], plane: CurvePlane, width: int = WIDTH) -> Chart:
    """Lines over one axis, told apart by colour and then by dashes. A range of x can be chosen in it: `data-zoom` takes it up."""
    rows: list[Json] = []
    for number, line in enumerate(lines):
        rows += _curve_rows(number, 1, line.course, plane)
        if line.raw is not None:
            rows += _curve_rows(number, 0, line.raw, plane)
    places = [float(at) for row in rows if isinstance(at := row["x"], int | float)]
    values = [float(value) for row in rows if isinstance(value := row["y"], int | float)]
    x = _placed(plane, places)
    y = Scale(title=plane.y, low=min(values, default=0.0), high=max(values, default=1.0), is_log=plane.is_log)
    names = [{"s": n, "run": line.name, "c": n % HUES, "d": n // HUES % len(DASHES)} for n, line in enumerate(lines)]
    spec: Json = {
        "usermeta": {"still": "curves", "x": msgspec.to_builtins(x), "y": msgspec.to_builtins(y), "zoom": plane.axis},
        "data": {"values": rows},
        "transform": [{"lookup": "s", "from": {"data": {"values": names}, "key": "s", "fields": ["run", "c", "d"]}}],
        "layer": _curve_layers(x, y, any(line.raw is not None for line in lines)),
    }
    keys = tuple((line.name, key_of(n)) for n, line in enumerate(lines))
    return msgspec.structs.replace(_chart(label, spec, plane.height, keys), width=width)


def key_of(number: int) -> str:
    """The class of a line's key in a legend, by its place.

    >>> key_of(0), key_of(9)
    ('key-1', 'key-2 dashed')
    """
    return f"key-{number % HUES + 1}{_KEY_DASHES[number // HUES % len(DASHES)]}"


def _curve_rows(number: int, kind: int, course: tuple[Sequence[float], Sequence[float | None]], plane: CurvePlane) -> list[Json]:
    xs, given = course
    ys = [None if y is None or (plane.is_log and y <= 0) else y for y in given]
    rows: list[Json] = []
    for n, (x, y) in enumerate(zip(xs, ys, strict=True)):
        row: Json = {"s": number, "k": kind, "x": x, "y": y}
        if y is not None and (n == 0 or ys[n - 1] is None) and (n + 1 == len(ys) or ys[n + 1] is None):
            row["o"] = 1  # no line reaches a value that stands alone
        rows.append(row)
    return rows


def _placed(plane: CurvePlane, places: Sequence[float]) -> Scale:
    low = min(places, default=0.0) if plane.first is None else plane.first
    high = max(places, default=1.0) if plane.last is None else plane.last
    if plane.axis == "wall":
        return Scale(title="", low=low, high=high, is_time=True)
    if plane.axis == "step":
        return Scale(title="step", low=low, high=high)
    unit = next((name for size, name in UNITS if high - low >= 2 * size), "s")
    return Scale(title=f"{unit} since the first point", low=low, high=high, unit=unit)


def _curve_layers(x: Scale, y: Scale, has_raw: bool) -> list[Json]:
    hue: Json = {"domain": list(range(HUES)), "range": [f"var(--series-{n + 1})" for n in range(HUES)]}
    dash: Json = {"domain": list(range(len(DASHES))), "range": [list(one) for one in DASHES]}
    encoding: Json = {
        "x": _x_encoding(x),
        "y": _y_encoding(y),
        "color": {"field": "c", "type": "nominal", "scale": hue, "legend": None},
        "detail": {"field": "s", "type": "nominal"},
    }
    dashed: Json = {**encoding, "strokeDash": {"field": "d", "type": "nominal", "scale": dash, "legend": None}}
    shown: Json = {"filter": "datum.k === 1"}
    line: Json = {"type": "line", "clip": True, "strokeJoin": "round"}
    layers: list[Json] = []
    if has_raw:
        layers.append(
            {"transform": [{"filter": "datum.k === 0"}], "mark": {**line, "strokeWidth": 1, "opacity": 0.28}, "encoding": encoding}
        )
    brush: Json = {"name": "range", "select": {"type": "interval", "encodings": ["x"]}}
    layers.append({"params": [brush], "transform": [shown], "mark": {**line, "strokeWidth": 1.6}, "encoding": dashed})
    lone: Json = {"type": "point", "filled": True, "size": 18, "clip": True}
    layers.append({"transform": [{"filter": "datum.o === 1"}], "mark": lone, "encoding": encoding})
    seen: Json = {"condition": {"param": "hover", "value": 1, "empty": False}, "value": 0}
    select: Json = {"type": "point", "nearest": True, "on": "pointerover", "clear": "pointerout"}
    layers.append(
        {
            "params": [{"name": "hover", "select": select}],
            "transform": [shown, {"filter": "datum.y !== null"}],
            "mark": {"type": "point", "filled": True, "size": 40, "clip": True},
            "encoding": {**encoding, "opacity": seen, "tooltip": {"value": {"expr": _tip(x)}}},
        }
    )
    return layers


def _x_encoding(x: Scale) -> Json:
    axis: Json = {"title": x.title or None, "labelOverlap": True}
    if x.is_time:
        axis |= {"format": time_format(x.high - x.low), "tickCount": 6}
        return {"field": "x", "type": "temporal", "scale": {"type": "utc", "domain": [x.low, x.high]}, "axis": axis}
    if x.unit:
        axis["labelExpr"] = f"format(datum.value / {size_of(x.unit)}, '~g')"
    return {"field": "x", "type": "quantitative", "scale": {"domain": [x.low, x.high], "nice": False, "zero": False}, "axis": axis}


def _y_encoding(y: Scale) -> Json:
    kind: Json = {"type": "log"} if y.is_log else {"zero": False}
    scale: Json = {**kind, "nice": False, "domain": list(padded(y))}
    return {"field": "y", "type": "quantitative", "scale": scale, "axis": {"title": y.title or None, "tickCount": 5}}


def _tip(x: Scale) -> str:
    """What is told of the nearest point, as an expression over names of our own only.

    The areas that find it hold the point as `datum`, which the library's own tips leave out before a text.
    """
    point = "(datum.datum || datum)"
    place = f"utcFormat({point}.x, '%-d %b %Y %H:%M:%S')" if x.is_time else f"format({point}.x, ',.6~g')"
    word = "at" if x.is_time else "seconds" if x.unit else "step"
    return f"{{'run': {point}.run, '{word}': {place}, 'value': format({point}.y, '.5~g')}}"


def padded(scale: Scale) -> tuple[float, float]:
    """The ends of a scale with some room beyond its values."""
    low, high = scale.low, scale.high
    if scale.is_log:
        low = low if low > 0 else 1e-12
        high = max(high, low)
        room = (high / low) ** 0.04 if high > low else 2.0
        return low / room, high * room
    room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def size_of(unit: str) -> float:
    """The seconds that a unit has."""
    return next(size for size, name in UNITS if name == unit)


def time_format(milliseconds: float) -> str:
    """How instants read on an axis that spans so much."""
    days = milliseconds / 86_400_000
    return "%H:%M:%S" if days < 0.01 else "%H:%M" if days < 2 else "%-d %b" if days < 300 else "%b %Y"


def ranks(values: Sequence[float | None]) -> tuple[int | None, ...]:
    """The fifth that each value's rank is in, 0 for the lowest; equal values are in one.

    >>> ranks([3.0, None, 1.0, 2.0, 2.0])
    (4, None, 0, 2, 2)
    """
    known = sorted({value for value in values if value is not None})
    if len(known) < 2:
        return tuple(None if value is None else CLASSES // 2 for value in values)
    place = {value: min(CLASSES - 1, round(n / (len(known) - 1) * (CLASSES - 1))) for n, value in enumerate(known)}
    return tuple(None if value is None else place[value] for value in values)


def parallel(label: str, rails: Sequence[Rail], threads: Sequence[Thread], height: int = 320) -> Chart:
    """Runs as lines across several axes, coloured by their class; a run that has no value on an axis has a gap there."""
    values = [_thread_row(n, thread) for n, thread in enumerate(threads)]
    names = [{"k": f"v{n}", "rail": rail.name} for n, rail in enumerate(rails)]
    tip = [{"field": "n", "title": "run"}, *({"field": f"t{n}", "title": rail.name} for n, rail in enumerate(rails))]
    rail_axis: Json = {
        "title": None,
        "labelAngle": 0,
        "labelLimit": 130,
        "grid": True,
        "domain": False,
        "ticks": False,
        "orient": "top",
        "offset": 12,
    }
    x: Json = {"field": "rail", "type": "nominal", "sort": [rail.name for rail in rails], "scale": {"padding": 0.08}, "axis": rail_axis}
    y: Json = {"field": "v", "type": "quantitative", "scale": {"domain": [0, 1]}, "axis": None}
    wide: Json = {"condition": {"param": "hover", "empty": False, "value": 3}, "value": 1.2}
    hover: Json = {"name": "hover", "select": {"type": "point", "fields": ["i"], "on": "pointerover", "clear": "pointerout"}}
    line: Json = {
        "params": [hover],
        "mark": {"type": "line", "opacity": 0.6},
        "encoding": {"x": x, "y": y, "color": _class_colour(), "detail": {"field": "i"}, "strokeWidth": wide, "tooltip": tip},
    }
    ends = [{"rail": rail.name, "v": place, "text": text} for rail in rails for place, text in ((0, rail.low), (1, rail.high))]
    text: Json = {"type": "text", "align": "left", "dx": 6, "fontSize": 11, "fill": "var(--ink-2)", "limit": 110}
    halo: Json = {**text, "stroke": "var(--card)", "strokeWidth": 3}
    words: Json = {"data": {"values": ends}, "transform": [], "encoding": {"x": x, "y": y, "text": {"field": "text"}}}
    spec: Json = {
        "usermeta": {"still": "parallel", "rails": msgspec.to_builtins(rails)},
        "data": {"values": values},
        "transform": [
            {"fold": [f"v{n}" for n in range(len(rails))], "as": ["k", "v"]},
            {"lookup": "k", "from": {"data": {"values": names}, "key": "k", "fields": ["rail"]}},
        ],
        "layer": [line, {**words, "mark": halo}, {**words, "mark": text}],
    }
    return _chart(label, spec, height, ())


def _thread_row(number: int, thread: Thread) -> Json:
    row: Json = {"i": number, "n": thread.name, "g": -1 if thread.rank is None else thread.rank}
    row |= {f"v{n}": place for n, place in enumerate(thread.places)}
    return row | {f"t{n}": text for n, text in enumerate(thread.texts)}


def spots(label: str, dots: Sequence[Spot], x: Scale, y: Scale, height: int = 320) -> Chart:
    """Runs as dots, coloured by their class. A scale that is logarithmic leaves out what is not above zero."""
    kept = [dot for dot in dots if (dot.x > 0 or not x.is_log) and (dot.y > 0 or not y.is_log)]

    def encoded(name: str, scale: Scale) -> Json:
        kind: Json = {"type": "log"} if scale.is_log else {"zero": False}
        return {"field": name, "type": "quantitative", "scale": kind, "axis": {"title": scale.title, "labelOverlap": True}}

    tip = [
        {"field": "n", "title": "run"},
        {"field": "x", "title": x.title, "format": ".5~g"},
        {"field": "y", "title": y.title, "format": ".5~g"},
    ]
    spec: Json = {
        "usermeta": {"still": "spots", "x": msgspec.to_builtins(x), "y": msgspec.to_builtins(y)},
        "data": {"values": [{"n": dot.name, "x": dot.x, "y": dot.y, "g": -1 if dot.rank is None else dot.rank} for dot in kept]},
        "mark": {"type": "point", "filled": True, "size": 36, "opacity": 0.75},
        "encoding": {"x": encoded("x", x), "y": encoded("y", y), "color": _class_colour(), "tooltip": tip},
    }
    return _chart(label, spec, height, ())


def _class_colour() -> Json:
    colours = ["var(--ink-3)", *(f"var(--ramp-{n + 1})" for n in range(CLASSES))]
    return {"field": "g", "type": "nominal", "scale": {"domain": [-1, *range(CLASSES)], "range": colours}, "legend": None}


def spans_decades(values: Sequence[float]) -> bool:
    """Whether values are better read on a logarithmic scale: all above zero, over three decades and more."""
    return bool(values) and min(values) > 0 and math.log10(max(values)) - math.log10(min(values)) >= 3


def _chart(label: str, body: Json, height: int, keys: tuple[tuple[str, str], ...]) -> Chart:
    spec: Json = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": label,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "padding": PADDING,
        "config": CONFIG,
        **body,
    }
    return Chart(label=label, spec=spec, keys=keys, width=WIDTH)

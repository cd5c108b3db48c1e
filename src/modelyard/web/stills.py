"""The drawings of `plots` without a browser and without the chart library: SVG from the values of a specification.

Owns where marks and ticks go. A drawing has the same lines, gaps and colours as the explored chart; its ticks may differ.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from markupsafe import Markup

from modelyard.web.plots import CLASSES, DASHES, HUES, Rail, Scale, padded, size_of, time_format

LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 22.0, 36.0
RAIL_ROOM = 92.0
TICKS = 5
TIME_STEPS_S = (1, 5, 15, 30, 60, 300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 2592000, 7776000, 31536000)
Spec = Mapping[str, Any]
Place = Callable[[float], float]


def drawn(spec: Spec, width: int) -> Markup:
    """The SVG of a specification that says in `usermeta` which still it has."""
    height = float(spec["height"])
    body = _DRAWERS[spec["usermeta"]["still"]](spec, float(width), height)
    head = Markup('<svg xmlns="http://www.w3.org/2000/svg" class="still" width="{0}" height="{1:.0f}" viewBox="0 0 {0} {1:.0f}">')
    return head.format(width, height) + Markup("").join(body) + Markup("</svg>")


def _curves(spec: Spec, width: float, height: float) -> list[Markup]:
    meta = spec["usermeta"]
    x, y = msgspec.convert(meta["x"], Scale), msgspec.convert(meta["y"], Scale)
    right, bottom = width - RIGHT, height - BOTTOM
    low, high = padded(y)
    place_x, place_y = _place(x.low, x.high, LEFT, right), _place(low, high, bottom, TOP, is_log=y.is_log)
    parts = [*_y_axis(y, low, high, place_y, right), *_x_axis(x, place_x, bottom)]
    lines: list[Markup] = []
    for kind in (0, 1):
        for number, points in _by_line(spec["data"]["values"], kind).items():
            lines += _line(number, kind, points, place_x, place_y)
    plot = Markup('<svg x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" viewBox="{:.1f} {:.1f} {:.1f} {:.1f}">')
    box = (LEFT, TOP - 4, right - LEFT, bottom - TOP + 8)
    return [*parts, plot.format(*box, *box), *lines, Markup("</svg>")]


def _by_line(rows: Iterable[Mapping[str, Any]], kind: int) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["k"] == kind:
            found.setdefault(row["s"], []).append(row)
    return found


def _line(number: int, kind: int, points: Sequence[Mapping[str, Any]], place_x: Place, place_y: Place) -> list[Markup]:
    """A line as one path that breaks at its gaps, and a dot for each value that stands alone."""
    colour = f"var(--series-{number % HUES + 1})"
    words, lone, is_down = [], [], False
    for row in points:
        if row["y"] is None:
            is_down = False
            continue
        at = f"{place_x(row['x']):.1f},{place_y(row['y']):.1f}"
        if "o" in row:
            lone.append(at)
            continue
        words.append(f"{'L' if is_down else 'M'}{at}")
        is_down = True
    solid = Markup('<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-opacity="{}" stroke-linejoin="round"/>')
    dashed = Markup('<path d="{}" fill="none" stroke="{}" stroke-width="{}" stroke-opacity="{}" stroke-dasharray="{} {}"/>')
    dash = DASHES[number // HUES % len(DASHES)]
    look = ("".join(words), colour, *((1, 0.28) if kind == 0 else (1.6, 1)))
    path = dashed.format(*look, *dash) if dash[1] and kind == 1 else solid.format(*look)
    dots = [Markup('<path d="M{0}h0" stroke="{1}" stroke-width="5" stroke-linecap="round"/>').format(at, colour) for at in lone]
    return [path, *dots] if words else dots


def _parallel(spec: Spec, width: float, height: float) -> list[Markup]:
    rails = msgspec.convert(spec["usermeta"]["rails"], list[Rail])
    top, bottom = TOP + 14, height - 14
    step = (width - RIGHT - RAIL_ROOM - 8) / max(len(rails) - 1, 1)
    places = [8 + step * n for n in range(len(rails))]
    parts: list[Markup] = []
    for row in spec["data"]["values"]:
        words, is_down = [], False
        for n, at in enumerate(places):
            value = row[f"v{n}"]
            if value is not None:
                words.append(f"{'L' if is_down else 'M'}{at:.1f},{bottom - value * (bottom - top):.1f}")
            is_down = value is not None
        colour = class_colour(row["g"])
        parts.append(
            Markup('<path d="{}" fill="none" stroke="{}" stroke-width="1.2" stroke-opacity="0.6"/>').format("".join(words), colour)
        )
    for at, rail in zip(places, rails, strict=True):
        parts.append(
            Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}" stroke="var(--line-strong)"/>').format(at, top, bottom)
        )
        parts.append(_text(at, top - 18, _cut(rail.name, step), "var(--ink)"))
        parts += [_haloed(at + 6, top + 4, _cut(rail.high, step)), _haloed(at + 6, bottom, _cut(rail.low, step))]
        if rail.note:
            parts.append(_text(at, top - 6, rail.note, "var(--ink-3)"))
    return parts


def _cut(text: str, room: float) -> str:
    """`text` cut to what fits, at about six pixels a letter."""
    most = max(4, int(room / 6.4))
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _spots(spec: Spec, width: float, height: float) -> list[Markup]:
    meta = spec["usermeta"]
    x, y = msgspec.convert(meta["x"], Scale), msgspec.convert(meta["y"], Scale)
    right, bottom = width - RIGHT, height - BOTTOM
    (left_low, left_high), (low, high) = padded(x), padded(y)
    place_x = _place(left_low, left_high, LEFT, right, is_log=x.is_log)
    place_y = _place(low, high, bottom, TOP, is_log=y.is_log)
    wide = msgspec.structs.replace(x, low=left_low, high=left_high)
    parts = [*_y_axis(y, low, high, place_y, right), *_x_axis(wide, place_x, bottom)]
    dot = Markup('<path d="M{:.1f},{:.1f}h0" stroke="{}" stroke-width="7" stroke-linecap="round" stroke-opacity="0.75"/>')
    return [*parts, *(dot.format(place_x(row["x"]), place_y(row["y"]), class_colour(row["g"])) for row in spec["data"]["values"])]


def class_colour(rank: int) -> str:
    """The colour of a run's class, that of text for a run without one."""
    return f"var(--ramp-{rank + 1})" if 0 <= rank < CLASSES else "var(--ink-3)"


def _place(low: float, high: float, start: float, end: float, *, is_log: bool = False) -> Place:
    if is_log:
        logs = _place(math.log10(low), math.log10(high), start, end)
        return lambda value: logs(math.log10(value))
    span = high - low
    if span <= 0:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / span * (end - start)


def _y_axis(y: Scale, low: float, high: float, place: Place, right: float) -> list[Markup]:
    parts = [_text(4, 12, y.title[:80], "var(--ink-2)")] if y.title else []
    grid = Markup('<line x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}" stroke="var(--grid)"/>')
    for value, text in log_ticks(low, high) if y.is_log else ticks(low, high):
        parts += [grid.format(LEFT, right, place(value)), _text(LEFT - 8, place(value) + 4, text, anchor="end")]
    return parts


def _x_axis(x: Scale, place: Place, bottom: float) -> list[Markup]:
    line = Markup('<line x1="{0:.1f}" x2="{1:.1f}" y1="{2:.1f}" y2="{2:.1f}" stroke="var(--line-strong)"/>')
    parts = [line.format(place(x.low), place(x.high), bottom)] if x.high > x.low else []
    for value, text in _x_ticks(x):
        mark = Markup('<line x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}" stroke="var(--line-strong)"/>')
        parts += [mark.format(place(value), bottom, bottom + 4), _text(place(value), bottom + 16, text, anchor="middle")]
    if x.title:
        parts.append(_text((place(x.low) + place(x.high)) / 2, bottom + 31, x.title[:80], "var(--ink-2)", anchor="middle"))
    return parts


def _x_ticks(x: Scale) -> list[tuple[float, str]]:
    if x.is_time:
        return time_ticks(x.low, x.high)
    if x.is_log:
        return log_ticks(x.low, x.high)
    size = size_of(x.unit) if x.unit else 1.0
    return [(value * size, text) for value, text in ticks(x.low / size, x.high / size, 8)]


def ticks(low: float, high: float, count: int = TICKS) -> list[tuple[float, str]]:
    """About `count` round values from `low` to `high`, with their texts.

    >>> ticks(0, 10)
    [(0.0, '0'), (2.0, '2'), (4.0, '4'), (6.0, '6'), (8.0, '8'), (10.0, '10')]
    """
    if not high > low or not math.isfinite(high - low):
        return [(low, f"{low:.4g}")]
    rough = (high - low) / count
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    is_plain = digits <= 6 and max(abs(low), abs(high)) < 1e9
    return [(n * step, f"{n * step:,.{digits}f}" if is_plain else f"{n * step:.4g}") for n in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Powers of ten from `low` to `high`, with 2 and 5 times them where there are few.

    >>> [text for _, text in log_ticks(0.5, 200)]
    ['1', '10', '100']
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, (last - first) // 8)
    tens = [10.0**n for n in range(first, last + 1, every)]
    found = [value for value in tens if low <= value <= high]
    if len(found) < 3:
        found = [factor * value for value in tens for factor in (1, 2, 5) if low <= factor * value <= high]
    return [(value, f"{value:g}") for value in found]


def time_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round instants in milliseconds from `low` to `high`, in UTC."""
    step = 1000.0 * next((size for size in TIME_STEPS_S if (high - low) / (1000 * size) <= 8), TIME_STEPS_S[-1])
    form = time_format(high - low).replace("%-d", "{day}")
    found = []
    for n in range(math.ceil(low / step), math.floor(high / step) + 1):
        at = datetime.fromtimestamp(n * step / 1000, UTC)
        found.append((n * step, at.strftime(form).replace("{day}", str(at.day))))
    return found


def _text(x: float, y: float, text: str, fill: str = "var(--ink-3)", anchor: str = "start") -> Markup:
    shape = Markup('<text x="{:.1f}" y="{:.1f}" fill="{}" font-size="11" text-anchor="{}">{}</text>')
    return shape.format(x, y, fill, anchor, text)


def _haloed(x: float, y: float, text: str) -> Markup:
    """A text that lines run behind."""
    halo = Markup(
        '<text x="{:.1f}" y="{:.1f}" fill="none" stroke="var(--card)" stroke-width="3" stroke-linejoin="round" font-size="11">{}</text>'
    )
    return halo.format(x, y, text) + _text(x, y, text, "var(--ink-2)")


_DRAWERS: Mapping[str, Callable[[Spec, float, float], list[Markup]]] = {"curves": _curves, "parallel": _parallel, "spots": _spots}

"""Runs as a picture: parallel coordinates and dots over params and metrics, coloured by a metric's rank."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from modelyard.tracking.rules.table import Cell, ColumnName, TableView, column_of, kind_of, number_of
from modelyard.web.charts import Chart
from modelyard.web.parts import Choice
from modelyard.web.plots import CLASSES, Rail, Scale, Spot, Thread, parallel, ranks, spans_decades, spots
from modelyard.web.words import number, plural

PLOTTED = 300
MOST_RAILS = 10
MOST_LISTED = 60
LONGEST_TEXT = 120
"""Characters of a param's value in a plot: a page of three hundred runs would have megabytes of those that are long."""
PLOTTABLE = ("metric", "param")
NOTHING = "Show a param or a metric first."
Columns = Mapping[str, Sequence[Cell]]


class Plotted(msgspec.Struct, frozen=True, kw_only=True):
    """A plot of runs: the chart, what is to be known of it, what its axes and colours can be, and its values as a table."""

    chart: Chart | None
    note: str
    legend: tuple[tuple[str, str], ...]
    x_choices: tuple[Choice, ...]
    y_choices: tuple[Choice, ...]
    colour_choices: tuple[Choice, ...]
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Drawable(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns a view's plot is of: its axes, what colours it, and what all could be."""

    axes: tuple[str, ...]
    colour: str
    names: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column whose values are needed."""
        return tuple(dict.fromkeys((*self.axes, *((self.colour,) if self.colour else ()))))


def drawable(view: TableView, shown: tuple[ColumnName, ...]) -> Drawable:
    """What the view's plot is of: what its address says, else the params and metrics among the columns shown."""
    names = tuple(one.name for one in shown if one.kind in PLOTTABLE)
    metrics = [name for name in names if kind_of(name) == "metric"]
    colour = view.colour if kind_of(view.colour) in PLOTTABLE else next(iter(metrics), "")
    if view.plot != "scatter":
        return Drawable(axes=names[:MOST_RAILS], colour=colour, names=names)
    x = view.x if kind_of(view.x) in PLOTTABLE else next((name for name in names if name not in metrics), next(iter(names), ""))
    y = view.y if kind_of(view.y) in PLOTTABLE else next((name for name in metrics if name != x), x)
    return Drawable(axes=(x, y) if x else (), colour=colour, names=names)


def plotted(plot: str, asked: Drawable, runs: Sequence[str], columns: Columns) -> Plotted:
    """Runs, by their names, as a plot of what their columns hold."""
    values = [number_of(value) for value in columns[asked.colour]] if asked.colour else [number_of(None)] * len(runs)
    is_scatter = plot == "scatter"
    chart, note = (_dots if is_scatter else _across)(runs, asked.axes, columns, ranks(values)) if asked.axes else (None, NOTHING)
    return Plotted(
        chart=chart,
        note=note,
        legend=_legend(values, asked.colour),
        x_choices=_choices(asked.names, asked.axes[0]) if is_scatter and asked.axes else (),
        y_choices=_choices(asked.names, asked.axes[1]) if is_scatter and asked.axes else (),
        colour_choices=_choices(asked.names, asked.colour),
        heads=("Run", *(column_of(name).label for name in asked.axes)),
        rows=tuple((run, *(_text(columns[name][n]) for name in asked.axes)) for n, run in enumerate(runs[:MOST_LISTED])),
    )


def _choices(names: Sequence[str], chosen: str) -> tuple[Choice, ...]:
    listed = names if chosen in names or not chosen else [*names, chosen]
    return tuple(Choice(name, name, name == chosen) for name in listed)


def _legend(values: list[float | None], colour: str) -> tuple[tuple[str, str], ...]:
    """The classes of colour with the values at their ends."""
    found = ranks(values)
    parts: list[tuple[str, str]] = []
    for rank in range(CLASSES):
        inside = [value for value, one in zip(values, found, strict=True) if one == rank and value is not None]
        if inside:
            low, high = number(min(inside)), number(max(inside))
            parts.append((low if low == high else f"{low} to {high}", f"ramp-{rank + 1}"))
    if parts and any(value is None for value in values):
        parts.append((f"no {column_of(colour).label}", "ramp-none"))
    return tuple(parts)


def _text(value: Cell) -> str:
    return "" if value is None else number(value) if isinstance(value, float) else str(value)[:LONGEST_TEXT]


def _dots(runs: Sequence[str], axes: Sequence[str], columns: Columns, classes: Sequence[int | None]) -> tuple[Chart, str]:
    pairs = [(number_of(x), number_of(y)) for x, y in zip(columns[axes[0]], columns[axes[1]], strict=True)]
    dots = [
        Spot(name=run, x=x, y=y, rank=rank)
        for run, (x, y), rank in zip(runs, pairs, classes, strict=True)
        if x is not None and y is not None
    ]
    labels = [column_of(name).label for name in axes]
    chart = spots(
        f"{labels[1]} over {labels[0]}, a dot for each run",
        dots,
        _scale(labels[0], [d.x for d in dots]),
        _scale(labels[1], [d.y for d in dots]),
    )
    missing = len(runs) - len(dots)
    return chart, f"{plural(len(dots), 'run')}{f', {missing} without two numbers left out' if missing else ''}."


def _scale(title: str, values: list[float]) -> Scale:
    is_log = spans_decades(values)
    return Scale(title=f"{title} (log)" if is_log else title, low=min(values, default=0.0), high=max(values, default=1.0), is_log=is_log)


def _across(runs: Sequence[str], axes: Sequence[str], columns: Columns, classes: Sequence[int | None]) -> tuple[Chart, str]:
    cells = [columns[name] for name in axes]
    made = [_rail(column_of(name).label, values) for name, values in zip(axes, cells, strict=True)]
    # The best stand out where lines of the highest and lowest class are drawn over those between.
    order = sorted(range(len(runs)), key=lambda n: -1 if classes[n] is None else abs((classes[n] or 0) - CLASSES // 2))
    threads = [
        Thread(
            name=runs[n],
            places=tuple(places[n] for _, places in made),
            texts=tuple(_text(values[n]) for values in cells),
            rank=classes[n],
        )
        for n in order
    ]
    rails, said = _apart([rail for rail, _ in made]), plural(len(runs), "run")
    return parallel(f"{said} across {', '.join(rail.name for rail in rails)}", rails, threads), f"{said}."


def _apart(rails: list[Rail]) -> list[Rail]:
    """The rails with names of their own: a metric may be called as a param is."""
    seen: dict[str, int] = {}
    named = []
    for rail in rails:
        seen[rail.name] = seen.get(rail.name, 0) + 1
        named.append(rail if seen[rail.name] == 1 else msgspec.structs.replace(rail, name=f"{rail.name} ({seen[rail.name]})"))
    return named


def _rail(label: str, values: Sequence[Cell]) -> tuple[Rail, list[float | None]]:
    """An axis and where each value meets it: numbers by size, on a logarithmic scale over three decades, else words by letter."""
    numbers = [number_of(value) for value in values]
    known = [value for value in numbers if value is not None]
    if known and len(known) == sum(value is not None for value in values):
        return _of_numbers(label, numbers, known)
    words = sorted({str(value) for value in values if value is not None})
    place = {word: n / (len(words) - 1) if len(words) > 1 else 0.5 for n, word in enumerate(words)}
    places = [None if value is None else place[str(value)] for value in values]
    note = plural(len(words), "value") if len(words) > 2 else ""
    return Rail(name=label, low=_text(words[0]) if words else "", high=_text(words[-1]) if len(words) > 1 else "", note=note), places


def _of_numbers(label: str, numbers: list[float | None], known: list[float]) -> tuple[Rail, list[float | None]]:
    low, high = min(known), max(known)
    scaled = share_by_log if spans_decades(known) else share_by_size
    places = [None if value is None else scaled(value, low, high) for value in numbers]
    note = "log" if spans_decades(known) else ""
    return Rail(name=label, low=number(low), high=number(high) if high > low else "", note=note), places


def share_by_size(value: float, low: float, high: float) -> float:
    """Where `value` lies between two others, in [0, 1]."""
    return (value - low) / (high - low) if high > low else 0.5


def share_by_log(value: float, low: float, high: float) -> float:
    """The same on a logarithmic scale."""
    return share_by_size(math.log10(value), math.log10(low), math.log10(high))

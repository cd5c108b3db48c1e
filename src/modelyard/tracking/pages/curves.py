"""Curves on a page: what the address asks of them, the charts of it, and the choices that lead elsewhere."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from modelyard.access.domain import Principal
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import RunId
from modelyard.tracking.rules.curves import MOST_SMOOTHING, Axis
from modelyard.tracking.rules.table import query_text
from modelyard.web.charts import Chart
from modelyard.web.parts import Choice
from modelyard.web.plots import WIDTH, CurveLine, CurvePlane, curves
from modelyard.web.words import plural

POINTS_OF_A_PAGE = 3200
MOST_CHARTS = 4
NARROW = 740
AXES: Mapping[Axis, str] = {"step": "step", "relative": "time since the start", "wall": "wall clock"}


class CurveView(msgspec.Struct, frozen=True, kw_only=True):
    """How curves are looked at: which metrics, over which axis, how smooth, on which scale, from where to where.

    `first` and `last` are steps, seconds since the first point, or for the wall clock milliseconds or an ISO text in UTC.
    """

    metric: tuple[str, ...] = ()
    axis: Axis = "step"
    smooth: float = 0.0
    log: bool = False
    first: str = ""
    last: str = ""


class CurveChart(msgspec.Struct, frozen=True, kw_only=True):
    """A metric's chart, and what is to be known of it: how many points stand behind it, gaps, values that the scale leaves out."""

    metric: str
    chart: Chart
    note: str


class Curves(msgspec.Struct, frozen=True, kw_only=True):
    """The charts of some runs, and what their form offers. `wide` leads to the whole range where a part is looked at."""

    view: CurveView
    charts: tuple[CurveChart, ...]
    metrics: tuple[Choice, ...]
    axes: tuple[Choice, ...]
    wide: str
    error: str


def curve_query(view: CurveView, **changes: object) -> str:
    """The query of curves, with some of its fields changed."""
    asked = msgspec.structs.replace(view, **changes)
    smooth = f"{asked.smooth:g}" if asked.smooth else ""
    axis = asked.axis if asked.axis != "step" else ""
    return query_text(metric=asked.metric, axis=axis, smooth=smooth, log="true" if asked.log else "", first=asked.first, last=asked.last)


def curves_of(snapshot: Snapshot, principal: Principal, names: Mapping[RunId, str], known: Sequence[str], view: CurveView) -> Curves:
    """The charts of a view over runs, by their names; `known` are the metrics that they have, the first one is shown unless others are."""
    chosen = [key for key in dict.fromkeys(view.metric) if key in known][:MOST_CHARTS] or list(known[:1])
    smooth = min(max(view.smooth, 0.0), MOST_SMOOTHING) if view.smooth == view.smooth else 0.0
    first, last, error = _range(view)
    asked = service.CurvesAsked(axis=view.axis, smoothing=smooth, first=first, last=last, most=POINTS_OF_A_PAGE // max(len(chosen), 1))
    settled = msgspec.structs.replace(view, metric=tuple(chosen), smooth=smooth)
    return Curves(
        view=settled,
        charts=tuple(
            _chart(service.drawn_lines(snapshot, principal, list(names), key, asked), (key, names), settled, asked) for key in chosen
        ),
        metrics=tuple(Choice(key, key, key in chosen) for key in known),
        axes=tuple(Choice(axis, label, axis == view.axis) for axis, label in AXES.items()),
        wide=curve_query(settled, first="", last="") if view.first or view.last else "",
        error=error,
    )


def _range(view: CurveView) -> tuple[float | None, float | None, str]:
    ends: list[float | None] = []
    for text in (view.first, view.last):
        try:
            ends.append(_end(text, view.axis))
        except ValueError:
            return None, None, f"{text[:40]!r} is no place on this axis"
    first, last = ends
    if first is not None and last is not None and not first < last:
        return None, None, "the range ends before it begins"
    return first, last, ""


def _end(text: str, axis: Axis) -> float | None:
    """A place on an axis. Raises ValueError."""
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        if axis != "wall":
            raise
        at = datetime.fromisoformat(text)
        found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000
    if found - found != 0 or abs(found) > 1e15:
        raise ValueError(text)
    return found


def _chart(
    lines: Sequence[service.DrawnLine], named: tuple[str, Mapping[RunId, str]], view: CurveView, asked: service.CurvesAsked
) -> CurveChart:
    key, names = named
    by_run = {line.run_id: line for line in lines}
    # A run without the metric keeps its place, so that each has one colour in every chart.
    shown = [
        CurveLine(
            name=name, course=by_run[run_id].course if run_id in by_run else ([], []), raw=by_run[run_id].raw if run_id in by_run else None
        )
        for run_id, name in names.items()
    ]
    plane = CurvePlane(y=key, axis=view.axis, is_log=view.log, first=asked.first, last=asked.last)
    width = WIDTH if len(names) > 1 else NARROW
    chart = curves(f"{key} by {AXES[view.axis]}", shown, plane, width)
    if len(names) == 1:
        chart = msgspec.structs.replace(chart, keys=())
    return CurveChart(metric=key, chart=chart, note=_note(lines, view))


def _note(lines: Sequence[service.DrawnLine], view: CurveView) -> str:
    points, gaps = sum(line.points for line in lines), sum(line.gaps for line in lines)
    drawn = sum(len(line.course[0]) for line in lines)
    parts = [
        f"{plural(points, 'point')}, {drawn:,} drawn: the first, lowest, highest and last of each stretch"
        if drawn < points
        else plural(points, "point")
    ]
    if gaps:
        parts.append(f"{plural(gaps, 'value')} that {'is' if gaps == 1 else 'are'} no number, shown as gaps")
    if view.log:
        below = sum(value is not None and value <= 0 for line in lines for value in line.course[1])
        parts += [f"{plural(below, 'value')} at or below 0 left out by the scale"] if below else []
    return "; ".join(parts) + "."

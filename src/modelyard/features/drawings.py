"""What a view's page draws: its lineage, its lag from day to day, and each feature's course as a small picture. Owns what they show."""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.features.domain import AppliedView, FeatureConsumer, Source, Sql
from modelyard.features.sections import FeatureCourse, ReadDay
from modelyard.web.charts import Chart
from modelyard.web.lanes import Knot, Lane, Lanes, lanes_of
from modelyard.web.parts import Tone
from modelyard.web.plots import CurveLine, CurvePlane, curves
from modelyard.web.words import plural

WIDTH, HEIGHT, FOOT = 232.0, 54.0, 8.0
HOUR = 3600.0
DAY_MS = 86_400_000.0
LAG_WIDTH = 720


class CourseRow(msgspec.Struct, frozen=True, kw_only=True):
    """A feature's course as lines of a small drawing: the middle, the area from low to high, a bar a day for the missing share.

    `middle` and `area` are points of SVG; each bar is its left edge, width and height. `last` is the newest day with values.
    """

    feature: str
    reader: str
    measure: str
    lines: tuple[str, ...]
    areas: tuple[str, ...]
    bars: tuple[tuple[float, float, float], ...]
    low: float | None
    high: float | None
    last: float | None
    missing: float
    days: int


def lineage_of(
    applied: AppliedView, tone: Tone, sets: Sequence[str], consumers: Sequence[FeatureConsumer], live: Mapping[str, Sequence[int]]
) -> Lanes:
    """From the source over the view and the sets that have it to what reads them; versions that are live are named."""
    view = applied.view
    source = _source(view.source)
    here = Knot(id="view", label=view.name, note=f"v{applied.number}, {plural(len(view.names), 'feature')}", tone=tone, is_here=True)
    readers = sorted(consumers, key=lambda one: (one.name not in live, one.set, one.name))
    # In the order of those that read them, so that few lines cross.
    names = list(dict.fromkeys((*(one.set for one in readers), *sets)))
    models = tuple(
        Knot(
            id=f"reader:{one.name}",
            label=one.name,
            href=one.href,
            note=_live_said(live.get(one.name, ())),
            tone="good" if one.name in live else "idle",
        )
        for one in readers
    )
    lanes = [
        Lane("Source", (source,)),
        Lane("View", (here,)),
        Lane("Feature sets", tuple(Knot(id=f"set:{name}", label=name) for name in names)),
        Lane("Models", models),
    ]
    lines = [("source", "view"), *(("view", f"set:{name}") for name in names)]
    lines += [(f"set:{one.set}", f"reader:{one.name}") for one in readers]
    drawn = [lane for lane in lanes if lane.knots]
    return lanes_of(f"{view.name} comes from {view.source.place} and is read by {len(models)} models", drawn, lines, more="#readers")


def _source(source: Source) -> Knot:
    # A query is no name: its end says nothing to whoever looks for where rows come from.
    if isinstance(source, Sql):
        return Knot(
            id="source", label=source.table or source.connection, note=source.connection if source.table else "a query", title=source.place
        )
    return Knot(id="source", label=source.place, note=source.kind)


def _live_said(versions: Sequence[int]) -> str:
    return f"{', '.join(f'v{number}' for number in versions)} live" if versions else "not live"


def lag_chart(days: Sequence[ReadDay], promised_s: float | None) -> Chart | None:
    """How far at worst a day's reads lay ahead of what had been brought online, against the promise; `None` before any day."""
    told = [(one.at / 1000, one.lag_s / HOUR) for one in days if one.lag_s is not None]
    if not told:
        return None
    xs = [at for at, _ in told]
    lines = [CurveLine(name="furthest behind a read", course=(xs, [lag for _, lag in told]))]
    if promised_s is not None:
        ends = [xs[0], xs[-1] if len(xs) > 1 else xs[0] + DAY_MS]
        lines.append(CurveLine(name="promised", course=(ends, [promised_s / HOUR] * 2)))
    label = "How far what had been brought online lay behind a read, at worst, by day, in hours"
    return curves(label, lines, CurvePlane(y="hours", axis="wall", height=200), LAG_WIDTH)


def course_row(course: FeatureCourse) -> CourseRow:
    """The small drawing of a course. A day without values breaks its lines."""
    days = course.days
    values = [value for day in days for value in (day.low, day.middle, day.high) if value is not None]
    low, high = min(values, default=None), max(values, default=None)
    width = WIDTH / max(len(days), 1)
    room = HEIGHT - FOOT - 4

    def place(value: float) -> float:
        span = (high or 0.0) - (low or 0.0)
        return 2 + room * (1 - (value - (low or 0.0)) / span) if span else 2 + room / 2

    lines, areas = [], []
    for run in _runs(course):
        at = [width * (n + 0.5) for n in run]
        middle = [f"{x:.1f},{place(days[n].middle or 0.0):.1f}" for x, n in zip(at, run, strict=True)]
        lines.append(" ".join(middle if len(middle) > 1 else [f"{at[0] - 1.5:.1f},{middle[0].partition(',')[2]}", *middle]))
        upper = [f"{x:.1f},{place(high_end):.1f}" for x, n in zip(at, run, strict=True) if (high_end := days[n].high) is not None]
        lower = [f"{x:.1f},{place(low_end):.1f}" for x, n in zip(at, run, strict=True) if (low_end := days[n].low) is not None]
        if len(upper) > 1:
            areas.append(" ".join([*upper, *reversed(lower)]))
    bars = ((width * n, max(width - 1, 0.5), FOOT * day.missing) for n, day in enumerate(days) if day.missing)
    return CourseRow(
        feature=course.feature,
        reader=course.reader,
        measure=course.measure,
        lines=tuple(lines),
        areas=tuple(areas),
        bars=tuple((round(x, 1), round(wide, 1), round(tall, 1)) for x, wide, tall in bars),
        low=low,
        high=high,
        last=next((day.middle for day in reversed(days) if day.middle is not None), None),
        missing=sum(day.missing for day in days) / max(len(days), 1),
        days=len(days),
    )


def _runs(course: FeatureCourse) -> list[list[int]]:
    """The places of days with values, in runs without a gap."""
    runs: list[list[int]] = []
    for n, day in enumerate(course.days):
        if day.middle is None:
            continue
        if runs and runs[-1][-1] == n - 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    return runs

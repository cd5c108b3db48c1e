"""Monitoring's charts: performance against what was approved, and a column against its reference. Owns what they show."""

from collections.abc import Sequence

from modelyard.monitoring.domain import AlertKind, Observation
from modelyard.monitoring.rules.pictures import Part, smoothed
from modelyard.monitoring.service import Shown
from modelyard.web.charts import Band, Bar, Bin, Chart, Event, Plane, Point, Series, bars, histograms, lines

Z95 = 1.96
LEAST_FOR_A_MEAN = 8


def performance_chart(shown: Shown) -> Chart | None:
    """The metric day by day with its mean over a week, the approved band, releases and alarms; `None` before any outcome."""
    if not shown.days or shown.metric is None:
        return None
    first, last = shown.days[0].since_at, shown.days[-1].until_at
    events = [Event(one.at, f"v{one.version}") for one in shown.releases if first <= one.at <= last]
    alarms = [one for one in shown.alerts if one.kind is AlertKind.DEGRADATION and first <= one.opened_at <= last]
    events += [Event(one.opened_at, "alarm", "bad") for one in alarms]
    by_day = Series(name="day", points=_points(shown.days, has_interval=False), is_dashed=True)
    series = [Series(name="week's mean", points=_points(smoothed(shown.days))), by_day]
    if len(shown.days) < LEAST_FOR_A_MEAN:
        series = [Series(name="day", points=_points(shown.days))]
    return lines(
        f"{shown.metric} by day, with its mean over a week and the level at approval",
        series,
        Plane(y=shown.metric, format=".3f"),
        band=_approved(shown),
        events=events,
    )


def _points(days: Sequence[Observation], *, has_interval: bool = True) -> list[Point]:
    return [
        Point(
            float(day.until_at),
            day.value,
            day.value - Z95 * day.standard_error if has_interval else None,
            day.value + Z95 * day.standard_error if has_interval else None,
        )
        for day in days
    ]


def _approved(shown: Shown) -> Band | None:
    level = shown.level
    if level is None:
        return None
    error = level.standard_error if level.by_day_error is None else level.by_day_error
    return Band("approved, by day" if level.by_day is not None else "approved", level.daily - Z95 * error, level.daily + Z95 * error)


def shape_chart(column: str, parts: Sequence[Part]) -> Chart:
    """A column's last window against its reference: over ranges of numbers, or the current share of each category."""
    if any(part.word for part in parts):
        items = [Bar(f"{part.word}  {part.reference:.0%} in training", part.current) for part in parts]
        return bars(f"{column}: the share of each value now, and in training", items, Plane(x="share now", format=".0%"))
    bins = [Bin(low=part.low, high=part.high, reference=part.reference, current=part.current) for part in parts]
    return histograms(f"{column}: now, against training", bins, Plane(x=column, height=160))

"""What pages show of a model beyond its standing: its performance over time, and the distributions of its columns.

Reads summaries alone. Owns no figure: all come from the rules.
"""

from itertools import accumulate

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.clock import Instant
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, Column, Level, Metric, ModelMonitoring, Observation, WindowSummary
from modelyard.monitoring.rules.causes import Release
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.monitoring.rules.outcomes import observations
from modelyard.monitoring.rules.pictures import Part, shape
from modelyard.monitoring.rules.summaries import merged
from modelyard.monitoring.service.looking import JUDGED, by_day
from modelyard.monitoring.service.surroundings import releases_of
from modelyard.monitoring.service.watching import get_monitoring
from modelyard.registry.domain import ModelName
from modelyard.serving.domain import Arm
from modelyard.storage.database import Snapshot

MOST_PAST_ALERTS = 40


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A model's monitoring with its history.

    `days` is the metric day by day over the answers of models, of whichever version answered; `fallback` counts the
    outcomes that a fallback answered. `shapes` are the columns' distributions in the last window of drift.
    """

    standing: ModelMonitoring
    metric: Metric | None
    level: Level | None
    days: tuple[Observation, ...]
    outcomes: int
    fallback: int
    releases: tuple[Release, ...]
    alerts: tuple[Alert, ...]
    shapes: dict[str, tuple[Part, ...]]


def show_monitoring(snapshot: Snapshot, principal: Principal, model: ModelName, days: int) -> Shown:
    """The monitoring of a model over the last `days`. Raises ModelNotMonitored."""
    standing = get_monitoring(snapshot, principal, model)
    metric = standing.watched.performances[0].metric if standing.watched.performances else None
    since = Instant((snapshot.now() // DAY_US - days) * DAY_US)
    cells = [cell for cell in store.list_outcomes(snapshot, model, since) if cell.arm != Arm.SHADOW.value]
    answered = by_day([cell for cell in cells if cell.arm in JUDGED])
    measured = observations(metric, answered) if metric else ()
    return Shown(
        standing=standing,
        metric=metric,
        level=next((level for level in standing.levels if level.metric == metric), None),
        days=measured,
        outcomes=sum(cell.outcomes.rows for cell in cells),
        fallback=sum(cell.outcomes.rows for cell in cells if cell.arm == Arm.FALLBACK.value),
        releases=releases_of(snapshot, model) if standing.watched.live is not None else (),
        alerts=tuple(
            alert for alert in store.list_alerts(snapshot, model, None, MOST_PAST_ALERTS) if principal.may(Role.VIEWER, alert.team_id)
        ),
        shapes=_shapes(snapshot, standing),
    )


def _shapes(snapshot: Snapshot, standing: ModelMonitoring) -> dict[str, tuple[Part, ...]]:
    report, watched = standing.report, standing.watched
    if report is None or report.drift_since_at is None or report.drift_until_at is None:
        return {}
    reference = store.find_reference(snapshot, watched.model, report.version)
    days = store.list_days(snapshot, watched.model, report.version, report.drift_since_at, report.drift_until_at)
    if reference is None or not days:
        return {}
    *_, window = accumulate((day.summary for day in days), merged)
    return _drawn(window, {column.name: column for column in reference.content.reference.columns})


def _drawn(window: WindowSummary, columns: dict[str, Column]) -> dict[str, tuple[Part, ...]]:
    return {name: shape(columns[name], counts) for name, counts in window.columns.items() if name in columns}

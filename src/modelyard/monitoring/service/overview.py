"""What is asked of all models at once: their health, and the losses that alarms told of. A few queries, however many models."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.clock import Instant
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, AlertKind, Level, Measured, Metric, ViewState, Watched
from modelyard.monitoring.rules.alerting import RECOVERED
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.monitoring.service.looking import JUDGED
from modelyard.monitoring.service.watching import view_states
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot

MOST_LOSSES = 200
SHOWN_DAYS = 30


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a watched model stands, in short: its metric now and at approval, its open alerts, the views that its live version reads.

    `by_day` is the metric of the last 30 days, oldest first, each of the version that answered last on that day; `answers`
    are the predictions of those days, the last of which is today's, in UTC.
    """

    watched: Watched
    metric: Metric | None
    measured: Measured | None
    level: Level | None
    views: tuple[ViewState, ...]
    alerts: tuple[Alert, ...]
    by_day: tuple[float, ...]
    answers: tuple[int, ...]


def list_health(snapshot: Snapshot, principal: Principal) -> dict[ModelName, Health]:
    """The health of every watched model that the caller may see, by model."""
    watched = store.list_watched(snapshot, principal.teams)
    today = snapshot.now() // DAY_US
    days = [Instant(day * DAY_US) for day in range(today - SHOWN_DAYS + 1, today + 1)]
    approved = store.list_approved(snapshot, [(one.model, one.live) for one in watched if one.live is not None])
    briefs, states, alerts = store.list_briefs(snapshot), view_states(snapshot), store.list_open(snapshot)
    daily, counts = store.list_daily(snapshot, days[0]), store.count_days(snapshot, days[0])
    found = {}
    for one in watched:
        metric = one.performances[0].metric if one.performances else None
        level, brief = approved.get(one.model, store.Approved()), briefs.get(one.model)
        found[one.model] = Health(
            watched=one,
            metric=metric,
            measured=_of(brief.measured, metric) if brief is not None and brief.version == one.live else None,
            level=next((each for each in level.levels if each.metric == metric), None),
            views=tuple(states[name] for name in sorted(set(level.views.values())) if name in states),
            alerts=tuple(alert for alert in alerts if one.model in alert.models),
            by_day=_by_day(daily.get(one.model, ()), metric),
            answers=tuple(counts.get((one.model, day), 0) for day in days),
        )
    return found


def _of(measured: Iterable[Measured], metric: Metric | None) -> Measured | None:
    return next((one for one in measured if one.metric == metric), None)


def _by_day(cells: Iterable[store.DailyMetric], metric: Metric | None) -> tuple[float, ...]:
    found: dict[Instant, tuple[int, float]] = {}
    for cell in cells:
        one = _of(cell.measured, metric) if cell.arm in JUDGED else None
        if one is not None and cell.version >= found.get(cell.since_at, (0, 0.0))[0]:
            found[cell.since_at] = (cell.version, one.value)
    return tuple(value for _, (_, value) in sorted(found.items()))


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A loss that an alarm told of, and how it ended: not yet, by the level coming back, or by another version that answers.

    `is_confirmed` says that a later look, with the outcomes of further days, still found it.
    """

    alert: Alert
    end: Literal["open", "recovered", "replaced"]

    @property
    def is_confirmed(self) -> bool:
        """Whether outcomes of days after the alarm said so too."""
        return self.alert.seen_at > self.alert.opened_at

    @property
    def is_false(self) -> bool:
        """Whether the level was back before any later look could confirm the loss."""
        return self.end == "recovered" and not self.is_confirmed


def list_losses(snapshot: Snapshot, principal: Principal) -> list[Loss]:
    """The losses that alarms told of, of models that the caller may see, newest first, at most 200."""
    found = store.list_alerts_of(snapshot, AlertKind.DEGRADATION, MOST_LOSSES)
    return [Loss(alert=one, end=_end(one)) for one in found if principal.may(Role.VIEWER, one.team_id)]


def _end(alert: Alert) -> Literal["open", "recovered", "replaced"]:
    if alert.is_open:
        return "open"
    return "recovered" if alert.closed_why.endswith(RECOVERED) else "replaced"

"""What is watched: a model's monitors and its versions' references, and how all of it stands. Owns their ledger entries."""

import contextlib
from collections.abc import Mapping, Sequence

import msgspec
import polars as pl
from numpy.typing import ArrayLike

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.digests import digest_of
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.monitoring import store
from modelyard.monitoring.domain import (
    BINARY_METRICS,
    NUMBER_METRICS,
    PREDICTION,
    Drift,
    Level,
    Metric,
    ModelMonitoring,
    ModelNotMonitored,
    Monitor,
    NewReference,
    NewWatch,
    NoOutcomes,
    Reference,
    VersionReference,
    ViewState,
    Watched,
)
from modelyard.monitoring.rules.degradation import approved_level
from modelyard.monitoring.rules.profiles import DAY_S, profile
from modelyard.monitoring.service.surroundings import freshness
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot, Transaction


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What a version answered on rows that it had not seen: scores, labels, and their instants in microseconds where known."""

    scores: pl.Series
    labels: pl.Series
    at: pl.Series | None = None


def reference_of(
    rows: pl.DataFrame, columns: Sequence[str], monitors: Sequence[Monitor], *, at: pl.Series | None = None, scored: Scored | None = None
) -> Reference:
    """The reference of a version: of the `columns` of the rows that it was trained on, and of what it answered since.

    `at` are the rows' instants: with them the reference knows how much its own days and windows differ.
    """
    window_s = next((one.window_us / 1e6 for one in monitors if isinstance(one, Drift)), 7 * DAY_S)
    made = profile(rows, columns=columns, at=at, window_s=window_s)
    if scored is None:
        return made
    answers = profile(scored.scores.alias(PREDICTION).to_frame(), at=scored.at, window_s=window_s)
    return msgspec.structs.replace(made, columns=(*made.columns, *answers.columns))


def levels_of(scored: Scored, *, is_binary: bool) -> tuple[Level, ...]:
    """What the version was approved at, by every metric of its kind that so many outcomes can tell."""
    labels: ArrayLike = scored.labels.cast(pl.Float64).to_numpy()
    at = None if scored.at is None else scored.at.cast(pl.Int64).to_numpy()
    metrics: tuple[Metric, ...] = BINARY_METRICS if is_binary else NUMBER_METRICS
    levels = []
    for metric in metrics:
        with contextlib.suppress(NoOutcomes):
            levels.append(approved_level(metric, labels, scored.scores.to_numpy(), at))
    return tuple(levels)


def set_monitors(tx: Transaction, principal: Principal, model: ModelName, watch: NewWatch) -> Watched:
    """The model, watched by exactly these monitors from now on. The same ones again change nothing."""
    before = store.find_watched(tx, model)
    team = watch.team_id if before is None else before.team_id
    require(principal, Role.CONTRIBUTOR, team)
    if before is not None and (before.monitors, before.is_binary) == (watch.monitors, watch.is_binary):
        return before
    made = Watched(model=model, team_id=team, monitors=watch.monitors, is_binary=watch.is_binary, set_by=principal.id, set_at=tx.now())
    if before is not None:
        looks = ("live", "live_at", "ticked_at", "drift_to", "quality_at", "outcomes_to", "skew_to", "skew_due")
        made = msgspec.structs.replace(made, **{name: getattr(before, name) for name in looks})
    store.put_watched(tx, made)
    data = {"monitors": msgspec.to_builtins(made.monitors)}
    record(tx, NewEntry(type="monitoring.monitors_set", subject=f"model:{model}", actor=principal.id, data=data, team_id=team))
    return made


def why_bound(snapshot: Snapshot, model: ModelName) -> str:
    """Why the registry's model must keep its name: it is monitored. Empty where it never was."""
    return "it is monitored" if store.find_watched(snapshot, model) is not None else ""


def put_reference(tx: Transaction, principal: Principal, model: ModelName, version: int, content: NewReference) -> VersionReference:
    """What the version is held against from now on. A version has one reference: a second one is not taken.

    Raises ModelNotMonitored for a model whose monitors were never set.
    """
    watched = _watched(tx, principal, model)
    require(principal, Role.CONTRIBUTOR, watched.team_id)
    standing = store.find_reference(tx, model, version)
    if standing is not None:
        return standing
    digest, team = digest_of(content.reference), watched.team_id
    made = VersionReference(model=model, version=version, team_id=team, digest=digest, content=content, made_at=tx.now())
    store.insert_reference(tx, made)
    data = {
        "rows": content.reference.rows,
        "columns": [column.name for column in content.reference.columns],
        "levels": {level.metric: level.value for level in content.levels},
    }
    entry = NewEntry(type="monitoring.reference_made", subject=f"model:{model}/{version}", actor=principal.id, data=data, digest=digest)
    record(tx, msgspec.structs.replace(entry, team_id=team))
    return made


def _watched(snapshot: Snapshot, principal: Principal, model: ModelName) -> Watched:
    watched = store.find_watched(snapshot, model)
    if watched is None or not principal.may(Role.VIEWER, watched.team_id):
        raise ModelNotMonitored(f"{model} is not watched", hint="declare monitors: @model(..., monitors=[drift()]), then yard apply")
    return watched


def get_monitoring(snapshot: Snapshot, principal: Principal, model: ModelName) -> ModelMonitoring:
    """How a model stands: monitors, approved levels, the last findings, its views, open alerts. Raises ModelNotMonitored."""
    return _standing(snapshot, _watched(snapshot, principal, model), view_states(snapshot))


def list_monitoring(snapshot: Snapshot, principal: Principal) -> list[ModelMonitoring]:
    """The same for every watched model that the caller may see, by name."""
    views = view_states(snapshot)
    return [_standing(snapshot, watched, views) for watched in store.list_watched(snapshot) if principal.may(Role.VIEWER, watched.team_id)]


def view_states(snapshot: Snapshot) -> dict[str, ViewState]:
    """How every view stands now, by name."""
    return {
        one.view: ViewState(
            view=one.view, newest_event_at=one.newest_event_at, promised_s=one.promised_s, lag_s=one.lag_s, is_stale=one.is_stale
        )
        for one in freshness(snapshot)
    }


def _standing(snapshot: Snapshot, watched: Watched, views: Mapping[str, ViewState]) -> ModelMonitoring:
    reference = None if watched.live is None else store.find_reference(snapshot, watched.model, watched.live)
    read = sorted(set(reference.content.views.values())) if reference else []
    return ModelMonitoring(
        watched=watched,
        levels=reference.content.levels if reference else (),
        report=store.find_report(snapshot, watched.model),
        views=tuple(views[name] for name in read if name in views),
        alerts=tuple(alert for alert in store.list_open(snapshot) if watched.model in alert.models),
    )

"""Skew: what was read online and logged, held against the recomputation from source. Owns which rows can be verified.

A finished day of a model is measured once, when the log is complete up to its end. Cost grows with the new rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.access.domain import SYSTEM, Principal, Role
from modelyard.core.clock import Instant
from modelyard.features import service as features
from modelyard.features.domain import FeatureSet, FeatureView, SourceDrifted, SourceUnreadable, ViewNotFound
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, AlertKind, ModelNotMonitored, SkewDue, ViewSkew, Watched
from modelyard.monitoring.rules.alerting import Over, Plan, planned, skew_found
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.monitoring.rules.skew import rows_differ
from modelyard.monitoring.service.alerts import made_true
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelName
from modelyard.serving import service as serving
from modelyard.serving.domain import Arm, PredictionQuery
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.tables import Tables

MOST_ROWS = 200_000
"""Rows that are compared at once; a span with more of them is halved."""
SHORTEST_US = 60_000_000
NEVER = -(2**62)
MOST_VERSIONS = 1000
ON_DEMAND = "on-demand/"
"""Stands before an on-demand feature's name where a view's would stand: no view's name has a slash, and its page is there."""
COUNTS = ("compared", "different", "unverifiable")

Ints = NDArray[np.int64]
Booleans = NDArray[np.bool_]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A model and the event times [since, until) in which it was asked."""

    model: ModelName
    since: Instant
    until: Instant


def measure_due(database: Database, tables: Tables) -> int:
    """Measures every watched model's days that are over and completely in the log, each once; how many counts were made.

    The first call after a day's end notes when that was on the machine's clock: the log is complete up to there once all
    that was answered before is in it. The worker calls it again and again.
    """
    with database.read() as snapshot:
        end = Instant(snapshot.now() // DAY_US * DAY_US)
        behind = [one for one in store.list_watched(snapshot) if one.skew_to is None or one.skew_to < end]
        complete = serving.log_position(snapshot).complete_through_at if behind else Instant(0)
    made = 0
    for watched in behind:
        due = watched.skew_due
        if due is None:
            database.write(lambda tx, watched=watched: _note_due(tx, watched, end))  # type: ignore[misc] # bound now
        elif complete >= due.seen_wall_at:
            made += _measured_up_to(database, tables, watched, due.until_at)
    return made


def _note_due(tx: Transaction, before: Watched, end: Instant) -> None:
    standing = store.find_watched(tx, before.model)
    if standing is not None and standing.skew_due is None:
        store.put_watched(tx, msgspec.structs.replace(standing, skew_due=SkewDue(until_at=end, seen_wall_at=tx.wall())))


def _measured_up_to(database: Database, tables: Tables, watched: Watched, until: Instant) -> int:
    counts = _counted(database, tables, Span(model=watched.model, since=watched.skew_to or Instant(0), until=until))
    with database.read() as snapshot:
        plan = _plan(snapshot, watched, counts)

    def work(tx: Transaction) -> int:
        standing = store.find_watched(tx, watched.model)
        if standing is None or standing.skew_to != watched.skew_to:
            return 0  # Another worker was first.
        store.put_skew(tx, watched.team_id, counts)
        store.put_watched(tx, msgspec.structs.replace(standing, skew_to=until, skew_due=None))
        made_true(tx, plan, lambda _: watched.team_id)
        return len(counts)

    return database.write(work)


def _plan(snapshot: Snapshot, watched: Watched, counts: Sequence[ViewSkew]) -> Plan:
    """An alert for each view of which a value differed; one that is open is over when a later measurement finds none."""
    open_alerts: dict[str, Alert] = {
        alert.cause: alert for alert in store.list_open(snapshot) if alert.kind is AlertKind.SKEW and alert.model == watched.model
    }
    found, over = [], []
    for view in sorted({one.view for one in counts}):
        mine = [one for one in counts if one.view == view]
        if any(one.different for one in mine):
            found.append(skew_found(watched, view, mine))
        elif any(one.compared for one in mine):
            over += [
                Over(alert=one, why=f"{view} reads online as its source says again") for one in open_alerts.values() if one.subject == view
            ]
    return planned(found, over, open_alerts, snapshot.now())


def measure_skew(database: Database, tables: Tables, span: Span, *, most_rows: int = MOST_ROWS) -> tuple[ViewSkew, ...]:
    """Every logged vector of `span` against its recomputation, by view and day, counted and kept.

    A vector is what one prediction read of one view. It is recomputed as it was to be read: at the prediction's instant,
    of what the view had been brought online up to by then. A second call over the same days replaces the first. No more
    than `most_rows` are in memory at once. Raises ModelNotMonitored.
    """
    with database.read() as snapshot:
        watched = store.find_watched(snapshot, span.model)
        if watched is None:
            raise ModelNotMonitored(f"{span.model} is not watched", hint="declare monitors, then yard apply")
    counts = _counted(database, tables, span, most_rows)
    database.write(lambda tx: store.put_skew(tx, watched.team_id, counts))
    return counts


def _counted(database: Database, tables: Tables, span: Span, most_rows: int = MOST_ROWS) -> tuple[ViewSkew, ...]:
    with database.read() as snapshot:
        sets = _feature_sets(snapshot, span.model)
    if not sets:  # what comes with a request is nowhere else to be compared with
        return ()
    names = {name for one in sets.values() for name in (*(key.name for key in one.keys), *one.names)}
    names |= {field.name for one in sets.values() for field in one.request}
    uptos = {f"upto:{view.name}" for one in sets.values() for view in one.views}
    found: dict[tuple[str, int], ViewSkew] = {}
    query = PredictionQuery(model=span.model, since=span.since, until=span.until, only=tuple(sorted(names | uptos)))
    for part in _parts(tables, query, most_rows):
        for (version,), rows in part.partition_by("version", as_dict=True).items():
            feature_set = sets.get(int(str(version)))
            if feature_set is not None:
                _add(found, _compared(database, feature_set, span.model, rows))
    return tuple(found[key] for key in sorted(found))


def _parts(tables: Tables, query: PredictionQuery, most_rows: int) -> Iterator[pl.DataFrame]:
    """The logged rows, in frames of so many at most: of a span that has more, one half after the other."""
    waiting = [query]
    while waiting:
        one = waiting.pop()
        count = serving.count_predictions(tables, one)
        if count.rows > most_rows and count.last_at - count.first_at >= SHORTEST_US:
            middle = Instant((count.first_at + count.last_at) // 2)
            waiting += [msgspec.structs.replace(one, since=middle), msgspec.structs.replace(one, until=middle)]
        elif count.rows:
            yield serving.read_predictions(tables, one)


def _feature_sets(snapshot: Snapshot, model: ModelName) -> dict[int, FeatureSet]:
    """The set that each version reads, also where another one stands under its name by now."""
    digests = {one.version.number: one.version.feature_set for one in registry.list_versions(snapshot, SYSTEM, model, limit=MOST_VERSIONS)}
    known = {digest: features.find_applied_set(snapshot, digest) for digest in set(digests.values()) if digest is not None}
    return {number: found for number, digest in digests.items() if digest is not None and (found := known[digest]) is not None}


def _compared(database: Database, feature_set: FeatureSet, model: ModelName, rows: pl.DataFrame) -> list[ViewSkew]:
    at = rows.get_column("at").to_numpy()
    uptos = {view.name: rows.get_column(f"upto:{view.name}") for view in feature_set.views if f"upto:{view.name}" in rows.columns}
    known = {name: upto.fill_null(NEVER).to_numpy() for name, upto in uptos.items()}
    keys = rows.select(key.name for key in feature_set.keys)
    found = []
    try:
        recomputed: pl.DataFrame | None = features.recompute(database, feature_set, keys, at, known)
    except (SourceUnreadable, SourceDrifted, ViewNotFound):
        recomputed = None
    for view in feature_set.views:
        # A fallback that stood in for a stale view has read nothing.
        was_read = np.ones(rows.height, dtype=np.bool_)
        if view.name in uptos:
            was_read = ~((rows.get_column("arm") == Arm.FALLBACK.value) & uptos[view.name].is_null()).to_numpy()
        found += _by_day(ViewIn(model, view.name), at, was_read, *_judged(view, feature_set, rows, recomputed, known.get(view.name)))
    if feature_set.on_demand:
        found += _computed_by_day(feature_set, model, rows)
    return found


def _computed_by_day(feature_set: FeatureSet, model: ModelName, rows: pl.DataFrame) -> Iterator[ViewSkew]:
    """What on-demand functions gave one row at a time, held against what they give these rows as columns: all rows that they ran for.

    Their inputs are those that were logged. What was wrong with an input is counted with its view, and not a second time here.
    """
    uptos = [rows.get_column(f"upto:{view.name}").is_null() for view in feature_set.views if f"upto:{view.name}" in rows.columns]
    nothing_read = np.logical_or.reduce([upto.to_numpy() for upto in uptos]) if uptos else np.zeros(rows.height, dtype=np.bool_)
    was_read = ~((rows.get_column("arm") == Arm.FALLBACK.value).to_numpy() & nothing_read)
    recomputed, at = features.recompute_on_demand(feature_set, rows), rows.get_column("at").to_numpy()
    for function in feature_set.on_demand:
        differs = rows_differ(rows, recomputed.select(function.name))
        yield from _by_day(ViewIn(model, f"{ON_DEMAND}{function.name}"), at, was_read, differs, np.zeros_like(differs))


def _judged(
    view: FeatureView, feature_set: FeatureSet, rows: pl.DataFrame, recomputed: pl.DataFrame | None, upto: Ints | None
) -> tuple[Booleans, Booleans]:
    """Which rows differ, and of which nobody can tell: shape (n,) each."""
    if recomputed is None:
        return np.zeros(rows.height, dtype=np.bool_), np.ones(rows.height, dtype=np.bool_)
    differs = rows_differ(rows, recomputed.select(name for name in feature_set.names if name in view.names), view.online_errors)
    if upto is None:
        return np.zeros_like(differs), differs
    # The online store keeps no past: a request that is dated before what it holds may find less than there was.
    is_late = upto > rows.get_column("at").to_numpy()
    return differs & ~is_late, differs & is_late


class ViewIn(NamedTuple):
    """A view as a model reads it."""

    model: ModelName
    view: str


def _by_day(name: ViewIn, at: Ints, was_read: Booleans, differs: Booleans, unverifiable: Booleans) -> list[ViewSkew]:
    days, places = np.unique(at // DAY_US, return_inverse=True)
    counts = [
        np.bincount(places[mask], minlength=len(days)) for mask in (was_read & ~unverifiable, was_read & differs, was_read & unverifiable)
    ]
    return [
        ViewSkew(
            model=name.model,
            view=name.view,
            since_at=Instant(day * DAY_US),
            until_at=Instant((day + 1) * DAY_US),
            compared=compared,
            different=different,
            unverifiable=unknown,
        )
        for day, compared, different, unknown in zip(days.tolist(), *(count.tolist() for count in counts), strict=True)
        if compared or unknown
    ]


def _add(found: dict[tuple[str, int], ViewSkew], more: Iterable[ViewSkew]) -> None:
    for one in more:
        before = found.get((one.view, one.since_at))
        counts = {name: getattr(before, name) + getattr(one, name) if before else getattr(one, name) for name in COUNTS}
        found[one.view, one.since_at] = msgspec.structs.replace(one, **counts)


def list_skew(snapshot: Snapshot, principal: Principal, model: ModelName | None = None, view: str | None = None) -> list[ViewSkew]:
    """What all comparisons found together, by model and view, of the models that the caller may see."""
    seen = {one.model for one in store.list_watched(snapshot) if principal.may(Role.VIEWER, one.team_id)}
    return [one for one in store.sum_skew(snapshot, model) if one.model in seen and view in (None, one.view)]

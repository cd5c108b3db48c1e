"""Logged vectors held against their recomputation from the sources, by view and day. Owns which rows are looked at, and the sample."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant
from modelyard.features import service as features
from modelyard.features.domain import FeatureSelection, FeatureSet, FeatureView, SourceDrifted, SourceUnreadable, ViewNotFound
from modelyard.features.frames import POLARS_TYPE
from modelyard.features.stored import Histories
from modelyard.monitoring.domain import LATE_CAUSES, SkewCause, SkewExample, ViewSkew
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.monitoring.rules.skew import (
    CODES,
    NEVER,
    UNVERIFIABLE,
    Booleans,
    Compared,
    Verdicts,
    added_causes,
    cells_differ,
    rows_differ,
    verdicts,
)
from modelyard.registry import service as registry
from modelyard.registry.domain import ModelName
from modelyard.serving import service as serving
from modelyard.serving.domain import Arm, PredictionQuery
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.tables import Tables

MOST_ROWS = 200_000
"""Days are compared together up to so many rows."""
SAMPLE = 20_000
"""Of a version and day with more predictions than this, about so many are drawn: a month of one day has 10,000 a view all the same."""
MOST_VERSIONS = 1000
MOST_DEFINITIONS = 5
"""How many other versions of a view are tried on values that differ, the newest first."""
ON_DEMAND = "on-demand/"
"""Stands before an on-demand feature's name where a view's would stand: no view's name has a slash, and its page is there."""
UNREADABLE = (SourceUnreadable, SourceDrifted, ViewNotFound)


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A model and the event times [since, until) in which it was asked."""

    model: ModelName
    since: Instant
    until: Instant


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """The logged rows of one version that are looked at; each stands for `weight` of them."""

    model: ModelName
    feature_set: FeatureSet
    rows: pl.DataFrame
    weight: float


def counted(database: Database, tables: Tables, span: Span, sample: int = SAMPLE) -> tuple[ViewSkew, ...]:
    """The logged vectors of `span` against their recomputation, by view and day.

    Of each version and day all are looked at, up to `sample`; of more, about so many are drawn.
    """
    with database.read() as snapshot:
        sets = _feature_sets(snapshot, span.model)
    if not sets:  # what comes with a request is nowhere else to be compared with
        return ()
    names = {
        name for one in sets.values() for name in (*(key.name for key in one.keys), *(field.name for field in one.request), *one.names)
    }
    uptos = {f"upto:{view.name}" for one in sets.values() for view in one.views}
    query = PredictionQuery(model=span.model, since=span.since, until=span.until, only=tuple(sorted(names | uptos)))
    found: dict[tuple[str, int], ViewSkew] = {}
    for part in _parts(query, serving.count_by_day(tables, query), sample):
        for (number,), rows in serving.read_predictions(tables, part).partition_by("version", as_dict=True).items():
            version = int(str(number))
            if version in sets:
                weight = 1 / part.shares.get(version, 1.0)
                drawn = Sample(model=span.model, feature_set=sets[version], rows=_as_declared(rows, sets[version]), weight=weight)
                _add(found, _compared(database, Histories(tables), drawn))
                _add(found, _computed_by_day(drawn))
    return tuple(found[key] for key in sorted(found))


def _parts(query: PredictionQuery, counts: dict[tuple[int, int], int], sample: int) -> Iterator[PredictionQuery]:
    """The query in parts of whole days: several where they are few rows together, a day alone where a sample of it is drawn."""
    days: dict[int, dict[int, int]] = {}
    for (day, version), rows in sorted(counts.items()):
        days.setdefault(day, {})[version] = rows
    waiting: list[int] = []
    room = MOST_ROWS
    for day, versions in days.items():
        shares = {version: sample / rows for version, rows in versions.items() if rows > sample}
        rows = sum(versions.values())
        if waiting and (shares or rows > room):
            yield _between(query, waiting)
            waiting, room = [], MOST_ROWS
        if shares:
            yield msgspec.structs.replace(_between(query, [day]), shares=shares)
        else:
            waiting.append(day)
            room -= rows
    if waiting:
        yield _between(query, waiting)


def _between(query: PredictionQuery, days: Sequence[int]) -> PredictionQuery:
    since, until = days[0] * DAY_US, (days[-1] + 1) * DAY_US
    return msgspec.structs.replace(query, since=Instant(max(query.since, since)), until=Instant(min(query.until, until)))


def _feature_sets(snapshot: Snapshot, model: ModelName) -> dict[int, FeatureSet]:
    """The set that each version reads, also where another one stands under its name by now."""
    digests = {one.version.number: one.version.feature_set for one in registry.list_versions(snapshot, SYSTEM, model, limit=MOST_VERSIONS)}
    known = {digest: features.find_applied_set(snapshot, digest) for digest in set(digests.values()) if digest is not None}
    return {number: found for number, digest in digests.items() if digest is not None and (found := known[digest]) is not None}


def _as_declared(rows: pl.DataFrame, feature_set: FeatureSet) -> pl.DataFrame:
    """The rows of one version in the types of its set: read together with another's, a column may have come in a type that holds both."""
    types = {one.name: one.dtype for one in (*feature_set.request, *feature_set.columns) if one.dtype is not None}
    types |= {key.name: key.dtype for key in feature_set.keys}
    wanted = {name: POLARS_TYPE[dtype] for name, dtype in types.items() if name in rows.columns}
    return rows.with_columns(pl.col(name).cast(dtype, strict=False) for name, dtype in wanted.items() if rows.schema[name] != dtype)


def _compared(database: Database, histories: Histories, sample: Sample) -> list[ViewSkew]:
    """View by view: one whose source cannot be read any more leaves the others to be told."""
    rows = sample.rows
    found = []
    for view in sample.feature_set.views:
        upto = rows.get_column(f"upto:{view.name}") if f"upto:{view.name}" in rows.columns else None
        # A fallback that stood in for a stale view has read nothing.
        was_read = np.ones(rows.height, dtype=np.bool_)
        if upto is not None:
            was_read = ~((rows.get_column("arm") == Arm.FALLBACK.value) & upto.is_null()).to_numpy()
        try:
            both = _recomputed(database, histories, sample, view)
        except UNREADABLE:
            found += _by_day(sample, view.name, was_read, np.full(rows.height, UNVERIFIABLE, np.int8), None)
            continue
        judged = verdicts(both, view.online_errors, view.freshness_us)
        _find_definitions(database, histories, both, judged, view)
        found += _by_day(sample, view.name, was_read, judged, both)
    return found


def _recomputed(database: Database, histories: Histories, sample: Sample, view: FeatureView) -> Compared:
    """What the set's features of a view ought to have been."""
    rows, names = sample.rows, tuple(name for name in sample.feature_set.names if name in view.names)
    at, keys = rows.get_column("at").to_numpy(), rows.select(key.name for key in view.entity.keys)
    narrow, column = FeatureSet(view.name, [FeatureSelection(view, names)]), f"upto:{view.name}"
    upto = rows.get_column(column).fill_null(NEVER).to_numpy() if column in rows.columns else None
    known = {} if upto is None else {view.name: upto}
    brought = features.recompute(database, narrow, keys, at, known, histories=histories)
    is_behind = upto is not None and bool((upto < at).any())
    was = features.recompute(database, narrow, keys, at, histories=histories) if is_behind else brought
    return Compared(logged=rows, brought=brought, was=was, at=at, upto=upto)


def _computed_by_day(sample: Sample) -> Iterator[ViewSkew]:
    """What on-demand functions gave one row at a time, held against what they give these rows as columns: all rows that they ran for.

    Their inputs are those that were logged. What was wrong with an input is counted with its view, and not a second time here.
    """
    rows, feature_set = sample.rows, sample.feature_set
    if not feature_set.on_demand:
        return
    uptos = [rows.get_column(f"upto:{view.name}").is_null() for view in feature_set.views if f"upto:{view.name}" in rows.columns]
    nothing_read = np.logical_or.reduce([upto.to_numpy() for upto in uptos]) if uptos else np.zeros(rows.height, dtype=np.bool_)
    was_read = ~((rows.get_column("arm") == Arm.FALLBACK.value).to_numpy() & nothing_read)
    recomputed, at = features.recompute_on_demand(feature_set, rows), rows.get_column("at").to_numpy()
    for function in feature_set.on_demand:
        found = recomputed.select(function.name)
        both = Compared(logged=rows, brought=found, was=found, at=at, upto=at)
        yield from _by_day(sample, f"{ON_DEMAND}{function.name}", was_read, verdicts(both, {}, None), both)


def _find_definitions(database: Database, histories: Histories, rows: Compared, judged: Verdicts, view: FeatureView) -> None:
    """Marks in `judged` the values of no known cause that another version of the view gives."""
    for other in _other_versions(database, view, rows.brought.columns):
        places = np.flatnonzero(judged == CODES[SkewCause.UNKNOWN])
        if not len(places) or rows.upto is None:
            return
        narrow = FeatureSet(view.name, [FeatureSelection(other, tuple(rows.brought.columns))])
        keys = rows.logged[places].select(key.name for key in other.entity.keys)
        try:
            values = features.recompute(database, narrow, keys, rows.at[places], {other.name: rows.upto[places]}, histories=histories)
        except UNREADABLE:
            continue
        same = ~rows_differ(rows.logged[places], values, other.online_errors)
        judged[places[same]] = CODES[SkewCause.DEFINITION]


def _other_versions(database: Database, view: FeatureView, names: Sequence[str]) -> list[FeatureView]:
    """The newest other versions of a view that have the same features of the same entity."""
    with database.read() as snapshot:
        try:
            versions = features.list_view_versions(snapshot, SYSTEM, view.name)
        except ViewNotFound:
            return []
    others = [one.view for one in versions if one.digest != view.digest and one.view.entity == view.entity]
    return [one for one in others if set(names) <= set(one.names)][:MOST_DEFINITIONS]


def _by_day(sample: Sample, name: str, was_read: Booleans, judged: Verdicts, rows: Compared | None) -> list[ViewSkew]:
    at = sample.rows.get_column("at").to_numpy()
    lags = np.zeros(len(at), np.int64) if rows is None or rows.upto is None else np.where(rows.upto == NEVER, 0, at - rows.upto)
    found = []
    for day in np.unique(at[was_read] // DAY_US).tolist():
        mine = was_read & (at // DAY_US == day)
        causes = {cause: count for cause, code in CODES.items() if (count := int((judged[mine] == code).sum()))}
        rest = int((judged[mine] == UNVERIFIABLE).sum())
        one = ViewSkew(
            model=sample.model,
            view=name,
            since_at=Instant(day * DAY_US),
            until_at=Instant((day + 1) * DAY_US),
            compared=int(mine.sum()) - rest,
            different=sum(count for cause, count in causes.items() if cause not in LATE_CAUSES),
            unverifiable=rest,
            logged=round(int(mine.sum()) * sample.weight),
            causes=causes,
            lag_s=None if rows is None or rows.upto is None else max(int(lags[mine].max()), 0) / SECOND,
            examples=() if rows is None else tuple(_example(sample, rows, judged, mine, cause) for cause in causes),
        )
        found.append(one)
    return found


def _example(sample: Sample, rows: Compared, judged: Verdicts, mine: Booleans, cause: SkewCause) -> SkewExample:
    """The first vector of that cause, with the first of its features that shows it."""
    place = int(np.flatnonzero(mine & (judged == CODES[cause]))[0])
    ought = (rows.was if cause in LATE_CAUSES else rows.brought)[place]
    logged = rows.logged[place]
    feature = next(name for name in ought.columns if cells_differ(logged[name], ought[name])[0])
    upto = None if rows.upto is None or rows.upto[place] == NEVER else Instant(int(rows.upto[place]))
    return SkewExample(
        cause=cause,
        prediction=logged["id"][0],
        keys={key.name: logged[key.name][0] for key in sample.feature_set.keys},
        at=Instant(int(rows.at[place])),
        upto_at=upto,
        feature=feature,
        logged=_text(logged[feature][0]),
        recomputed=_text(ought[feature][0]),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _add(found: dict[tuple[str, int], ViewSkew], more: Iterable[ViewSkew]) -> None:
    for one in more:
        before = found.get((one.view, one.since_at))
        found[one.view, one.since_at] = one if before is None else _added(before, one)


def _added(one: ViewSkew, other: ViewSkew) -> ViewSkew:
    counts = {name: getattr(one, name) + getattr(other, name) for name in ("compared", "different", "unverifiable", "logged")}
    lags = [lag for lag in (one.lag_s, other.lag_s) if lag is not None]
    examples = {example.cause: example for example in (*other.examples, *one.examples)}
    return msgspec.structs.replace(
        one, **counts, causes=added_causes((one, other)), lag_s=max(lags, default=None), examples=tuple(examples.values())
    )

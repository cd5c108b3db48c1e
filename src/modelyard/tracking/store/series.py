"""Rows of metrics: a series for each run and key with its latest value, and packed chunks of its points.

Statements are built once: this is the path that every logged metric takes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.prepared import Prepared, PreparedSelect, insert_of
from modelyard.tracking.domain import ExperimentId, Metric, RunId, SeriesFacts, SeriesId
from modelyard.tracking.rules.series import Latest, Points, between, latest_of, packed, packed_points, unpacked
from modelyard.tracking.store.tables import RUN_POINTS, RUN_SERIES, SCATTERED

SeriesKey = tuple[RunId, str]
CHUNKS_AT_ONCE = 4


class Owner(msgspec.Struct, frozen=True):
    """Whose rows they are: what a run's rows repeat of it."""

    team_id: TeamId
    experiment_id: ExperimentId


class SeriesRow(msgspec.Struct, frozen=True):
    """A series of a run: its id and its facts."""

    id: SeriesId
    facts: SeriesFacts


_IDS = PreparedSelect(
    lambda run_ids, keys: sa.select(RUN_SERIES.c.run_id, RUN_SERIES.c.key, RUN_SERIES.c.series_id).where(
        RUN_SERIES.c.run_id.in_(run_ids), RUN_SERIES.c.key.in_(keys)
    ),
    "run_id",
    "key",
)
_FACTS_COLUMNS = ("run_id", "key", "latest_value", "latest_at", "latest_step", "points", "latest_is_nan")
_FACTS, _FIND = (
    PreparedSelect(
        lambda run_ids, names=names: (
            sa.select(*(RUN_SERIES.c[name] for name in names))
            .where(RUN_SERIES.c.run_id.in_(run_ids))
            .order_by(RUN_SERIES.c.run_id, RUN_SERIES.c.key)
        ),
        "run_id",
    )
    for names in (_FACTS_COLUMNS, (*_FACTS_COLUMNS, "series_id"))
)
_FACTS_NAMED = PreparedSelect(
    lambda run_ids, keys: (
        sa.select(*(RUN_SERIES.c[name] for name in _FACTS_COLUMNS))
        .where(RUN_SERIES.c.run_id.in_(run_ids), RUN_SERIES.c.key.in_(keys))
        .order_by(RUN_SERIES.c.run_id, RUN_SERIES.c.key)
    ),
    "run_id",
    "key",
)
_CHUNKS = (
    sa.select(RUN_POINTS.c.series_id, RUN_POINTS.c.packed)
    .where(RUN_POINTS.c.series_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(RUN_POINTS.c.series_id, RUN_POINTS.c.chunk_id)
)
_SERIES_COLUMNS = (
    "run_id", "key", "team_id", "experiment_id", "latest_step", "latest_at", "latest_value", "latest_is_nan", "points", "loose_chunks",
)  # fmt: skip
_INSERT_SERIES = Prepared(
    lambda dialect: insert_of(RUN_SERIES, _SERIES_COLUMNS, dialect).on_conflict_do_nothing(index_elements=["run_id", "key"])
)
_INSERT_POINTS = Prepared(lambda dialect: insert_of(RUN_POINTS, ("series_id", "team_id", "is_merged", "packed"), dialect))


def _appended() -> sa.Update:
    """The series with more points and one more chunk; its latest point only moves on."""
    latest = (RUN_SERIES.c.latest_step, RUN_SERIES.c.latest_at, RUN_SERIES.c.latest_value, RUN_SERIES.c.latest_is_nan)
    new = [sa.bindparam(name, type_=column.type) for name, column in zip(Latest._fields, latest, strict=True)]
    is_later = sa.tuple_(*new) > sa.tuple_(*latest)
    values: dict[Any, sa.ColumnElement[Any]] = {
        column: sa.case((is_later, one), else_=column) for column, one in zip(latest, new, strict=True)
    }
    values[RUN_SERIES.c.points] = RUN_SERIES.c.points + sa.bindparam("count", type_=sa.BigInteger)
    values[RUN_SERIES.c.loose_chunks] = RUN_SERIES.c.loose_chunks + sa.literal_column("1")
    return sa.update(RUN_SERIES).where(RUN_SERIES.c.series_id == sa.bindparam("id", type_=sa.BigInteger)).values(values)


_APPENDED = Prepared(lambda _: _appended())


class Chunk(NamedTuple):
    """Points of one series as they are appended: packed, how many, and the latest of them."""

    latest: Latest
    points: int
    packed: bytes


def append_points(tx: Transaction, points: Mapping[SeriesKey, Sequence[Metric]], owners: Mapping[RunId, Owner]) -> None:
    """Appends one chunk to each series, makes the series that are new, and moves their latest values on."""
    append_chunks(tx, {key: Chunk(latest_of(metrics), len(metrics), packed(metrics)) for key, metrics in points.items()}, owners)


def append_chunks(tx: Transaction, chunks: Mapping[SeriesKey, Chunk], owners: Mapping[RunId, Owner]) -> None:
    """Appends chunks that are packed already, as `append_points` does."""
    if not chunks:
        return
    ids = _series_ids(tx, chunks)
    fresh = [_series_row(key, chunks[key].latest, owners[key[0]]) for key in sorted(chunks) if key not in ids]
    if fresh:
        _INSERT_SERIES.run(tx, fresh)
        ids = _series_ids(tx, chunks)
    # In one order everywhere, so that two writers on PostgreSQL never wait for each other in a ring.
    keys = sorted(chunks, key=lambda key: ids[key])
    _APPENDED.run(tx, [{"id": ids[key], "count": chunks[key].points, **chunks[key].latest._asdict()} for key in keys])
    rows = [{"series_id": ids[key], "team_id": owners[key[0]].team_id, "is_merged": False, "packed": chunks[key].packed} for key in keys]
    _INSERT_POINTS.run(tx, rows)


def _series_ids(tx: Transaction, points: Mapping[SeriesKey, Chunk]) -> dict[SeriesKey, SeriesId]:
    rows = _IDS.rows(tx, list({run for run, _ in points}), list({key for _, key in points}))
    return {(run, key): SeriesId(number) for run, key, number in rows}


def _series_row(key: SeriesKey, latest: Latest, owner: Owner) -> dict[str, Any]:
    return {
        "run_id": key[0],
        "key": key[1],
        "team_id": owner.team_id,
        "experiment_id": owner.experiment_id,
        "latest_step": latest.step,
        "latest_at": latest.at,
        "latest_value": latest.value,
        "latest_is_nan": latest.is_nan,
        "points": 0,
        "loose_chunks": 0,
    }


def list_series(snapshot: Snapshot, run_id: RunId) -> list[SeriesRow]:
    """The series of a run, by key."""
    return [SeriesRow(row.series_id, _facts(row)) for row in _FIND.rows(snapshot, [run_id])]


def list_latest(snapshot: Snapshot, run_ids: Sequence[RunId], keys: Sequence[str] | None = None) -> dict[RunId, list[SeriesFacts]]:
    """The facts of the series of each run that has any, by key: of all of them, or of those of some keys."""
    found: dict[RunId, list[SeriesFacts]] = {}
    for row in _FACTS.rows(snapshot, run_ids) if keys is None else _FACTS_NAMED.rows(snapshot, run_ids, keys):
        found.setdefault(row[0], []).append(_facts(row))
    return found


def _facts(row: Sequence[Any]) -> SeriesFacts:
    return SeriesFacts(key=row[1], value=None if row[6] else row[2], at=row[3], step=row[4], points=row[5])


def find_series(snapshot: Snapshot, run_ids: Sequence[RunId], key: str) -> dict[RunId, SeriesId]:
    """The ids of one metric's series in those runs that have it."""
    return {row[0]: SeriesId(row[2]) for row in _IDS.rows(snapshot, run_ids, [key])}


def load_points(snapshot: Snapshot, ids: Sequence[SeriesId]) -> dict[SeriesId, Points]:
    """The points of each series as they were appended, repeated ones included."""
    chunks: dict[SeriesId, list[bytes]] = {series_id: [] for series_id in ids}
    for series_id, content in snapshot.connection.execute(_CHUNKS, {"ids": ids}):
        chunks[series_id].append(content)
    return {series_id: unpacked(found) for series_id, found in chunks.items()}


def load_between(snapshot: Snapshot, series_id: SeriesId, first: int, last: int) -> Points:
    """The points of a series with a step from `first` to `last`; of the others no more than a few chunks are in memory at once."""
    found = []
    for _, content in snapshot.connection.execute(_CHUNKS.execution_options(yield_per=CHUNKS_AT_ONCE), {"ids": [series_id]}):
        inside = between(unpacked([content]), first, last)
        if len(inside.step):
            found.append(packed_points(inside))
    return unpacked(found)


def list_scattered(snapshot: Snapshot, limit: int) -> list[SeriesId]:
    """Series with many loose chunks, those with most of them first."""
    query = sa.select(RUN_SERIES.c.series_id).where(SCATTERED).order_by(RUN_SERIES.c.loose_chunks.desc()).limit(limit)
    return [SeriesId(number) for number in snapshot.connection.execute(query).scalars()]


def merge_chunks(tx: Transaction, series_id: SeriesId, most: int) -> int:
    """Puts the points of the series' first loose chunks, at most that many, into one; how many chunks went."""
    loose = (RUN_POINTS.c.series_id == series_id) & RUN_POINTS.c.is_merged.is_(False)
    query = sa.select(RUN_POINTS.c.chunk_id, RUN_POINTS.c.packed).where(loose).order_by(RUN_POINTS.c.chunk_id).limit(most).with_for_update()
    rows = tx.connection.execute(query).all()
    if not rows:
        return 0
    merged = packed_points(unpacked([row.packed for row in rows]))
    first, *gone = [row.chunk_id for row in rows]
    tx.connection.execute(sa.update(RUN_POINTS).where(RUN_POINTS.c.chunk_id == first).values(packed=merged, is_merged=True))
    if gone:
        tx.connection.execute(sa.delete(RUN_POINTS).where(RUN_POINTS.c.chunk_id.in_(gone)))
    left = RUN_SERIES.c.loose_chunks - len(rows)
    tx.connection.execute(sa.update(RUN_SERIES).where(RUN_SERIES.c.series_id == series_id).values(loose_chunks=left))
    return len(gone)

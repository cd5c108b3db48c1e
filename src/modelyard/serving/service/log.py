"""The prediction log behind the gateways: sealed segments into the tables, predictions found by id, labels joined.

Owns the order of these steps. Each may be killed anywhere and run again: a segment is in the tables once.
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import msgspec
import polars as pl

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant
from modelyard.core.settings import Settings
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.serving import records, rules, store, tabular
from modelyard.serving.domain import (
    Arm,
    FoundPrediction,
    LoggedSegment,
    LogPosition,
    NoSuchPrediction,
    PredictionQuery,
    PredictionRecord,
    Seal,
)
from modelyard.serving.log.segments import OPEN, SEALED, find_frames, sealed_frames
from modelyard.serving.tabular import LABELS, PREDICTIONS
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.table_leases import release_lease, take_lease
from modelyard.storage.tables import Tables

LEASE_S = 60.0
AT_ONCE = 16
MOST_HOLDING = 8
DAY = 86_400 * SECOND
RANDOM_DIGITS = 8
TIDY_EVERY = 64
_BESIDE = ThreadPoolExecutor(1, thread_name_prefix="labels")
"""Appends labels while predictions are appended. It stays: a thread keeps its tables open."""
OWN_LOG = Path("gateway", "log")
"""Where, inside the data folder, this machine's gateway writes."""


class Log(msgspec.Struct, frozen=True):
    """Where the prediction log lies: its database, blobs and tables."""

    database: Database
    blobs: Blobs
    tables: Tables


def tick(database: Database, blobs: Blobs, tables: Tables, holder: str) -> int:
    """Compacts waiting segments, under the tables' maintenance lease; how many. The worker calls it again and again."""
    with database.read() as snapshot:
        waiting = store.list_waiting(snapshot, AT_ONCE)
    done = 0
    has_lease = False
    try:
        for logged in waiting:
            has_lease = database.write(lambda tx: take_lease(tx, PREDICTIONS, holder, LEASE_S))
            if not has_lease:
                break
            compact_segment(Log(database, blobs, tables), logged)
            done += 1
        if done and has_lease:
            tidy(tables)
    finally:
        # Given back, so that the next worker need not wait until it lapses should this one die.
        if has_lease:
            database.write(lambda tx: release_lease(tx, PREDICTIONS, holder))
    return done


def tidy(tables: Tables, *, every: int = TIDY_EVERY) -> None:
    """Merges the tables' small files after every so many versions. Only the holder of the maintenance lease calls it."""
    for name in (PREDICTIONS, LABELS):
        version = tables.version(name)
        if version is not None and version % every == every - 1:
            tables.compact(name)


def compact_segment(log: Log, logged: LoggedSegment) -> None:
    """Brings one sealed segment into the tables and records that. Raises Corrupted where its content is not what was sealed."""
    segment = logged.segment
    frames = list(sealed_frames(log.blobs.get_bytes(segment.digest), segment.id))
    predictions = tabular.predictions_of(frames, segment.id)
    labels = tabular.labels_of(frames, segment.id)
    told = _BESIDE.submit(_appended, log.tables, LABELS, labels, segment.id)
    versions = _appended(log.tables, PREDICTIONS, predictions, segment.id), told.result()
    log.database.write(lambda tx: _note_compacted(tx, logged, *versions))


def _appended(tables: Tables, name: str, frame: pl.DataFrame | None, segment: str) -> int | None:
    return None if frame is None else tables.append(name, frame, key=segment, partition_by=["model"])


def _note_compacted(tx: Transaction, logged: LoggedSegment, predictions: int | None, labels: int | None) -> None:
    segment = logged.segment
    if not store.mark_compacted(tx, segment.id, predictions, labels):
        return
    contents = segment.contents
    data = {
        "gateway": segment.gateway,
        "predictions": contents.predictions,
        "labels": contents.labels,
        "first_at": contents.first_at,
        "last_at": contents.last_at,
        "predictions_version": predictions,
        "labels_version": labels,
    }
    subject = f"segment:{segment.id}"
    record(tx, NewEntry(type="serving.segment_compacted", subject=subject, actor="system", data=data, digest=segment.digest))


def list_segments(snapshot: Snapshot, principal: Principal, before: str | None = None, limit: int = 50) -> list[LoggedSegment]:
    """Segments of the prediction log, newest first."""
    require(principal, Role.VIEWER, TeamId("*"))
    return store.list_segments(snapshot, before, max(1, min(limit, 200)))


def request_seal(tx: Transaction, principal: Principal) -> Seal:
    """Has every gateway seal its log now, so that what was answered so far is in the tables soon: see `log_position`."""
    require(principal, Role.CONTRIBUTOR, TeamId("*"))
    # One microsecond on: a segment that was opened in this very one is meant too.
    before = Instant(tx.wall() + 1)
    store.put_seal(tx, before)
    return Seal(before_at=before)


def log_position(snapshot: Snapshot) -> LogPosition:
    """How far the tables are complete."""
    waiting = store.list_waiting(snapshot, 10_000)
    gateways = [row.lease for row in store.list_gateways(snapshot)]
    through = rules.complete_through(gateways, (one.segment.contents.first_at for one in waiting), snapshot.wall())
    return LogPosition(complete_through_at=through, waiting_segments=len(waiting))


def read_predictions(tables: Tables, query: PredictionQuery) -> pl.DataFrame:
    """The logged predictions that `query` asks for, by time: one column a field, with its exact bits.

    Beside the fields stand id, version, revision, arm, at, wall, value, reason, latency_us, keys and segment, and for each
    view `age:VIEW` and `upto:VIEW`, in microseconds.
    """
    return tabular.spread(_scan(tables, query).sort("at", "id").collect(), query.only)


def read_labelled(tables: Tables, query: PredictionQuery) -> pl.DataFrame:
    """As `read_predictions`, each with its `label` and `label_at`; predictions without a label are left out."""
    if tables.version(LABELS) is None:
        labels = pl.LazyFrame(schema=tabular.LABEL_SCHEMA)
    else:
        labels = tables.scan(LABELS).filter(pl.col("model") == query.model)
    return tabular.spread(tabular.labelled(_scan(tables, query), labels).sort("at", "id").collect(), query.only)


class PredictionCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many predictions a query asks for, and the event times of the first and the last; both 0 where there is none."""

    rows: int
    first_at: Instant
    last_at: Instant


def count_predictions(tables: Tables, query: PredictionQuery) -> PredictionCount:
    """How many logged predictions `query` asks for, and from when to when."""
    at = pl.col("at")
    (found,) = _scan(tables, query).select(pl.len().alias("rows"), at.min().alias("first"), at.max().alias("last")).collect().rows()
    return PredictionCount(rows=found[0], first_at=Instant(found[1] or 0), last_at=Instant(found[2] or 0))


def count_by_day(tables: Tables, query: PredictionQuery) -> dict[tuple[int, int], int]:
    """How many logged predictions `query` asks for, by the day since 1970 of their event time and by version."""
    found = _scan(tables, query).group_by((pl.col("at") // DAY).alias("day"), "version").len().collect()
    return {(day, version): rows for day, version, rows in found.rows()}


def _scan(tables: Tables, query: PredictionQuery) -> pl.LazyFrame:
    if tables.version(PREDICTIONS) is None:
        return pl.LazyFrame(schema=tabular.PREDICTION_SCHEMA)
    rows = tables.scan(PREDICTIONS).filter(pl.col("model") == query.model, pl.col("at") >= query.since, pl.col("at") < query.until)
    rows = rows.filter(pl.col("arm").is_in([arm.value for arm in query.arms]))
    return rows.filter(_is_drawn(query.shares)) if query.shares else rows


def _is_drawn(shares: Mapping[int, float]) -> pl.Expr:
    """Whether a prediction is among those asked for. Ids end in 16 bits that count a request's rows, after 32 that are random."""
    drawn = pl.col("id").str.slice(24, RANDOM_DIGITS).str.to_integer(base=16, strict=False)
    whole = 16**RANDOM_DIGITS
    return drawn < pl.col("version").replace_strict({one: round(share * whole) for one, share in shares.items()}, default=whole)


def get_prediction(  # noqa: PLR0913 - all but one are injected
    snapshot: Snapshot, principal: Principal, blobs: Blobs, tables: Tables, settings: Settings, prediction: str
) -> FoundPrediction:
    """A prediction by its id, from wherever it is by now: a gateway's disk on this machine, a sealed segment, or the tables.

    Raises NoSuchPrediction, also for one of a model that the caller may not see.
    """
    started = time.perf_counter()
    missing = NoSuchPrediction(f"no prediction {prediction[:40]!r} is in the log", hint="ids come with each prediction's answer")
    try:
        name = UUID(prediction)
    except ValueError:
        raise missing from None
    found = _on_disk(settings.folder / OWN_LOG, name)
    if not any(one.arm is not Arm.SHADOW for one in found):
        found = _registered(snapshot, blobs, tables, name)
    mine = {row.model for row in store.list_endpoints(snapshot, principal.teams)}
    answered = next((one for one in found if one.arm is not Arm.SHADOW and one.model in mine), None)
    if answered is None:
        raise missing
    shadows = tuple(one for one in found if one.arm is Arm.SHADOW)
    return FoundPrediction(answered=answered, shadows=shadows, took_ms=(time.perf_counter() - started) * 1000)


def _on_disk(folder: Path, name: UUID) -> list[PredictionRecord]:
    """What this machine's gateway has of it, in the segment that grows and those that wait to be registered."""
    contents = (_content(path) for ending in (OPEN, SEALED) for path in sorted(folder.glob(f"*{ending}")))
    return [records.of_frame(*found, source="gateway") for content in contents for found in find_frames(content, name)]


def _content(path: Path) -> bytes:
    """The bytes of a segment; none where it was sealed or registered in between, and is found there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _registered(snapshot: Snapshot, blobs: Blobs, tables: Tables, name: UUID) -> list[PredictionRecord]:
    holding = store.find_holding(snapshot, str(name), MOST_HOLDING)
    found = []
    for logged in (one for one in holding if one.compacted_at is None):
        content = blobs.get_bytes(logged.segment.digest)
        found += [records.of_frame(*one, source="segment") for one in find_frames(content, name)]
    compacted = [logged.segment.id for logged in holding if logged.compacted_at is not None]
    if compacted:
        rows = tables.scan(PREDICTIONS).filter(pl.col("segment").is_in(compacted), pl.col("id") == str(name)).collect()
        found += [records.of_row(row) for row in rows.to_dicts()]
    return found

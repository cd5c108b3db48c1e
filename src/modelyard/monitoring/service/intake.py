"""Taking in what was served: new segments of the prediction log become summaries of days and cells of outcomes, once.

Owns the cursor over the log. Judges nothing: looks do, over what is taken in here.
"""

import functools
from collections.abc import Collection, Iterable, Sequence

import msgspec
import polars as pl

from modelyard.core.clock import Instant
from modelyard.core.ids import new_id
from modelyard.ledger.domain import CursorMoved
from modelyard.ledger.service import advance, cursor, first_positions, list_events, sequence_pending
from modelyard.monitoring import store
from modelyard.monitoring.domain import PREDICTION, Day, OutcomeCell, VersionReference, Watched
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.monitoring.rules.outcomes import every_metric, summarised, together
from modelyard.monitoring.rules.summaries import merged, summarise
from modelyard.monitoring.service.log import NewRows, read_new
from modelyard.serving.domain import Arm
from modelyard.serving.tabular import spread
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.tables import Tables

CONSUMER = "monitoring"
COMPACTED = "serving.segment_compacted"
SEGMENT = "segment:"
MOST_SEGMENTS = 64
ANSWERING = (Arm.CHAMPION.value, Arm.CANARY.value, Arm.FALLBACK.value)


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """New summaries and cells of one model, by version, to be merged into what stands."""

    watched: Watched
    days: dict[int, tuple[Day, ...]]
    cells: tuple[OutcomeCell, ...]
    predictions: int
    outcomes: int


def take_in(database: Database, tables: Tables) -> tuple[int, int]:
    """Takes in all segments that were compacted since the last time; the numbers of predictions and of outcomes."""
    # What was compacted a moment ago is taken in now, and not when some worker comes round to giving its entry an index.
    sequence_pending(database, new_id("mon"))
    predictions = outcomes = 0
    while True:
        with database.read() as snapshot:
            after = cursor(snapshot, CONSUMER)
            events = list_events(snapshot, after, (COMPACTED,), MOST_SEGMENTS)
            watched = store.list_watched(snapshot)
        if not events:
            return predictions, outcomes
        segments = [event.subject.removeprefix(SEGMENT) for event in events]
        earlier = functools.partial(_taken_before, database, events[-1].index)
        new = read_new(tables, segments, [one.model for one in watched], earlier) if watched else {}
        with database.read() as snapshot:
            taken = [_taken(snapshot, one, new[one.model]) for one in watched if one.model in new]
        try:
            database.write(lambda tx, taken=taken, after=after, end=events[-1].index: _put(tx, taken, after, end))  # type: ignore[misc] # bound now
        except CursorMoved:
            # Another worker took these in; what it left is read under the new cursor.
            continue
        predictions += sum(one.predictions for one in taken)
        outcomes += sum(one.outcomes for one in taken)


def _taken_before(database: Database, end: int, segments: Collection[str]) -> list[str]:
    """Those of the segments whose events stand up to `end` in the log."""
    if not segments:
        return []
    with database.read() as snapshot:
        known = first_positions(snapshot, COMPACTED, [f"{SEGMENT}{name}" for name in segments])
    return [subject.removeprefix(SEGMENT) for subject, index in known.items() if index <= end]


def _taken(snapshot: Snapshot, watched: Watched, new: NewRows) -> Taken:
    days = {}
    if not new.predictions.is_empty():
        asked = new.predictions.filter(pl.col("arm").is_in(ANSWERING))
        for (version,), rows in asked.partition_by("version", as_dict=True).items():
            reference = store.find_reference(snapshot, watched.model, int(str(version)))
            if reference is not None:
                days[reference.version] = tuple(_days(rows, reference))
    cells = tuple(_cells(watched, new.outcomes)) if not new.outcomes.is_empty() else ()
    return Taken(watched=watched, days=days, cells=cells, predictions=new.predictions.height, outcomes=new.outcomes.height)


def _days(rows: pl.DataFrame, reference: VersionReference) -> Iterable[Day]:
    names = [column.name for column in reference.content.reference.columns]
    answered = pl.when(pl.col("arm") != Arm.FALLBACK.value).then(pl.col("value")).alias(PREDICTION)
    frame = spread(rows, names).with_columns(answered, (pl.col("at") // DAY_US).alias("_day"))
    for (day,), part in frame.partition_by("_day", as_dict=True).items():
        summary = summarise(part, reference.content.reference, reference.digest)
        yield Day(since_at=Instant(int(str(day)) * DAY_US), summary=summary)


def _cells(watched: Watched, outcomes: pl.DataFrame) -> Iterable[OutcomeCell]:
    """Outcomes by version, arm and the day in which they became known; one that comes after its day was closed counts in the next."""
    closed = watched.outcomes_to or Instant(0)
    placed = outcomes.with_columns((pl.max_horizontal("label_at", pl.lit(closed)) // DAY_US).alias("_cell"))
    for (version, arm, cell), part in placed.partition_by(["version", "arm", "_cell"], as_dict=True).items():
        since = int(str(cell)) * DAY_US
        yield OutcomeCell(
            version=int(str(version)),
            arm=str(arm),
            since_at=Instant(since),
            until_at=Instant(since + DAY_US),
            outcomes=summarised(part.get_column("label").to_numpy(), part.get_column("value").to_numpy(), is_binary=watched.is_binary),
        )


def _put(tx: Transaction, taken: Sequence[Taken], after: int, end: int) -> None:
    # Workers take turns from here on, also before the cursor has a row that could be locked.
    store.list_watched(tx)
    advance(tx, CONSUMER, end, after=after)
    for one in taken:
        for version, days in one.days.items():
            store.put_days(tx, one.watched, version, _with_standing_days(tx, one.watched, version, days))
        store.put_outcomes(tx, one.watched, _with_standing_cells(tx, one.watched, one.cells))


def _with_standing_days(tx: Transaction, watched: Watched, version: int, days: Sequence[Day]) -> list[Day]:
    first, last = min(day.since_at for day in days), max(day.since_at for day in days)
    standing = {day.since_at: day for day in store.list_days(tx, watched.model, version, first, Instant(last + 1))}
    return [
        Day(since_at=day.since_at, summary=merged(standing[day.since_at].summary, day.summary)) if day.since_at in standing else day
        for day in days
    ]


def _with_standing_cells(tx: Transaction, watched: Watched, cells: Sequence[OutcomeCell]) -> list[OutcomeCell]:
    if not cells:
        return []
    first = min(cell.since_at for cell in cells)
    standing = {(one.version, one.arm, one.since_at): one for one in store.list_outcomes(tx, watched.model, first)}
    both = []
    for cell in cells:
        found = standing.get((cell.version, cell.arm, cell.since_at))
        outcomes = cell.outcomes if found is None else together([found.outcomes, cell.outcomes])
        both.append(msgspec.structs.replace(cell, outcomes=outcomes, measured=every_metric(outcomes)))
    return both

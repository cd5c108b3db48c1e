"""A bucket's answers, from the files that hold its rows: pure functions that run in a thread, in another process or on another machine.

Each file is a run, complete in itself: sorted, and with pointers to its own winners. Where a bucket has several, what
appends left behind, the winners of the runs are compared.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features.aggregates import aggregates_by_entity, tape
from modelyard.features.domain import FeatureView
from modelyard.features.join import CODE, NOBODY, Entities, Ints, Questions, visible_until
from modelyard.features.stored.shape import BACK, STORED_CREATED, STORED_EVENT, key_columns, stored_names, value_columns

RUN, PLACE = "\x1frun", "\x1fplace"


class BucketTask(Struct, frozen=True):
    """Questions about one bucket's entities, the files that hold its rows, and the wanted features with their types."""

    view: FeatureView
    wanted: Mapping[str, pl.DataType]
    files: tuple[str, ...]
    keys: pl.DataFrame
    at: Ints
    seen_at: Ints
    options: Mapping[str, str]

    @property
    def questions(self) -> Questions:
        """The questions as the join knows them."""
        return Questions(self.keys, self.at, self.seen_at)

    def read(self, file: str, columns: list[str]) -> pl.DataFrame:
        """Columns of one of the files, in the order of its rows."""
        options = dict(self.options) or None
        return pl.read_parquet(
            file, columns=columns, parallel="none", hive_partitioning=False, use_statistics=False, storage_options=options
        ).rechunk()


def bucket_answers(task: BucketTask) -> pl.DataFrame:
    """The wanted features for each of the task's questions, in their order; null where there are none.

    Or in another order, with a column `PLACE` that says for each question where its answer stands, null where there is none.
    """
    if task.view.is_aggregation:
        return _aggregated(task)
    best = _Best.none(len(task.at))
    for number, file in enumerate(task.files):
        _take_in(best, task, number, _run_winners(task, file))
    found = best.runs >= 0
    if task.view.ttl_us is not None:
        found &= task.at - best.events <= task.view.ttl_us
    return _gathered(task, np.where(found, best.runs, NOBODY), best.places, task.wanted)


def _aggregated(task: BucketTask) -> pl.DataFrame:
    if not task.files:
        return pl.DataFrame([pl.Series(name, [None] * len(task.at), dtype=dtype) for name, dtype in task.wanted.items()])
    outputs = tuple(output for output in task.view.outputs if output.name in task.wanted)
    used = {output.column for output in outputs}
    names = {name: stored for name, stored in stored_names(task.view).items() if name in used or name not in task.view.value_names}
    shown = [pl.col(stored).alias(name) for name, stored in names.items()]
    rows = pl.concat(task.read(file, list(names.values())).select(shown) for file in task.files).rechunk()
    found, places = aggregates_by_entity(tape(rows, task.view, outputs), outputs, task.questions)
    return found.with_columns(places.alias(PLACE))


class _Winners(Struct, frozen=True):
    """Of one run: for each question the place of the latest value, `NOBODY` where there is none, and its times."""

    places: Ints
    events: Ints
    created: Ints


class _Best(Struct, frozen=True):
    """The winners of the runs so far, in arrays that are written to."""

    runs: Ints
    places: Ints
    events: Ints
    created: Ints

    @classmethod
    def none(cls, count: int) -> "_Best":
        return cls(np.full(count, NOBODY, np.int64), *(np.zeros(count, np.int64) for _ in range(3)))


def _run_winners(task: BucketTask, file: str) -> _Winners:
    stored = task.read(file, [*key_columns(task.view), STORED_EVENT, STORED_CREATED, BACK])
    entities = _entities(stored, task.view)
    codes = entities.codes(task.keys)
    event, created = stored[STORED_EVENT].to_numpy(), stored[STORED_CREATED].to_numpy()
    until = visible_until(entities, np.maximum(event, created), codes, task.seen_at)
    found = (codes >= 0) & (until > np.where(codes >= 0, entities.offsets[codes], 0))
    if not stored.height:
        return _Winners(np.full(len(codes), NOBODY, np.int64), task.at, task.at)
    places = np.where(found, until - 1, 0)
    places -= stored[BACK].to_numpy()[places]
    return _Winners(np.where(found, places, NOBODY), event[places], created[places])


def _entities(stored: pl.DataFrame, view: FeatureView) -> Entities:
    """The entities of rows that stand together by entity."""
    stored_as = key_columns(view)
    is_new = stored.select(pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in stored_as)).to_series().to_numpy()
    begins = np.flatnonzero(is_new)
    if stored.height and not (len(begins) and begins[0] == 0):
        begins = np.concatenate([[0], begins])
    keys = stored.select(pl.col(stored_as).gather(pl.Series(begins, dtype=pl.Int64)))
    keys = keys.rename(dict(zip(stored_as, (key.name for key in view.entity.keys), strict=True)))
    known = keys.with_row_index(CODE).select(*keys.columns, pl.col(CODE).cast(pl.Int64))
    return Entities(known, np.append(begins, stored.height))


def _take_in(best: _Best, task: BucketTask, number: int, mine: _Winners) -> None:
    """Makes a run's winners the best where they are later than those of the runs before."""
    found, known = mine.places >= 0, best.runs >= 0
    same_event = mine.events == best.events
    later = found & (~known | (mine.events > best.events) | (same_event & (mine.created > best.created)))
    tied = np.flatnonzero(found & known & same_event & (mine.created == best.created))
    if len(tied):
        later[tied] = _is_greater(best, task, number, mine, tied)
    best.runs[later] = number
    for kept, new in ((best.places, mine.places), (best.events, mine.events), (best.created, mine.created)):
        kept[later] = new[later]


def _is_greater(best: _Best, task: BucketTask, number: int, mine: _Winners, tied: Ints) -> npt.NDArray[np.bool_]:
    """Whether this run's values are greater than the best, for questions whose winners are alike in both times."""
    names = dict.fromkeys(task.view.value_names)
    ours = _gathered(task, np.full(len(tied), number), mine.places[tied], names)
    theirs = _gathered(task, best.runs[tied], best.places[tied], names)
    both = pl.concat([theirs, ours]).with_columns(
        pl.Series(PLACE, np.tile(np.arange(len(tied)), 2)), pl.Series(RUN, np.repeat([False, True], len(tied)))
    )
    last = both.sort(PLACE, *names, RUN, nulls_last=False)[RUN].to_numpy()
    return last[1::2]


def _gathered(task: BucketTask, runs: Ints, places: Ints, names: Mapping[str, pl.DataType | None]) -> pl.DataFrame:
    """Values of some places of runs; null where the run is `NOBODY`. One column of one run is held at a time."""
    stored_as = value_columns(task.view)
    back = pl.Series(_places_in_parts(runs, len(task.files)), dtype=pl.Int64).replace(NOBODY, None)
    columns = []
    for name, dtype in names.items():
        parts = [] if dtype is None else [pl.Series(name, [], dtype=dtype)]
        for number in np.unique(runs[runs >= 0]).tolist():
            column = task.read(task.files[number], [stored_as[name]]).to_series()
            parts.append(column.gather(pl.Series(places[runs == number])).alias(name))
        columns.append(pl.concat(parts).gather(back))
    return pl.DataFrame(columns)


def _places_in_parts(runs: Ints, count: int) -> Ints:
    """Where each question's value stands once those of run 0, then those of run 1 and so on are put in a row."""
    back = np.full(len(runs), NOBODY, np.int64)
    begin = 0
    for number in range(count):
        mine = np.flatnonzero(runs == number)
        back[mine] = begin + np.arange(len(mine))
        begin += len(mine)
    return back

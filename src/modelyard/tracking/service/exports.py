"""Use cases of exports: the table of runs as it is set up, all rows of it, and the points of a run, as CSV or Parquet.

Rows are read a page at a time, each in a transaction of its own, and handed on: memory stays the same however many there are,
and no reader that is slow holds a transaction open.
"""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from modelyard.access.domain import Principal
from modelyard.storage.database import Database
from modelyard.tracking.domain import Asked, ExperimentId, RunId
from modelyard.tracking.rules.exports import Format, as_text, csv_lines, frame_of, heads, run_cells, schema_of
from modelyard.tracking.rules.series import Points, by_time
from modelyard.tracking.rules.table import Cell, TableView, order_by
from modelyard.tracking.service.guard import get_facts, visible_ids
from modelyard.tracking.service.table import RowsPage, list_rows
from modelyard.tracking.store import experiments, series

RUNS_A_READ = 1000
POINTS_A_FRAME = 100_000
CHUNK_BYTES = 1 << 18
_HISTORY = pl.Schema({"key": pl.String(), "step": pl.Int64(), "time": pl.Datetime("us", "UTC"), "value": pl.Float64()})


class ExportAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported: the table of those experiments as the view has it."""

    experiment_ids: tuple[ExperimentId, ...]
    view: TableView
    format: Format = "csv"


def export_runs(database: Database, principal: Principal, asked: ExportAsked) -> Iterator[bytes]:
    """The rows that the view's filter finds, in its order, with its columns. Raises FilterInvalid before the first row."""
    pages = _pages(database, principal, asked)
    first = next(pages)
    with database.read() as snapshot:
        ids = visible_ids(snapshot, principal, asked.experiment_ids)
        names: dict[str, str] = {one.id: one.name for one in experiments.find_experiments(snapshot, ids).values()}
    columns = heads(first.columns)

    def rows() -> Iterator[list[list[Cell]]]:
        for page in itertools.chain([first], pages):
            yield [run_cells(run, columns, names) for run in page.runs]

    if asked.format == "csv":
        return _csv(columns, ([as_text(row, columns) for row in some] for some in rows()))
    schema = schema_of(columns)
    return _parquet((frame_of(some, schema) for some in rows()), schema)


def _pages(database: Database, principal: Principal, asked: ExportAsked) -> Iterator[RowsPage]:
    page, columns = "", asked.view.show
    while True:
        search = Asked(filter=asked.view.filter, order_by=order_by(asked.view.sort), limit=RUNS_A_READ, page=page)
        with database.read() as snapshot:
            found = list_rows(snapshot, principal, asked.experiment_ids, search, columns)
        yield found
        page, columns = found.next, found.columns
        if not page:
            return


def export_history(database: Database, principal: Principal, run_id: RunId, key: str, form: Format) -> Iterator[bytes]:
    """The points of a run's metric, or of all of them where `key` is empty, by instant, step and value. Raises NoSuchRun."""
    with database.read() as snapshot:
        get_facts(snapshot, principal, run_id)
        found = [row for row in series.list_series(snapshot, run_id) if not key or row.facts.key == key]

    def frames() -> Iterator[pl.DataFrame]:
        for row in found:
            with database.read() as snapshot:
                points = by_time(series.load_points(snapshot, [row.id])[row.id])
            for start in range(0, len(points.at), POINTS_A_FRAME):
                yield _points_frame(row.facts.key, points, slice(start, start + POINTS_A_FRAME))

    if form == "parquet":
        return _parquet(frames(), _HISTORY)
    as_cells = pl.col("time").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return _csv(list(_HISTORY), (frame.with_columns(as_cells).rows() for frame in frames()))


def _points_frame(key: str, points: Points, part: slice) -> pl.DataFrame:
    columns = {"step": points.step[part], "time": points.at[part], "value": points.value[part]}
    return pl.DataFrame(columns).with_columns(pl.lit(key).alias("key")).select(*_HISTORY).cast(_HISTORY)


def _csv(columns: list[str], parts: Iterable[Iterable[list[Cell] | tuple[Cell, ...]]]) -> Iterator[bytes]:
    yield csv_lines([columns]).encode()
    for rows in parts:
        yield csv_lines(rows).encode()


def _parquet(frames: Iterable[pl.DataFrame], schema: pl.Schema) -> Iterator[bytes]:
    """Parquet ends with what it holds, so it is written to a file without a name first, a frame at a time."""
    given = iter(frames)
    source = register_io_source(lambda *_: given, schema=schema)
    with tempfile.TemporaryFile() as file:
        source.sink_parquet(file)
        yield from _chunks(file)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CHUNK_BYTES):
        yield chunk

"""Rows as other programs take them: CSV whose cells no spreadsheet runs, and columns with their types. Owns no lookup."""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Literal

import polars as pl

from modelyard.core.clock import Instant, iso
from modelyard.tracking.domain import Run
from modelyard.tracking.rules.table import Cell, cell, kind_of

Format = Literal["csv", "parquet"]
TIMES = frozenset({"start_time", "end_time"})
HEADS = ("run_id", "run_name")
_PLAIN_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")


def defused(text: str) -> str:
    """`text` as a cell that no spreadsheet takes for a formula: a quote goes before what would begin one. Numbers stay numbers.

    >>> defused("=cmd()"), defused("-1.5"), defused("-1+2"), defused("plain")
    ("'=cmd()", '-1.5', "'-1+2", 'plain')
    """
    begins = text.lstrip(" ")[:1]
    return f"'{text}" if begins in ("=", "+", "-", "@", "\t", "\r", "\n") and begins and not _PLAIN_NUMBER.fullmatch(text) else text


def csv_lines(rows: Iterable[Sequence[Cell]]) -> str:
    """Rows as lines of CSV (RFC 4180), every text defused. Numbers are written so that they read back as the same bits."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in rows:
        writer.writerow([_written(value) for value in row])
    return buffer.getvalue()


def _written(value: Cell) -> str:
    if value is None:
        return ""
    return defused(value) if isinstance(value, str) else repr(value)


def heads(columns: Sequence[str]) -> list[str]:
    """The columns of an export: which run it is, then those asked for."""
    return [*HEADS, *(name for name in dict.fromkeys(columns) if name not in HEADS)]


def run_cells(run: Run, columns: Sequence[str], experiments: dict[str, str]) -> list[Cell]:
    """What stands in those columns, the experiment by name; instants are microseconds."""
    special: dict[str, Cell] = {"run_name": run.facts.name, "experiment": experiments.get(run.facts.experiment_id, run.facts.experiment_id)}
    return [special[name] if name in special else cell(run, name) for name in columns]


def as_text(cells: Sequence[Cell], columns: Sequence[str]) -> list[Cell]:
    """Cells as CSV has them: instants as ISO 8601."""
    return [
        iso(Instant(int(value))) if name in TIMES and isinstance(value, int | float) else value
        for name, value in zip(columns, cells, strict=True)
    ]


def schema_of(columns: Sequence[str]) -> pl.Schema:
    """The types of those columns: metrics and durations are numbers, times instants, all else text."""

    def kind(name: str) -> pl.DataType:
        if name in TIMES:
            return pl.Datetime("us", "UTC")
        return pl.Float64() if name == "duration" or kind_of(name) == "metric" else pl.String()

    return pl.Schema({name: kind(name) for name in columns})


def frame_of(rows: Sequence[Sequence[Cell]], schema: pl.Schema) -> pl.DataFrame:
    """The rows as a table of that schema. A metric's NaN is a NaN, what is not there is null."""
    columns = []
    for place, (name, kind) in enumerate(schema.items()):
        values = [row[place] for row in rows]
        if kind == pl.Float64:
            columns.append(pl.Series(name, [math.nan if value == "NaN" else value for value in values], dtype=kind))
        elif isinstance(kind, pl.Datetime):
            columns.append(pl.Series(name, values, dtype=pl.Int64).cast(kind))
        else:
            columns.append(pl.Series(name, values, dtype=kind))
    return pl.DataFrame(columns)

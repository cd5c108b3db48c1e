"""CSV as a source: read once into typed rows, and every line that does not fit is an error with its number."""

import csv
import itertools
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.names import listed
from modelyard.features.domain import ColumnType, Csv, SourceDrifted, SourceUnreadable, is_address
from modelyard.features.domain.entities import is_column_name
from modelyard.features.sources.files import ENDINGS, Files, files_at, files_digest, object_chunks
from modelyard.features.sources.opened import ROW
from modelyard.features.sources.spools import Spool, kept_spool
from modelyard.features.sources.texts import TYPES, inferred, parsed

_LINE = "\x1fline"


def open_csv(source: Csv, root: Path) -> "CsvFiles":
    """The files of `source`, read. Raises SourceUnreadable for a malformed line, and SourceDrifted for a value of another type."""
    files = files_at(source.path, root, ENDINGS[Csv])
    key = (source, files)
    return CsvFiles(source.path, files, kept_spool(key, lambda: _read(source, files)))


@dataclass(frozen=True)
class CsvFiles:
    """CSV files, in order, and what was read of them."""

    place: str
    files: Files
    spool: Spool

    @property
    def state(self) -> Hashable:
        """Names, sizes and times of the files."""
        return self.files

    def digest(self) -> Digest:
        """The digest of the files' bytes."""
        return files_digest(self.files)

    def schema(self) -> Mapping[str, pl.DataType]:
        """The columns and their types."""
        return self.spool.schema

    def count(self) -> int:
        """How many rows there are."""
        return self.spool.count()

    def scan(self) -> pl.LazyFrame:
        """The rows of the files in order, with `ROW`."""
        return self.spool.scan()


@dataclass(frozen=True)
class _Text:
    """A file as it lies on this machine: its name for messages, its columns."""

    shown: str
    path: Path
    separator: str
    names: tuple[str, ...]

    def scan(self, row: str | None = None) -> pl.LazyFrame:
        """Its rows as texts."""
        names = list(self.names)  # Polars leaves quotes inside of names doubled
        return pl.scan_csv(self.path, separator=self.separator, infer_schema=False, new_columns=names, glob=False, row_index_name=row)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Its records with the number of each one's last line; the slow way, for messages and for fields that hold line breaks."""
        with self.path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=self.separator, strict=True)
            try:
                for record in reader:
                    yield reader.line_num, record
            except csv.Error as error:
                raise SourceUnreadable(f"{self.shown}, line {reader.line_num}: {error}", hint="mend the line") from error

    def lines(self, rows: Collection[int]) -> dict[int, int]:
        """The lines on which rows end, by the rows' numbers: an empty line counts as a row of nulls."""
        ends = (line for line, _ in itertools.islice(self.records(), 1, None))
        return {row: line for row, line in enumerate(itertools.islice(ends, max(rows) + 1)) if row in rows}


def _read(source: Csv, files: Files) -> Spool:
    spool = Spool()
    texts = [_opened(source, file.path, spool.folder / f"{number}.csv") for number, file in enumerate(files)]
    for text in texts:
        try:
            _check_lines(text)
        except pl.exceptions.PolarsError as error:
            raise _unreadable(text, error) from error
    types = _types(source, texts)
    spool.schema = {name: TYPES[dtype] for name, dtype in types.items()}
    for text in texts:
        try:
            part = spool.new_part()
            text.scan().select(parsed(name, dtype) for name, dtype in types.items()).sink_parquet(part)
            read, written = pl.scan_parquet(part, glob=False), text.scan().select(list(types))
            # A text that is no value of the type has become a null: which one is looked for only then.
            if read.null_count().collect().row(0) != written.null_count().collect(engine="streaming").row(0):
                _refuse_values(text, types)
        except pl.exceptions.PolarsError as error:
            raise _unreadable(text, error) from error
        if text.path.parent == spool.folder:
            text.path.unlink()
    return spool


def _opened(source: Csv, path: str, here: Path) -> _Text:
    """The file at `path`, brought `here` from an object store. Raises SourceUnreadable where its first line names no columns."""
    if is_address(path):
        with here.open("wb") as stream:
            for chunk in object_chunks(path):
                stream.write(chunk)
    text = _Text(path, here if is_address(path) else Path(path), source.separator, ())
    try:
        names = next((tuple(record) for _, record in text.records()), ())
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(text, error) from error
    twins = sorted({name for name in names if names.count(name) > 1})
    if not names or twins:
        what = f"names the column {twins[0]!r} twice" if twins else "is empty: its first line names no columns"
        raise SourceUnreadable(f"{path} {what}", hint="the first line names each column once")
    return _Text(path, text.path, source.separator, names)


def _unreadable(text: _Text, error: Exception) -> SourceUnreadable:
    return SourceUnreadable(f"{text.shown} cannot be read as CSV: {error}", hint="write the source as CSV in UTF-8, with a line of names")


def _check_lines(text: _Text) -> None:
    """Raises SourceUnreadable for the first line with more or fewer fields than the first one names. An empty line is none."""
    width = len(text.names)
    line = pl.col(_LINE)
    fields = line.str.count_matches(text.separator, literal=True) + 1
    odd = (fields != width) & (line.str.len_bytes() > 0) & (line != "\r")
    lines = pl.scan_lines(text.path, name=_LINE, row_index_name=ROW, glob=False)
    found = lines.select(
        line.str.contains('"', literal=True).any().alias("quoted"), pl.col(ROW).filter(odd).first(), fields.filter(odd).first().alias("got")
    )
    quoted, row, got = found.collect(engine="streaming").row(0)
    first = None if row is None else (row + 1, got)
    if quoted:
        wrong = ((number, len(record)) for number, record in text.records() if record and len(record) != width)
        first = next(wrong, None)
    if first is not None:
        number, got = first
        raise SourceUnreadable(
            f"{text.shown}, line {number}: {got} fields, and the first line names {width} columns",
            hint=f"mend the line; the columns are {listed(text.names[:8])}",
        )


def _types(source: Csv, texts: Sequence[_Text]) -> dict[str, ColumnType]:
    """The columns that are read and their types: the declared ones, else those of all files' columns. Raises SourceDrifted."""
    declared: dict[str, ColumnType] = {one.name: one.dtype for one in source.columns}
    wanted = declared | dict.fromkeys(source.times, "time")
    if not declared:
        common = [name for name in texts[0].names if is_column_name(name) and all(name in text.names for text in texts)]
        return inferred([text.scan() for text in texts], common) | {name: "time" for name in source.times if name in common}
    for text in texts:
        missing = [name for name in wanted if name not in text.names]
        if missing and len(missing) < len(wanted) and any(set(missing) & set(other.names) for other in texts):
            raise SourceDrifted(f"{text.shown} has no column {listed(missing)}, and other files do", hint="write every file alike")
    return {name: dtype for name, dtype in wanted.items() if name in texts[0].names}


def _refuse_values(text: _Text, types: Mapping[str, ColumnType]) -> None:
    """Raises SourceDrifted for the first value of each column that is not of its type, with its line."""
    checked = {name: dtype for name, dtype in types.items() if dtype != "string"}
    bad = {name: pl.col(name).is_not_null() & parsed(name, dtype).is_null() for name, dtype in checked.items()}
    firsts = [pl.struct(ROW, name).filter(is_bad).first().alias(name) for name, is_bad in bad.items()]
    found = text.scan(ROW).select(firsts).collect(engine="streaming").row(0, named=True)
    wrong = {name: one for name, one in found.items() if one is not None}
    if wrong:
        lines = text.lines({one[ROW] for one in wrong.values()})
        said = [f"line {lines[one[ROW]]}: {name!r} is {_short(one[name])}, not {types[name]}" for name, one in wrong.items()]
        raise SourceDrifted(f"{text.shown}, {'; '.join(said)}", hint="mend the lines, or declare the type that the column has")


def _short(value: str) -> str:
    return repr(value if len(value) <= 40 else value[:40] + "…")

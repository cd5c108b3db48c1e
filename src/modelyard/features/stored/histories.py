"""The stored histories of views: laid out from their sources, brought up to date when these grew, and joined.

Owns the way from source to table. A commit is all or nothing, and says which files of the source it holds: a call that is
killed anywhere leaves the history as it was.
"""

import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import polars as pl
from deltalake.transaction import AddAction

from modelyard.core.digests import digest_of
from modelyard.core.errors import Conflict
from modelyard.features.domain import FeatureView, SourceUnreadable, SourceUse
from modelyard.features.erased import remember, rest_of, view_files
from modelyard.features.join import Questions
from modelyard.features.rows import ROW, OpenSource, check_types, normalised, not_as_declared, source_rows
from modelyard.features.sources.opened import read_anew
from modelyard.features.stored.answers import bucket_answers
from modelyard.features.stored.cluster import answered_on_ray
from modelyard.features.stored.ingest import Pieces, split, written
from modelyard.features.stored.joining import Layout, joined
from modelyard.features.stored.running import Compute, answered_by, cores
from modelyard.features.stored.shape import BUCKET, FORMAT, answer_types, as_normalised, stored_names, stored_schema, width
from modelyard.features.stored.states import Laid, Part, Step, buckets_for, has_outgrown, laid_files, next_step, parts_of, together
from modelyard.storage.table_files import TableChange, TableFile
from modelyard.storage.tables import Tables

WORK_SHARE = 5
"""A bucket takes at most so many times its size while it is worked on."""
TRIES = 5


class StoredHistory(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a stored history: its table, its number there, what it holds, and the schema of its rows in their one shape."""

    table: str
    version: int
    schema: pl.Schema
    laid: Laid

    def use(self, view: FeatureView) -> SourceUse:
        """What a join says that it read."""
        return SourceUse(view=view.name, view_digest=view.digest, source=self.laid.source, rows=self.laid.source_rows, history=self.version)


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A view's source as it is now: where its path is taken from, what was opened, and the schema of its rows in their one shape."""

    view: FeatureView
    root: Path
    opened: OpenSource
    schema: pl.Schema

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its parts."""
        return parts_of(self.opened, self.root)

    def stands(self) -> bool:
        """Whether nothing that was opened has changed since; that more was pushed changes nothing in it."""
        now = view_files(self.view, self.root)
        return now.state == self.opened.state or rest_of(now, self.opened.digest(), 0) is not None

    @property
    def table(self) -> str:
        """The name of its history's table: another for another version, place, or types that an aggregation's column has by now."""
        types = [[name, str(dtype)] for name, dtype in self.schema.items()]
        return f"features/{self.view.name[:80]}-{digest_of([self.view.digest, str(self.root), types, FORMAT])[7:31]}"


def source_of(view: FeatureView, root: Path) -> Source:
    """The view's source. Raises SourceUnreadable and SourceDrifted."""
    opened = view_files(view, root)
    schema = opened.schema()
    check_types(view, schema)
    return Source(view=view, root=root, opened=opened, schema=normalised(opened.scan(), schema, view).drop(ROW).collect_schema())


_lock = threading.Lock()
_laying_out: dict[str, threading.Lock] = {}


class Histories:
    """Stored histories in some tables, and how they are joined. May be shared by threads; other processes may use the same tables."""

    def __init__(self, tables: Tables, *, compute: Compute = "threads", ray: str = "", memory_bytes: int = 2**30) -> None:
        self.tables = tables
        self._ray = ray
        self._compute = compute
        self._memory_bytes = memory_bytes

    def ready(self, view: FeatureView, root: Path) -> StoredHistory:
        """The view's history with all that its source holds now: laid out, or brought up to date, where it is not yet.

        Raises SourceUnreadable, SourceDrifted, and Conflict where other processes change it again and again meanwhile.
        """
        with _lock:
            mine = _laying_out.setdefault(source_of(view, root).table, threading.Lock())
        with mine:
            for _ in range(TRIES):
                source = source_of(view, root)
                standing = self.standing(source)
                step = next_step(None if standing is None else standing.laid, source.parts)
                if standing is not None and step is None:
                    return standing
                assert step is not None
                try:
                    return self._carried_out(source, standing, step)
                except (Conflict, FileNotFoundError):
                    continue  # it was changed meanwhile, or what it is made of was, by an erasure
        raise Conflict(f"the history of {view.name} is changed by several processes", hint="try again in a moment")

    def standing(self, source: Source) -> StoredHistory | None:
        """The history as it is stored, though the source may have grown since."""
        name = source.table
        found = None if self.tables.version(name) is None else self.tables.contents(name)
        if found is None or found.note is None:
            return None
        return StoredHistory(table=name, version=found.version, schema=source.schema, laid=msgspec.json.decode(found.note, type=Laid))

    def workers(self, view: FeatureView, bucket_rows: int) -> int:
        """How many buckets of so many rows may be worked on at once, by the memory that is given."""
        return max(1, min(cores(), self._memory_bytes // (WORK_SHARE * 8 * width(view) * max(bucket_rows, 1))))

    def answered(self, view: FeatureView, names: Sequence[str], asked: Questions, root: Path) -> tuple[pl.DataFrame, SourceUse]:
        """The view's features `names` for each question, in their order, and what was read: all that the source holds now."""

        def read() -> tuple[pl.DataFrame, SourceUse]:
            history = self.ready(view, root)
            return self.values(view, names, asked, history), history.use(view)

        return read_anew(read)

    def values(self, view: FeatureView, names: Sequence[str], asked: Questions, history: StoredHistory) -> pl.DataFrame:
        """The view's features `names` for each question, in their order, from a stored history."""
        laid, found = history.laid, self.tables.contents(history.table, history.version)
        layout = Layout(laid.buckets, found.files, found.options)
        workers, wanted = self.workers(view, laid.rows // laid.buckets), answer_types(view, names, history.schema)
        if self._compute == "ray":
            return joined(view, wanted, asked, layout, lambda tasks: answered_on_ray(tasks, self._ray))
        return joined(view, wanted, asked, layout, lambda tasks: answered_by(bucket_answers, tasks, self._compute, workers))

    def buckets(self, view: FeatureView, history: StoredHistory) -> Iterator[tuple[int, pl.DataFrame]]:
        """The rows of a stored history in their one shape, bucket by bucket, those of an entity in one; empty ones as well.

        As many as `bucket_of` tells entities by `history.laid.buckets`.
        """
        found = self.tables.contents(history.table, history.version)
        runs, options = Layout(history.laid.buckets, found.files, found.options).runs, dict(found.options) or None
        names = list(stored_names(view).values())
        empty = pl.DataFrame(schema={name: history.schema[name] for name in stored_names(view)})
        for bucket in range(history.laid.buckets):
            read = [pl.read_parquet(file, columns=names, hive_partitioning=False, storage_options=options) for file in runs.get(bucket, ())]
            yield bucket, as_normalised(pl.concat(read), view).rechunk() if read else empty

    def _carried_out(self, source: Source, standing: StoredHistory | None, step: Step) -> StoredHistory:
        """Carries the step out in one commit. What a call that was killed left is found by nobody, and the next one begins again."""
        view = source.view
        if standing is not None and step.goes_on and has_outgrown(standing.laid, _count(step.fresh), width(view)):
            step = Step(fresh=source.parts)
        before = standing.laid if standing is not None and step.goes_on else None
        count = _count(step.fresh)
        buckets = buckets_for(count, width(view)) if before is None else before.buckets
        remember(source.opened)
        made = self.tables.make(source.table, stored_schema(view, source.schema), [BUCKET])
        with tempfile.TemporaryDirectory(prefix="history-") as folder, ThreadPoolExecutor(1) as beside:
            digests = beside.submit(lambda: [part.opened.digest() for part in step.fresh])
            pieces = Pieces(Path(folder))
            rows = _split(view, step.fresh, buckets, pieces)
            added = written(pieces, view, self.tables.writer(source.table), self.workers(view, rows // buckets))
            fresh = laid_files(step.fresh, digests.result())
        if not source.stands():
            raise SourceUnreadable(f"{view.source.place} changed while it was read", hint="try again once it is written")
        places = {part.path: place for place, part in enumerate(source.parts)}
        laid = Laid(
            buckets=buckets,
            rows=rows + (before.rows if before else 0),
            source_rows=count + (before.source_rows if before else 0),
            files=tuple(sorted([*step.kept, *fresh], key=lambda file: places[file.path])),
        )
        gone = self.tables.contents(source.table, standing.version).files if standing is not None and before is None else ()
        return self.committed(source, made if standing is None else standing.version, (added, gone), laid)

    def committed(self, source: Source, base: int, files: tuple[Sequence[AddAction], Sequence[TableFile]], laid: Laid) -> StoredHistory:
        """Commits the files that came and those that went. Raises Conflict where `base` is no longer the newest version."""
        change = TableChange(base=base, added=files[0], gone=files[1], note=msgspec.json.encode(laid).decode())
        version = self.tables.exchange(source.table, change)
        return StoredHistory(table=source.table, version=version, schema=source.schema, laid=laid)


def _count(parts: Sequence[Part]) -> int:
    return together(parts).count() if parts else 0


def _split(view: FeatureView, parts: Sequence[Part], buckets: int, pieces: Pieces) -> int:
    if not _count(parts):
        return 0
    try:
        return split(source_rows(view, together(parts)).drop(ROW), view, buckets, pieces)
    except pl.exceptions.PolarsError as error:
        raise not_as_declared(view, error) from error

"""The training snapshot once more: rebuilt out of the sources and held against the record, and the recorded rows, checked.

Owns the verdict on the data, which is apart from that on the model.
"""

import msgspec
import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.errors import ModelyardError
from modelyard.delivery.domain import Comparison, SnapshotVerdict
from modelyard.delivery.rebuilding.records import Records
from modelyard.delivery.rebuilding.room import sound
from modelyard.delivery.stages.data import Learnable, learnable
from modelyard.delivery.stages.splitting import AS_OF
from modelyard.delivery.stages.yard import get_frame
from modelyard.features.domain import SourceUnreadable
from modelyard.storage.blobs import Blobs
from modelyard.storage.rows import digest_frame

WHAT = "training snapshot"


class SnapshotDamaged(ModelyardError):
    """The recorded snapshot is not what its digest says."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to learn from and those that were recorded, whether they came out of their sources, and the comparison that shows it."""

    frame: pl.DataFrame
    recorded: pl.DataFrame
    verdict: SnapshotVerdict
    comparison: Comparison

    @property
    def is_as_recorded(self) -> bool:
        """Whether what is learned from is what was learned from."""
        return self.frame is self.recorded or self.verdict is SnapshotVerdict.REBUILT

    @property
    def said(self) -> str:
        """What was found, in a sentence."""
        start = f"{self.frame.height:,} rows"
        if self.verdict is SnapshotVerdict.REBUILT:
            return f"{start}, rebuilt from the sources, identical to the recorded snapshot"
        if self.is_as_recorded:
            return f"{start} of the recorded snapshot: {self.comparison.note}"
        return f"{start} as the sources give them now: {self.comparison.note}"


def current_rows(blobs: Blobs, records: Records) -> Rows:
    """The training rows as the sources give them now, whatever was recorded. Raises as `snapshot_rows`, and where a source is gone."""
    recorded = recorded_rows(blobs, records)
    found, expected = learnable(records.declaration, records.root, records.snapshot.as_of), records.snapshot.digest
    is_same = found.digest == expected
    verdict = SnapshotVerdict.REBUILT if is_same else SnapshotVerdict.CHANGED
    note = "" if is_same else _changes(recorded, found, records)
    return Rows(frame=found.frame, recorded=recorded, verdict=verdict, comparison=_compared(expected, found.digest, note))


def snapshot_rows(blobs: Blobs, records: Records) -> Rows:
    """The original's training rows: from the sources where they still give them, else those that were recorded.

    Raises BlobMissing and Corrupted for a stored snapshot that is gone or changed, SnapshotDamaged where it holds other rows.
    """
    recorded = recorded_rows(blobs, records)
    try:
        rebuilt = learnable(records.declaration, records.root, records.snapshot.as_of)
    except (SourceUnreadable, OSError) as error:
        return _kept(recorded, records, SnapshotVerdict.GONE, "", f"a source is gone: {_line(error)}")
    except (ModelyardError, pl.exceptions.PolarsError) as error:
        return _kept(recorded, records, SnapshotVerdict.CHANGED, "", f"a source has changed: {_line(error)}")
    if rebuilt.digest != records.snapshot.digest:
        return _kept(recorded, records, SnapshotVerdict.CHANGED, rebuilt.digest, _changes(recorded, rebuilt, records))
    comparison = _compared(records.snapshot.digest, rebuilt.digest, "")
    return Rows(frame=rebuilt.frame, recorded=recorded, verdict=SnapshotVerdict.REBUILT, comparison=comparison)


def recorded_rows(blobs: Blobs, records: Records) -> pl.DataFrame:
    """The rows that were learned from, checked against their digest."""
    with sound("the recorded training snapshot"):
        recorded = get_frame(blobs, records.snapshot.file)
    if digest_frame(recorded) != records.snapshot.digest:
        raise SnapshotDamaged(
            f"the stored snapshot holds other rows than {records.snapshot.digest}", hint="restore the blob store from a backup"
        )
    return recorded


def _kept(recorded: pl.DataFrame, records: Records, verdict: SnapshotVerdict, digest: str, note: str) -> Rows:
    return Rows(frame=recorded, recorded=recorded, verdict=verdict, comparison=_compared(records.snapshot.digest, Digest(digest), note))


def _compared(recorded: Digest, rebuilt: Digest, note: str) -> Comparison:
    return Comparison(what=WHAT, recorded=recorded, rebuilt=rebuilt, is_equal=recorded == rebuilt, decides=False, note=note)


def _changes(recorded: pl.DataFrame, rebuilt: Learnable, records: Records) -> str:
    """Which rows and columns came out otherwise, and which sources are no longer the same files."""
    then = {one.view: one.source for one in records.snapshot.sources}
    declared = records.declaration
    files = {view.name: view.source.place for view in declared.views}
    other = [f"{files[use.view]} of {use.view}" for use in rebuilt.sources if then.get(use.view, use.source) != use.source]
    files_said = ", ".join(other) if other else declared.observations.source.place
    return f"a source has changed: {other_rows(recorded, rebuilt.frame)}; no longer the same: {files_said}"


def other_rows(before: pl.DataFrame, after: pl.DataFrame) -> str:
    """By how many rows, or in which columns of how many, two tables differ, in words."""
    if before.height != after.height:
        return f"{after.height:,} rows instead of {before.height:,}"
    if before.columns != after.columns or before.dtypes != after.dtypes:
        return "other columns or types"
    unequal = {name: before[name].ne_missing(after[name]) for name in before.columns}
    names = [name for name, differs in unequal.items() if differs.any()]
    if not names:
        return "the same values, written otherwise"
    rows = before.filter(pl.any_horizontal([unequal[name] for name in names]))
    is_dated = isinstance(before.schema.get(AS_OF), pl.Datetime)
    first = f", the first at {rows[AS_OF].dt.strftime('%Y-%m-%d %H:%M')[0]} UTC" if is_dated else ""
    return f"{rows.height:,} of {before.height:,} rows have other values in {', '.join(names[:6])}{first}"


def _line(error: Exception) -> str:
    told = error.message if isinstance(error, ModelyardError) else str(error)
    return (told.splitlines() or [type(error).__name__])[0][:300]

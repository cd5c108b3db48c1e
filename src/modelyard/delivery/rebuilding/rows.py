"""The training snapshot once more: rebuilt out of the sources and held against the record, and the recorded rows, checked.

Owns the verdict on the data, which is apart from that on the model.
"""

import msgspec
import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.errors import ModelyardError
from modelyard.delivery.domain import Comparison, SnapshotVerdict
from modelyard.delivery.rebuilding.records import Records
from modelyard.delivery.stages.data import Learnable, learnable
from modelyard.delivery.stages.yard import get_frame
from modelyard.features.domain import SourceUnreadable
from modelyard.storage.blobs import Blobs
from modelyard.storage.rows import digest_frame

WHAT = "training snapshot"


class SnapshotDamaged(ModelyardError):
    """The recorded snapshot is not what its digest says."""


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to learn from, whether they came out of their sources, and the comparison that shows it."""

    frame: pl.DataFrame
    verdict: SnapshotVerdict
    comparison: Comparison

    @property
    def said(self) -> str:
        """What was found, in a sentence."""
        start = f"{self.frame.height:,} rows"
        match self.verdict:
            case SnapshotVerdict.REBUILT:
                return f"{start}, rebuilt from the sources, identical to the recorded snapshot"
            case SnapshotVerdict.CHANGED:
                return f"{start} of the recorded snapshot: {self.comparison.note}"
            case SnapshotVerdict.GONE:
                return f"{start} of the recorded snapshot: {self.comparison.note}"


def snapshot_rows(blobs: Blobs, records: Records) -> Rows:
    """The version's training rows: from the sources where they still give them, else those that were recorded.

    Raises BlobMissing and Corrupted for a stored snapshot that is gone or changed, SnapshotDamaged where it holds other rows.
    """
    recorded = get_frame(blobs, records.snapshot.file)
    if digest_frame(recorded) != records.snapshot.digest:
        raise SnapshotDamaged(
            f"the stored snapshot holds other rows than {records.snapshot.digest}", hint="restore the blob store from a backup"
        )
    try:
        rebuilt = learnable(records.declaration, records.root, records.snapshot.as_of)
    except (SourceUnreadable, OSError) as error:
        return _kept(recorded, records, SnapshotVerdict.GONE, "", f"a source is gone: {_line(error)}")
    except (ModelyardError, pl.exceptions.PolarsError) as error:
        return _kept(recorded, records, SnapshotVerdict.CHANGED, "", f"a source has changed: {_line(error)}")
    if rebuilt.digest != records.snapshot.digest:
        return _kept(recorded, records, SnapshotVerdict.CHANGED, rebuilt.digest, _changes(recorded, rebuilt, records))
    return Rows(frame=rebuilt.frame, verdict=SnapshotVerdict.REBUILT, comparison=_compared(records.snapshot.digest, rebuilt.digest, ""))


def _kept(recorded: pl.DataFrame, records: Records, verdict: SnapshotVerdict, digest: str, note: str) -> Rows:
    return Rows(frame=recorded, verdict=verdict, comparison=_compared(records.snapshot.digest, Digest(digest), note))


def _compared(recorded: Digest, rebuilt: Digest, note: str) -> Comparison:
    return Comparison(what=WHAT, recorded=recorded, rebuilt=rebuilt, is_equal=recorded == rebuilt, decides=False, note=note)


def _changes(recorded: pl.DataFrame, rebuilt: Learnable, records: Records) -> str:
    """Which columns came out otherwise, and which views' sources are no longer the same files."""
    before, after = recorded, rebuilt.frame
    if before.height != after.height:
        rows = f"{after.height:,} rows instead of {before.height:,}"
    else:
        names = [name for name in before.columns if name not in after.columns or not before[name].equals(after[name], null_equal=True)]
        rows = f"other values in {', '.join(names[:6])}" if names else "other types"
    then = {one.view: one.source for one in records.snapshot.sources}
    views = [use.view for use in rebuilt.sources if then.get(use.view, use.source) != use.source]
    read = f"; no longer the same files: {', '.join(views)}" if views else f"; {records.declaration.observations.source.path} has changed"
    return f"a source has changed: {rows}{read}"


def _line(error: Exception) -> str:
    told = error.message if isinstance(error, ModelyardError) else str(error)
    return (told.splitlines() or [type(error).__name__])[0][:300]

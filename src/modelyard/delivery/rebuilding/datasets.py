"""The datasets of a tracked run, laid where its command reads them: as they were recorded, or as they lie now where that is asked for.

Owns which file is taken, and the words for one that is not what the run read.
"""

import shutil
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.digests import Digest, digest_file
from modelyard.delivery.domain import Comparison, Difference, Ingredient, NotReproducible, SnapshotVerdict, Swaps
from modelyard.delivery.rebuilding.comparison import compared
from modelyard.delivery.rebuilding.room import Room
from modelyard.delivery.rebuilding.rows import other_rows
from modelyard.storage.rows import digest_frame


class RecordedData(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read. `path` counts from the source's root, or is absolute; None where it is not known.

    `digest` is of its rows where it is a table; `file` of the bytes at `path`, where the rows came from memory and need not be all of it.
    """

    name: str
    digest: str
    path: str | None = None
    rows: int | None = None
    file: str | None = None


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """The datasets as the command finds them, each beside its record. `later` says which files came to hold something else since.

    `verdict` is None where nothing changed that anybody knows of.
    """

    comparisons: tuple[Comparison, ...] = ()
    later: tuple[str, ...] = ()
    verdict: SnapshotVerdict | None = None

    @property
    def differences(self) -> list[Difference]:
        """What of the data is not as the run read it."""
        return [Difference(ingredient=Ingredient.DATA, said=one.note) for one in self.comparisons if not one.is_equal]

    @property
    def said(self) -> str:
        """What was found, in a sentence."""
        if self.differences:
            return "; ".join(one.said for one in self.differences)
        count = len(self.comparisons)
        start = f"{count} dataset{'s' if count != 1 else ''} as recorded" if count else "no dataset with a path on record"
        return "; ".join((start, *self.later))


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """Where datasets may lie: the folder that the run's source lay in, and the room, which knows the installation's own files."""

    root: str
    room: Room

    def there(self, name: str) -> Path | None:
        """Where the run read it, if there is a file by now."""
        path = Path(self.root, name)
        return path if path.is_absolute() and path.is_file() else None

    def kept(self, name: str) -> Path | None:
        """The file in the recorded source, if it holds one."""
        path = self.room.recorded_source / name
        return path if not Path(name).is_absolute() and path.is_file() else None


def laid(datasets: tuple[RecordedData, ...], places: Places, swaps: Swaps) -> Laid:
    """Lays every dataset whose path is known into the room's source. Raises NotReproducible for one that is gone."""
    found = [_laid(one, one.path, places, swaps) for one in datasets if one.path is not None]
    comparisons = tuple(comparison for comparison, _ in found)
    later = tuple(said for _, said in found if said)
    is_other = bool(later) or (swaps.data and not all(one.is_equal for one in comparisons))
    return Laid(comparisons=comparisons, later=later, verdict=SnapshotVerdict.CHANGED if is_other else None)


def _laid(one: RecordedData, name: str, places: Places, swaps: Swaps) -> tuple[Comparison, str]:
    """The dataset beside its record, and what its file came to hold since, where the recorded one was taken."""
    if ".." in Path(name).parts:
        raise NotReproducible(f"the data at {name[:200]} leads out of the source", hint="was the record written by modelyard.start?")
    target, there, kept = places.room.source / name, places.there(name), places.kept(name)
    current = there or (target if swaps.source is not None and target.is_file() else None)
    taken = current if swaps.data else kept or there
    if taken is None:
        raise _gone(name, swaps)
    if any(taken.resolve().is_relative_to(hidden.resolve()) for hidden in places.room.hidden):
        raise NotReproducible(f"the data at {name[:200]} is the installation's own", hint="a run's data lies outside of the data folder")
    _lay(taken, target)
    later = ""
    if taken is kept and there is not None and not _is_same(kept, there):
        later = f"{name} holds something else by now{_changes(one, kept, there)}"
    return _compared(one, name, taken, kept), later


def _gone(name: str, swaps: Swaps) -> NotReproducible:
    if swaps.data:
        return NotReproducible(f"the data at {name[:200]} is gone", hint="put it back where the run read it")
    return NotReproducible(
        f"the data at {name[:200]} is gone, and it is not in the recorded source", hint="put it back where the run read it"
    )


def _lay(taken: Path, target: Path) -> None:
    """Has the command find it: a copy in the place of a file of the source, else a link, for data may be large."""
    if taken == target:
        return
    if target.is_file():
        shutil.copyfile(taken, target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.symlink_to(taken)


def _compared(one: RecordedData, name: str, taken: Path, kept: Path | None) -> Comparison:
    what = f"dataset {one.name}"
    if one.file is not None and digest_file(taken) == one.file:
        return compared(what, one.digest, one.digest, decides=False, note=name)
    digest = _digest(taken)
    note = name if digest == one.digest else f"{name} is no longer what {one.name} was read from{_changes(one, kept, taken)}"
    return compared(what, one.digest, digest, decides=False, note=note)


def _changes(one: RecordedData, before: Path | None, after: Path) -> str:
    """By which rows and columns a file differs: from the recorded one, else from the count on record; nothing where that is not known."""
    frame = _frame(after)
    if frame is None:
        return ""
    recorded = _frame(before) if before is not None else None
    if recorded is not None:
        return f", {other_rows(recorded, frame)}"
    is_all = one.file is None and one.rows is not None
    return f", {frame.height:,} rows instead of {one.rows:,}" if is_all and frame.height != one.rows else ""


def _is_same(before: Path, after: Path) -> bool:
    return digest_file(before) == digest_file(after) or _digest(before) == _digest(after)


def _digest(path: Path) -> Digest:
    """The digest of a file's rows; of what is no table, of its bytes."""
    frame = _frame(path)
    return digest_file(path) if frame is None else digest_frame(frame)


def _frame(path: Path) -> pl.DataFrame | None:
    try:
        return pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path) if path.suffix == ".csv" else None
    except pl.exceptions.PolarsError:
        return None

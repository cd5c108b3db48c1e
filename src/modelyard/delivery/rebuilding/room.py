"""The room that one attempt works in: a folder outside of the data folder, and what its training is kept from.

Owns where things lie. The recorded artifact is only there while no training runs.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from modelyard.core.enclosure import TEMPORARY, Enclosure
from modelyard.core.errors import Corrupted, Kind, ModelyardError
from modelyard.delivery.domain import Reproduction, TrainingFailed
from modelyard.delivery.environments import Environment
from modelyard.storage.blobs import BlobMissing

PREFIX = "modelyard-rebuild-"
LOCK = "lock"
ROOMY = Path("/var/tmp")  # noqa: S108 - an environment can be larger than a /tmp that lies in memory


class RecordDamaged(ModelyardError):
    """What a reproduction starts from is gone, or is no longer what was recorded."""

    kind = Kind.CONFLICT


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The folders of one attempt. The training sees those below `work` alone, the first three of them."""

    folder: Path
    hidden: tuple[Path, ...]

    @property
    def work(self) -> Path:
        """All that the training may see."""
        return self.folder / "work"

    @property
    def source(self) -> Path:
        """The project's source that is trained with."""
        return self.work / "source"

    @property
    def environment(self) -> Path:
        """Where the environment is built."""
        return self.work / "environment"

    @property
    def model(self) -> Path:
        """What the training leaves."""
        return self.work / "model"

    @property
    def logged(self) -> Path:
        """Where our client logs to, of a run that it tracks."""
        return self.work / "logged"

    @property
    def recorded_source(self) -> Path:
        """The project's source as it was recorded."""
        return self.folder / "source"

    @property
    def artifact(self) -> Path:
        """The recorded artifact, while no training runs."""
        return self.folder / "artifact"

    def enclosure(self, environment: Environment) -> Enclosure:
        """What the training is kept from, and the folders that it needs: the room's own, and the Python that it runs on."""
        temporary = self.work / "temporary"
        temporary.mkdir(parents=True, exist_ok=True)
        base = Path(environment.interpreter).resolve().parents[1]
        # Beside the room lie those of others, with recorded artifacts in them, and what deliveries train.
        beside = [self.folder.parent] if str(self.folder.parent) not in TEMPORARY else []
        hidden = tuple(map(str, (*self.hidden, *beside)))
        return Enclosure(hidden=hidden, shown=(str(base), str(self.work)), temporary=str(temporary))


@contextlib.contextmanager
def opened_room(held: Reproduction, hidden: tuple[Path, ...]) -> Iterator[Room]:
    """A room for an attempt, gone with the block; what killed attempts left behind, of whichever reproduction, is removed first."""
    root = Path(tempfile.gettempdir()) if "TMPDIR" in os.environ or not ROOMY.is_dir() else ROOMY
    for room in root.glob(f"{PREFIX}*"):
        _remove_abandoned(room)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{held.id}-", dir=root))
    try:
        with (folder / LOCK).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield Room(folder=folder, hidden=hidden)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(room: Path) -> None:
    """Removes a room of this account's whose attempt has ended: one that lives holds its lock, or is about to make it."""
    with contextlib.suppress(OSError):
        if room.lstat().st_uid != os.geteuid():
            return
        with (room / LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(room, ignore_errors=True)


def check_left(folder: Path) -> None:
    """Raises TrainingFailed where what a training left is a link or holds one: whoever reads it sees more than the training did."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            raise TrainingFailed(f"it left a link, {path.name[:80]}, and not what it leads to", hint="write the files themselves")


@contextlib.contextmanager
def sound(what: str) -> Iterator[None]:
    """Names what is read within the block where it is gone or damaged. Raises RecordDamaged."""
    try:
        yield
    except (BlobMissing, Corrupted) as error:
        raise RecordDamaged(f"{what} is not what was recorded: {error.message}", hint="restore the blob store from a backup") from error

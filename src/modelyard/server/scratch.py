"""Where a worker keeps temporary files: below the data folder, so that what a killed one left is found. Owns that folder."""

import contextlib
import fcntl
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def scratch_below(folder: Path) -> Iterator[Path]:
    """A folder of this process's own that `tempfile` works in while the block runs; what killed processes left is removed first.

    Training rows pass through such files: they do not stay behind on a machine's shared `/tmp`.
    """
    root = folder / "scratch"
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    own = root / uuid.uuid4().hex
    with _held(own) as lock:
        for other in root.glob("*.lock"):
            if other != lock:
                _clear(other)
        own.mkdir(mode=0o700)
        before, tempfile.tempdir = tempfile.tempdir, str(own)
        try:
            yield own
        finally:
            tempfile.tempdir = before
            shutil.rmtree(own, ignore_errors=True)
            lock.unlink(missing_ok=True)


@contextlib.contextmanager
def _held(own: Path) -> Iterator[Path]:
    """The lock beside a folder; the kernel lets go of it when the process ends, however it ends."""
    path = own.with_suffix(".lock")
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield path


def _clear(lock: Path) -> None:
    """Removes a folder with its lock, unless a living process holds that."""
    with contextlib.suppress(OSError), lock.open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink()

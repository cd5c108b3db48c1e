"""Files that last beyond a power cut. Owns the order of syncs in a directory; knows not what is written."""

import os
import secrets
from pathlib import Path


def sync(path: Path) -> None:
    """Returns when the content of the file, or the names in the folder, at `path` are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_secret(path: Path, content: bytes) -> None:
    """Makes a file that its owner alone may read, durably, unless there is one: of several processes at once, the first makes it.

    It is written under a name of its own and then linked to `path`, so that nobody ever reads half of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
    finally:
        fresh.unlink()
    sync(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a small file so that a reader, or a start after a kill, finds the old content or the new, whole. Only its owner reads it."""
    temporary = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    sync(path.parent)


class DurableFolders:
    """The folders below a root that this process has made to last; each is synced once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: set[Path] = set()

    def make(self, folder: Path) -> None:
        """Makes `folder` and those above it, up to the root, and has their names last. Some may be there, unsynced, from others."""
        if folder in self._known or folder == self._root:
            return
        self.make(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)
        self._known.add(folder)

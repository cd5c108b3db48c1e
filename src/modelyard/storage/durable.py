"""Files that last beyond a power cut. Owns the order of syncs in a directory; knows not what is written."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Returns when the content of the file, or the names in the folder, at `path` are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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

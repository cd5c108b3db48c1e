"""A bundle's folder as it is read: regular files alone, each by its digest. Owns what may be in it, and the manifest."""

import hashlib
import os
import stat
from pathlib import Path

from modelyard.governance.domain import (
    ATTESTATIONS,
    CHECKPOINT,
    CONSISTENCY,
    COVERED,
    ENTRIES,
    MANIFEST,
    MODEL_FOLDER,
    MODEL_SIGNATURE,
    BadBundle,
)
from modelyard.governance.rules.lines import manifest_text

EXPECTED = frozenset({MANIFEST, MODEL_SIGNATURE, *ATTESTATIONS.values(), *COVERED, CHECKPOINT, ENTRIES, CONSISTENCY})
LARGEST_READ = 256 * 2**20
MOST_NAMED = 5


class Folder:
    """The files below `root`, by their paths; links and what is no file are noted and never followed."""

    def __init__(self, root: Path) -> None:
        self.files: dict[str, Path] = {}
        self.odd: list[str] = []
        self._digests: dict[str, str] = {}
        if not root.is_dir():
            raise BadBundle(f"{root} is no folder", hint="unpack the bundle and name its folder")
        for where, folders, names in os.walk(root):
            for name in (*names, *folders):
                path = Path(where, name)
                mode, relative = path.lstat().st_mode, path.relative_to(root).as_posix()
                if stat.S_ISREG(mode) and relative.isprintable() and "\\" not in relative:
                    self.files[relative] = path
                elif not stat.S_ISDIR(mode):
                    self.odd.append(relative)

    def read(self, path: str) -> bytes:
        """A file's content. Raises BadBundle."""
        try:
            found = self._found(path)
            if found.stat().st_size > LARGEST_READ:
                raise BadBundle(f"{path} has more than {LARGEST_READ} bytes")
            return found.read_bytes()
        except OSError as error:
            raise BadBundle(f"{path} cannot be read: {error.strerror}") from error

    def sha256(self, path: str) -> str:
        """A file's digest in hexadecimal. Raises BadBundle."""
        if path not in self._digests:
            try:
                with self._found(path).open("rb") as stream:
                    self._digests[path] = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise BadBundle(f"{path} cannot be read: {error.strerror}") from error
        return self._digests[path]

    @property
    def model(self) -> dict[str, str]:
        """The digests of the model's files, by their paths below its folder."""
        prefix = f"{MODEL_FOLDER}/"
        return {path.removeprefix(prefix): self.sha256(path) for path in self.files if path.startswith(prefix)}

    def _found(self, path: str) -> Path:
        if path not in self.files:
            raise BadBundle(f"{path} is missing")
        return self.files[path]


def check_files(folder: Folder) -> tuple[int, str]:
    """All that belongs into a bundle is there, and nothing else. Raises BadBundle."""
    given = {path for path in folder.files if not path.startswith(f"{MODEL_FOLDER}/")}
    wrong = [f"{path} is missing" for path in sorted(EXPECTED - given)]
    wrong += [f"{path} does not belong here" for path in sorted((given - EXPECTED) | set(folder.odd))]
    if not folder.model:
        wrong.append(f"{MODEL_FOLDER}/ is empty")
    if wrong:
        raise BadBundle("; ".join(wrong[:MOST_NAMED]) + ("; and more" if len(wrong) > MOST_NAMED else ""))
    return len(folder.files), f"{len(folder.files)} files, {len(folder.model)} of them the model's"


def check_manifest(folder: Folder) -> tuple[int, str]:
    """The manifest names every other file with its digest, and no more. Raises BadBundle."""
    content = folder.read(MANIFEST)
    others = {path: folder.sha256(path) for path in folder.files if path != MANIFEST}
    if content != manifest_text(others):
        lines = [line.partition("  ") for line in content.decode(errors="replace").splitlines()]
        listed = {path: digest for digest, _, path in lines}
        wrong = sorted(path for path in {*listed, *others} if listed.get(path) != others.get(path))
        raise BadBundle(f"it does not fit {', '.join(wrong[:MOST_NAMED]) or 'the order of the files'}")
    return len(others), f"{len(others)} digests fit"

"""The files of what a database names, read from a folder of this machine, and from nowhere outside of it.

A database may name any path: only what lies below the given folder, links resolved, is ever opened.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.moving.domain import FilesUnreadable, Holder, TheirFile

CHUNK_BYTES = 1 << 20
PROXIED = "mlartifacts"
USUAL = (PROXIED, "mlruns")
"""The folders in which MLflow keeps files unless it is told otherwise."""


def usual_folders(folder: Path) -> list[Path]:
    """Those of them that lie in `folder`, links resolved."""
    found = [(folder / name).resolve() for name in USUAL]
    return [one for one in found if one.is_dir() and one.is_relative_to(folder.resolve())]


class FolderFiles:
    """Files below folders of this machine. `is_told` says that the importer named them, and did not leave them to be guessed."""

    def __init__(self, roots: Sequence[Path], *, is_told: bool) -> None:
        self._roots = [root.resolve() for root in roots]
        self._is_told = is_told

    def files(self, holder: Holder) -> Iterator[TheirFile]:
        """The files of a run or logged model by path; none where MLflow never made its folder. Raises FilesUnreadable."""
        home = self._home(holder)
        if home is None:
            return
        for folder, names, found in os.walk(home):
            names.sort()
            for name in sorted(found):
                path = Path(folder, name)
                if path.resolve().is_relative_to(home) and path.is_file():
                    yield TheirFile(path=path.relative_to(home).as_posix(), size_bytes=path.stat().st_size)

    @contextlib.contextmanager
    def content(self, holder: Holder, path: str) -> Iterator[Iterator[bytes]]:
        """A file's content."""
        home = self._home(holder)
        if home is None or not (found := (home / path).resolve()).is_relative_to(home):
            raise FilesUnreadable(f"{path[:120]!r} leaves the folder of {holder.id}", hint="it is not read")
        try:
            with found.open("rb") as stream:
                yield iter(lambda: stream.read(CHUNK_BYTES), b"")
        except OSError as error:
            raise FilesUnreadable(f"{path[:120]} of {holder.id} cannot be read: {error.strerror}", hint="may you read it?") from error

    def _home(self, holder: Holder) -> Path | None:
        """The folder of a run's or model's files, None where it would lie in reach and is not there. Raises FilesUnreadable."""
        for path in self._candidates(holder):
            found = path.resolve()
            if found.is_dir() and self._is_in_reach(found):
                return found
        parts = urlsplit(holder.artifact_uri)
        is_near = parts.scheme in ("", "file") and self._is_in_reach(Path(unquote(parts.path)).resolve())
        is_proxied = parts.scheme == "mlflow-artifacts" and any(root.name == PROXIED for root in self._roots)
        if self._is_told or is_near or is_proxied:
            return None
        raise FilesUnreadable(
            f"the files of {holder.id} lie at {holder.artifact_uri[:200]}",
            hint="name the folder or the server that has them: --artifacts WHERE; or leave files out: --no-artifacts",
        )

    def _is_in_reach(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self._roots)

    def _candidates(self, holder: Holder) -> list[Path]:
        parts = urlsplit(holder.artifact_uri)
        own = [Path(unquote(parts.path))] if parts.scheme in ("", "file") else []
        segments = [unquote(part) for part in parts.path.split("/") if part not in ("", ".", "..")]
        # A folder may have moved: what counts is its end, EXPERIMENT/RUN/artifacts or EXPERIMENT/models/MODEL/artifacts.
        tail = segments[-4:] if holder.id.startswith("m-") else segments[-3:]
        return own + [root.joinpath(usual, *tail) for root in self._roots for usual in ("", *USUAL)]

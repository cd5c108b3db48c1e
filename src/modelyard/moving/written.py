"""A folder that is written unit by unit, beside its name until it is whole. Killed at any moment, it goes on behind the last unit.

Owns files and what is noted of them; knows not what is in them.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict, Corrupted, InvalidInput

PROGRESS = ".progress.jsonl"
MANIFEST = "manifest.json"
FORMAT = "modelyard.export/1"
READ_BYTES = 1 << 20


class FolderTaken(Conflict):
    """There is something at that place already."""


class WrittenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the folder."""

    path: str
    size_bytes: int
    sha256: str


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the folder that is whole: its files, how many of what they hold, and where the part behind it begins."""

    name: str
    files: tuple[WrittenFile, ...] = ()
    counts: dict[str, int] = {}
    next: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the folder: each file with its digest, and how many of what."""

    format: str
    made_from: str
    asked: dict[str, list[str]]
    counts: dict[str, int]
    files: tuple[WrittenFile, ...]


class Written:
    """A folder under way at `place`; `asked` is what it is to hold, which a later call must ask for too to go on."""

    def __init__(self, place: Path, made_from: str, asked: Mapping[str, list[str]]) -> None:
        self._place = place
        self._partial = place.with_name(f".{place.name}.partial")
        self._head = {"made_from": made_from, "asked": dict(asked)}
        self._units: dict[str, Unit] = {}
        self._files: list[WrittenFile] = []
        if place.exists():
            raise FolderTaken(f"{place} is there already", hint="name a folder that is not there yet")
        try:
            self._partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"{self._partial} cannot be made: {error.strerror}", hint="may you write there?") from error
        self._go_on()

    def _go_on(self) -> None:
        path = self._partial / PROGRESS
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        if not lines:
            path.write_bytes(msgspec.json.encode(self._head) + b"\n")
            return
        if msgspec.json.decode(lines[0]) != msgspec.to_builtins(self._head):
            raise FolderTaken(f"{self._partial} is of another export", hint="ask for the same again, or delete it")
        for line in lines[1:]:
            unit = msgspec.json.decode(line, type=Unit)
            self._units[unit.name] = unit
        # What a killed process left of its last line must not run into the next one.
        path.write_bytes(b"\n".join(lines) + b"\n")

    def unit(self, name: str) -> Unit | None:
        """A unit that is whole already."""
        return self._units.get(name)

    def end_unit(self, name: str, counts: Mapping[str, int], following: str = "") -> Unit:
        """Notes what was written since the last unit as a unit of its own, durably."""
        unit = Unit(name=name, files=tuple(self._files), counts={kind: count for kind, count in counts.items() if count}, next=following)
        with (self._partial / PROGRESS).open("ab") as stream:
            stream.write(msgspec.json.encode(unit) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._units[name], self._files = unit, []
        return unit

    def put_lines(self, path: str, items: list[Any]) -> None:
        """A file of JSON lines."""
        with self._appearing(path) as partial:
            partial.write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in items))

    def put_json(self, path: str, item: Any) -> None:
        """A file of one JSON document."""
        with self._appearing(path) as partial:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(item), indent=2) + b"\n")

    def put_text(self, path: str, text: str) -> None:
        """A file of text."""
        with self._appearing(path) as partial:
            partial.write_text(text, "utf-8")

    def put_table(self, path: str, table: pl.DataFrame) -> None:
        """A Parquet file."""
        with self._appearing(path) as partial:
            table.write_parquet(partial)

    def put_chunks(self, path: str, digest: Digest, chunks: contextlib.AbstractContextManager[Iterator[bytes]]) -> None:
        """A file of content that has that digest; one that is there from before is not fetched again. Raises Corrupted."""
        target = self._target(path)
        if target.is_file() and f"sha256:{_sha256(target)}" == digest:
            self._note(path)
            return
        with self._appearing(path) as partial, chunks as content, partial.open("wb") as stream:
            running = hashlib.sha256()
            for chunk in content:
                running.update(chunk)
                stream.write(chunk)
            if f"sha256:{running.hexdigest()}" != digest:
                raise Corrupted(f"{path} came with other content than its digest says", hint="try again; then see yard doctor")

    @contextlib.contextmanager
    def _appearing(self, path: str) -> Iterator[Path]:
        target = self._target(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name[:80]}.partial")
        try:
            yield partial
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        self._note(path)

    def _target(self, path: str) -> Path:
        target = self._partial / path
        if ".." in target.parts or not target.is_relative_to(self._partial):
            raise InvalidInput(f"{path[:120]!r} leaves the folder", hint="it is not written")
        return target

    def _note(self, path: str) -> None:
        target = self._partial / path
        self._files.append(WrittenFile(path=path, size_bytes=target.stat().st_size, sha256=_sha256(target)))

    def finish(self) -> Manifest:
        """Writes the manifest and gives the folder its name."""
        files = sorted((file for unit in self._units.values() for file in unit.files), key=lambda file: file.path)
        counts: dict[str, int] = {}
        for unit in self._units.values():
            for kind, count in unit.counts.items():
                counts[kind] = counts.get(kind, 0) + count
        asked: Any = self._head["asked"]
        manifest = Manifest(format=FORMAT, made_from=str(self._head["made_from"]), asked=asked, counts=counts, files=tuple(files))
        self.put_json(MANIFEST, manifest)
        (self._partial / PROGRESS).unlink()
        self._partial.rename(self._place)
        return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

"""Files from there to here: streamed, hashed on the way, read back and hashed again. Memory stays flat, however large they are."""

import hashlib
from collections.abc import Iterator, Mapping

import msgspec

from modelyard.core.digests import Digest, digest_chunks
from modelyard.core.errors import ModelyardError
from modelyard.moving.accounts import patiently
from modelyard.moving.domain import FilesUnreadable, Holder, Mismatch, Source, SourceOdd, TheirFile
from modelyard.sdk.client import Client
from modelyard.tracking.domain import Artifact
from modelyard.tracking.rules.paths import checked_path


class Hashed:
    """Chunks on their way, and the digest and size of what has passed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._running = hashlib.sha256()
        self.size_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._running.update(chunk)
            self.size_bytes += len(chunk)
            yield chunk

    @property
    def digest(self) -> Digest:
        """The digest of what has passed."""
        return Digest("sha256:" + self._running.hexdigest())


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the files of a run or logged model: how many are there, were brought and were here; what is not equal."""

    there: int = 0
    brought: int = 0
    brought_bytes: int = 0
    unchanged: int = 0
    mismatches: tuple[Mismatch, ...] = ()
    is_unreadable: bool = False


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where files of a run or logged model are here, and which are here already, by path."""

    artifact_uri: str
    held: Mapping[str, Artifact]


def carried(source: Source, client: Client, holder: Holder, place: Place, *, is_full: bool) -> Carried:
    """Brings the files that are not here yet; all of them are compared anew where `is_full`. Raises nothing that one file causes."""
    there = brought = size = unchanged = 0
    mismatches: list[Mismatch] = []
    try:
        for file in source.files(holder):
            there += 1
            known = place.held.get(file.path)
            if known is not None and not is_full and file.size_bytes in (None, known.size_bytes):
                unchanged += 1
                continue
            try:
                size += _brought(source, client, (holder, place), file)
                brought += 1
            except (FilesUnreadable, SourceOdd) as error:
                mismatches.append(_differs(holder, file.path, "there", f"not brought: {error.message}"))
            except ModelyardError as error:
                if not _is_about_this_file(error):
                    raise
                mismatches.append(_differs(holder, file.path, "there", f"refused: {error.message}"))
    except FilesUnreadable as error:
        mismatches.append(_differs(holder, "", holder.artifact_uri, f"{error.message}; {error.hint}"))
        return Carried(mismatches=tuple(mismatches), is_unreadable=True)
    return Carried(there=there, brought=brought, brought_bytes=size, unchanged=unchanged, mismatches=tuple(mismatches))


def _is_about_this_file(error: ModelyardError) -> bool:
    return error.code in ("path_refused", "http_400", "differs_here")


class DiffersHere(ModelyardError):
    """What was read back is not what was sent."""


def _brought(source: Source, client: Client, at: tuple[Holder, Place], file: TheirFile) -> int:
    """Brings one file; its size. Raises PathRefused for a path that leaves its folder, DiffersHere where it did not arrive whole."""
    holder, place = at
    path = checked_path(file.path)

    def send() -> Hashed:
        with source.content(holder, path) as chunks:
            passing = Hashed(chunks)
            client.upload_artifact(place.artifact_uri, path, iter(passing))
        return passing

    sent = patiently(send)
    with client.open_artifact(place.artifact_uri, path) as back:
        found = digest_chunks(back)
    if found != sent.digest or file.size_bytes not in (None, sent.size_bytes):
        told = "" if file.size_bytes is None else f" of {file.size_bytes} bytes"
        raise DiffersHere(f"{sent.digest}, {sent.size_bytes} bytes{told} sent, {found} read back")
    return sent.size_bytes


def _differs(holder: Holder, path: str, there: str, here: str) -> Mismatch:
    return Mismatch(what="artifact", name=f"{holder.id}/{path}", there=there, here=here)

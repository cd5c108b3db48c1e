"""Blobs: bytes under the digest of their content, in a directory or an object store. A blob never changes.

Owns where they lie, their durability and the check of what is read; knows not what they mean, nor who needs them.
"""

import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from modelyard.core.clock import Instant, instant
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import Corrupted, InvalidInput, Kind, ModelyardError, NotFound
from modelyard.storage.blob_writers import DirectoryWriter, ObjectWriter, blob_path
from modelyard.storage.objects import first_line, local_folder, open_objects

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
CHUNK_BYTES = 1 << 20


class BlobMissing(NotFound):
    """No blob has that digest."""


class BlobsUnavailable(ModelyardError):
    """The blob store does not answer, or refuses."""

    kind = Kind.UNREACHABLE


class Writer(Protocol):
    """How blobs come into a store: whole, durable and under their own digest, or not at all."""

    def put_bytes(self, content: bytes) -> Digest:
        """Stores `content`."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Stores a file's content in bounded memory."""
        ...

    def put_chunks(self, chunks: Iterable[bytes]) -> Digest:
        """Stores the chunks, one after the other, in bounded memory."""
        ...


class Blobs:
    """A blob store that is open. It may be shared by threads; any number of processes may use the same place."""

    def __init__(self, store: ObjectStore, writer: Writer) -> None:
        self._store = store
        self._writer = writer

    @classmethod
    def open(cls, url: str, options: Mapping[str, str] | None = None) -> "Blobs":
        """The store at `file:///folder`, made if missing, or at `s3://bucket/prefix`, `gs://...` or `az://...`.

        `options` are the object store's words, such as `aws_endpoint` or `allow_http`. Raises InvalidInput.
        """
        folder = local_folder(url)
        if folder is None:
            store = open_objects(url, options or {})
            return cls(store, ObjectWriter(store))
        with _translated(f"the folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            return cls(open_objects(url, {}), DirectoryWriter(folder))

    def put_bytes(self, content: bytes) -> Digest:
        """Stores `content`, durably when this returns; its digest."""
        with _translated("the content"):
            return self._writer.put_bytes(content)

    def put_file(self, path: Path) -> Digest:
        """Stores the content of the file `path`, durably when this returns; its digest. Raises Corrupted if it changes meanwhile."""
        if not path.is_file():
            raise NotFound(f"{path} is no file", hint="check the path")
        with _translated(str(path)):
            return self._writer.put_file(path)

    def put_chunks(self, chunks: Iterable[bytes]) -> Digest:
        """Stores the chunks, one after the other, durably when this returns; their digest. If `chunks` raises, nothing is stored."""
        with _translated("the content"):
            return self._writer.put_chunks(chunks)

    def get_bytes(self, digest: Digest) -> bytes:
        """The content, checked. Raises BlobMissing and Corrupted."""
        with _translated(digest):
            content = obstore.get(self._store, _path(digest)).bytes().to_bytes()
        if digest_bytes(content) != digest:
            raise _corrupted(digest)
        return content

    def open_stream(self, digest: Digest) -> Iterator[bytes]:
        """The content in chunks. Raises BlobMissing at once, and Corrupted after the last chunk: trust none before the end."""
        return self._checked(digest, self._chunks(digest, None))

    def open_range(self, digest: Digest, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`, in chunks. A part cannot be checked against the digest.

        Raises BlobMissing, and InvalidInput where the range leaves the content.
        """
        size = self.size_bytes(digest)
        if not 0 <= start <= end <= size:
            raise InvalidInput(f"the blob has {size} bytes, asked for were {start} to {end}", hint=f"ask within 0 to {size}")
        return self._chunks(digest, (start, end)) if start < end else iter(())

    def fetch(self, digest: Digest, path: Path) -> Path:
        """`path`, which now is a file with the content, checked before it appears there. Raises BlobMissing and Corrupted."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name[:80]}.{secrets.token_hex(8)}")
        try:
            with partial.open("xb") as stream:
                stream.writelines(self.open_stream(digest))
            return partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        try:
            self.size_bytes(digest)
        except BlobMissing:
            return False
        return True

    def size_bytes(self, digest: Digest) -> int:
        """How long the content is. Raises BlobMissing."""
        with _translated(digest):
            return obstore.head(self._store, _path(digest))["size"]

    def list_digests(self, *, stored_before: Instant | None = None) -> Iterator[Digest]:
        """The digests of all blobs, in no order; with `stored_before`, of those that nobody has put since then."""
        with _translated("the list"):
            for page in obstore.list(self._store, "sha256"):
                for found in page:
                    digest = Digest("sha256:" + found["path"].rpartition("/")[2])
                    if DIGEST.fullmatch(digest) and (stored_before is None or instant(found["last_modified"]) < stored_before):
                        yield digest

    def delete(self, digest: Digest) -> None:
        """Removes the blob; if it is not there, that is no error. Only for what nothing refers to."""
        with contextlib.suppress(BlobMissing), _translated(digest):
            obstore.delete(self._store, _path(digest))

    def _chunks(self, digest: Digest, bounds: tuple[int, int] | None) -> Iterator[bytes]:
        with _translated(digest):
            found = obstore.get(self._store, _path(digest), options={"range": bounds} if bounds else None)
        return _read(digest, found)

    def _checked(self, digest: Digest, chunks: Iterator[bytes]) -> Iterator[bytes]:
        running = hashlib.sha256()
        for chunk in chunks:
            running.update(chunk)
            yield chunk
        if "sha256:" + running.hexdigest() != digest:
            raise _corrupted(digest)


def _read(digest: Digest, found: "obstore.GetResult") -> Iterator[bytes]:
    with _translated(digest):
        for chunk in found.stream(CHUNK_BYTES):
            yield bytes(chunk)


def _path(digest: Digest) -> str:
    if not DIGEST.fullmatch(digest):
        raise InvalidInput(f"{digest[:80]!r} is no digest", hint="a digest is sha256: and 64 hexadecimal digits")
    return blob_path(digest)


def _corrupted(digest: Digest) -> Corrupted:
    return Corrupted(
        f"the blob {digest} holds other content than its digest says", hint="restore it from a backup, or store the content again"
    )


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    """Turns the errors of disks and object stores into ours."""
    try:
        yield
    except FileNotFoundError as error:
        if not what.startswith("sha256:"):
            raise BlobsUnavailable(f"{what} cannot be stored: {first_line(error)}", hint="is the bucket or folder there?") from error
        raise BlobMissing(f"no blob {what}", hint="was it stored in this installation? see storage.blobs") from error
    except (BaseError, OSError) as error:
        raise BlobsUnavailable(
            f"the blob store failed for {what}: {first_line(error)}", hint="check storage.blobs and its rights"
        ) from error

"""How blobs are written: into a directory with fsync and rename, or into an object store whose puts are atomic.

Owns paths, temporary files and their removal; reads nothing back.
"""

import contextlib
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import obstore
from obstore.store import ObjectStore

from modelyard.core.digests import Digest, digest_bytes, digest_file
from modelyard.core.errors import Corrupted
from modelyard.storage.durable import DurableFolders, sync

PART_BYTES = 8 << 20
# S3 takes 10,000 parts at most.
MOST_PARTS = 9_000
PARTS_AT_ONCE = 4


def blob_path(digest: Digest) -> str:
    """Where a blob lies below the root: `sha256/ab/cd/abcd...`."""
    text = digest.removeprefix("sha256:")
    return f"sha256/{text[:2]}/{text[2:4]}/{text}"


class DirectoryWriter:
    """Writes to a temporary file that is locked while somebody writes it, syncs it, renames it, syncs the folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "tmp"
        self._temporary.mkdir(exist_ok=True)
        self._folders = DurableFolders(root)
        self._sweep()

    def put_bytes(self, content: bytes) -> Digest:
        """Stores `content`, which is not written again where it stands."""
        digest = digest_bytes(content)
        return digest if self._keep(digest, len(content)) else self.put_chunks((content,))

    def put_file(self, path: Path) -> Digest:
        """Stores a file's content in one pass."""
        with path.open("rb") as stream:
            return self.put_chunks(_parts(stream, PART_BYTES))

    def put_chunks(self, chunks: Iterable[bytes]) -> Digest:
        """Stores the chunks in one pass."""
        running, size = hashlib.sha256(), 0
        with self._open_temporary() as (stream, partial):
            for chunk in chunks:
                running.update(chunk)
                size += stream.write(chunk)
            digest = Digest("sha256:" + running.hexdigest())
            if not self._keep(digest, size):
                stream.flush()
                os.fsync(stream.fileno())
                target = self._root / blob_path(digest)
                self._folders.make(target.parent)
                partial.replace(target)
                sync(target.parent)
        return digest

    def _keep(self, digest: Digest, size_bytes: int) -> bool:
        """Whether the blob is there already; it then counts as stored now, so that no collector takes it."""
        target = self._root / blob_path(digest)
        try:
            if target.stat().st_size != size_bytes:
                return False
            os.utime(target)
        except FileNotFoundError:
            return False
        # Whoever stored it may not have come as far as this.
        self._folders.make(target.parent)
        sync(target.parent)
        return True

    @contextlib.contextmanager
    def _open_temporary(self) -> Iterator[tuple[IO[bytes], Path]]:
        while True:
            path = self._temporary / secrets.token_hex(16)
            with path.open("xb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX)
                # A sweep may have come between the two lines above.
                if os.fstat(stream.fileno()).st_nlink == 0:
                    continue
                try:
                    yield stream, path
                finally:
                    path.unlink(missing_ok=True)
                return

    def _sweep(self) -> None:
        """Removes the temporary files of writers that died: those that nobody holds a lock on."""
        for path in self._temporary.iterdir():
            with contextlib.suppress(FileNotFoundError, BlockingIOError), path.open("rb") as stream:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


class ObjectWriter:
    """Writes to the digest's own key: a put shows whole or not at all, large ones travel in parts."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put_bytes(self, content: bytes) -> Digest:
        """Stores `content`."""
        digest = digest_bytes(content)
        obstore.put(self._store, blob_path(digest), content, chunk_size=PART_BYTES, max_concurrency=PARTS_AT_ONCE)
        return digest

    def put_file(self, path: Path) -> Digest:
        """Stores a file's content, read twice: its key is not known before. Raises Corrupted if it changes in between."""
        digest = digest_file(path)
        with path.open("rb") as stream:
            self._upload(stream, digest, path.stat().st_size)
        return digest

    def put_chunks(self, chunks: Iterable[bytes]) -> Digest:
        """Stores the chunks by way of a temporary file: their key is not known before the end."""
        running, size = hashlib.sha256(), 0
        with tempfile.TemporaryFile() as stream:
            for chunk in chunks:
                running.update(chunk)
                size += stream.write(chunk)
            digest = Digest("sha256:" + running.hexdigest())
            stream.seek(0)
            self._upload(stream, digest, size)
        return digest

    def _upload(self, stream: IO[bytes], digest: Digest, size_bytes: int) -> None:
        if size_bytes <= PART_BYTES:
            content = b"".join(_verified(_parts(stream, PART_BYTES), digest))
            obstore.put(self._store, blob_path(digest), content, use_multipart=False)
            return
        part = max(PART_BYTES, size_bytes // MOST_PARTS)
        parts = _verified(_parts(stream, part), digest)
        obstore.put(self._store, blob_path(digest), parts, use_multipart=True, chunk_size=part, max_concurrency=PARTS_AT_ONCE)


def _parts(stream: IO[bytes], size_bytes: int) -> Iterator[bytes]:
    while part := stream.read(size_bytes):
        yield part


def _verified(parts: Iterable[bytes], digest: Digest) -> Iterator[bytes]:
    """The parts; raises Corrupted at the end, which abandons the upload, where they are not what `digest` says."""
    running = hashlib.sha256()
    for part in parts:
        running.update(part)
        yield part
    if "sha256:" + running.hexdigest() != digest:
        raise Corrupted("the file changed while it was being stored", hint="store it again when nobody writes to it")

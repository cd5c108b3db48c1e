"""What lies in a dossier's bundle, read out of its archive: the answers, the digests, the checkpoint, the PDF.

Owns which files are read and how far. The model's files come last in an archive, and are never read for this.
"""

import tarfile
from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import IO, cast

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.digests import Digest
from modelyard.core.errors import Corrupted
from modelyard.governance.bundling import sha256
from modelyard.governance.domain import ANSWERS, BOM, CHECKPOINT, MANIFEST, MODEL_FOLDER, PDF, Answers, Dossier, DossierId
from modelyard.governance.rules.lines import ManifestLine, parsed_manifest
from modelyard.governance.service.dossiers import get_dossier
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot

LARGEST = 64 * 2**20
KEPT = 8


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds: every requirement with its answer, each file by digest, the log's checkpoint.

    `records` are the records that the bill of materials holds, in their order there.
    """

    answers: Answers
    files: tuple[ManifestLine, ...]
    checkpoint: str
    records: tuple[str, ...]


class _Record(msgspec.Struct, frozen=True, rename={"name": "propertyName"}):
    name: str = ""


class _Declarations(msgspec.Struct, frozen=True):
    evidence: tuple[_Record, ...] = ()


class _Bill(msgspec.Struct, frozen=True):
    declarations: _Declarations = _Declarations()


def read_dossier(snapshot: Snapshot, blobs: Blobs, principal: Principal, dossier: DossierId) -> tuple[Dossier, Contents]:
    """A dossier, and what its bundle holds. Raises NoSuchDossier, BlobMissing, and Corrupted where a file does not fit the manifest."""
    found = get_dossier(snapshot, principal, dossier)
    return found, _contents(blobs, found.digest)


def open_pdf(database: Database, blobs: Blobs, principal: Principal, dossier: DossierId) -> tuple[Dossier, bytes]:
    """A dossier, and its PDF. Raises NoSuchDossier, BlobMissing, and Corrupted where it does not fit the manifest."""
    with database.read() as snapshot:
        found = get_dossier(snapshot, principal, dossier)
    return found, _read(blobs, found.digest, {PDF, MANIFEST})[PDF]


@lru_cache(maxsize=KEPT)
def _contents(blobs: Blobs, digest: Digest) -> Contents:
    files = _read(blobs, digest, {ANSWERS, BOM, CHECKPOINT, MANIFEST})
    bill = msgspec.json.decode(files[BOM], type=_Bill)
    return Contents(
        answers=msgspec.json.decode(files[ANSWERS], type=Answers),
        files=parsed_manifest(files[MANIFEST]),
        checkpoint=files[CHECKPOINT].decode(),
        records=tuple(one.name for one in bill.declarations.evidence),
    )


def _read(blobs: Blobs, digest: Digest, wanted: Collection[str]) -> dict[str, bytes]:
    """Those files of an archive. A part of a blob cannot be held against its digest, so each is held against the manifest."""
    found: dict[str, bytes] = {}
    stream = _Stream(blobs.open_stream(digest))
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as opened:
            for entry in opened:
                if entry.name.startswith(f"{MODEL_FOLDER}/") or len(found) == len(wanted):
                    break
                content = opened.extractfile(entry) if entry.name in wanted and entry.size <= LARGEST else None
                if content is not None:
                    found[entry.name] = content.read()
    except tarfile.TarError as error:
        raise _corrupted(digest, str(error)) from error
    if missing := sorted(set(wanted) - found.keys()):
        raise _corrupted(digest, f"{missing[0]} is not in it")
    digests = {one.path: one.sha256 for one in parsed_manifest(found[MANIFEST])}
    if wrong := sorted(path for path, content in found.items() if path != MANIFEST and digests.get(path) != sha256(content)):
        raise _corrupted(digest, f"{wrong[0]} does not fit its manifest")
    return found


def _corrupted(digest: Digest, what: str) -> Corrupted:
    return Corrupted(f"the bundle {digest} is damaged: {what}", hint="restore the blob from a backup, or make the dossier again")


class _Stream:
    """A blob's chunks as a file that is read forwards, no further than it is asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = bytearray()

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        while len(self._held) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._held += chunk
        given = bytes(self._held[:size])
        del self._held[:size]
        return given

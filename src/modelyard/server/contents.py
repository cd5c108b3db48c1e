"""Where the content lies that ledger entries vouch for, and how it is read again. Owns which types are looked at.

Looked at are the files that a release rests on: attestations, dossiers, and versions' artifacts file by file. Points, views and
segments of the prediction log are not: their digests are over rows.
"""

import threading

from modelyard.core.digests import Digest
from modelyard.governance.domain import ATTESTED, DOSSIER_MADE
from modelyard.ledger.domain import Entry, LogCorrupt
from modelyard.ledger.service import Contents
from modelyard.registry.artifacts import get_manifest
from modelyard.storage.blobs import Blobs

REGISTERED = "registry.version_registered"


def contents_of(blobs: Blobs) -> Contents:
    """The content of an installation's entries, in its blobs."""

    def file(entry: Entry) -> Digest:
        return _read(blobs, _digest(entry))

    def artifact(entry: Entry) -> Digest:
        for one in get_manifest(blobs, _digest(entry)).files:
            _read(blobs, one.digest)
        return _digest(entry)

    return Contents(of={ATTESTED: file, DOSSIER_MADE: file, REGISTERED: artifact}, turn=threading.Lock())


def _digest(entry: Entry) -> Digest:
    if entry.digest is None:
        raise LogCorrupt(f"entry {entry.id} vouches for nothing", hint="verify the log and restore a backup")
    return entry.digest


def _read(blobs: Blobs, digest: Digest) -> Digest:
    """The digest, after its content was read whole. Raises BlobMissing and Corrupted."""
    for _ in blobs.open_stream(digest):
        pass
    return digest

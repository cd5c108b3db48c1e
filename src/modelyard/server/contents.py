"""Where the content lies that ledger entries vouch for, and how it is read again. Owns which types are looked at.

Looked at are the files that a release rests on: attestations, dossiers, and versions' artifacts file by file. Points, views and
segments of the prediction log are not: their digests are over rows.
"""

import threading
from collections.abc import Mapping

from modelyard.core.digests import Digest
from modelyard.governance.domain import ATTESTED, DOSSIER_MADE
from modelyard.ledger.service import ContentDigest, Contents, stopped
from modelyard.registry.artifacts import get_manifest
from modelyard.storage.blobs import Blobs

REGISTERED, BROUGHT = "registry.version_registered", "registry.version_imported"


def contents_of(blobs: Blobs) -> Contents:
    """The content of an installation's entries, in its blobs."""

    def looked(stop: threading.Event) -> Mapping[str, ContentDigest]:
        files = _Files(blobs, stop)

        def artifact(digest: Digest) -> Digest:
            for one in get_manifest(blobs, digest).files:
                files.read(one.digest)
            return digest

        return {ATTESTED: files.read, DOSSIER_MADE: files.read, REGISTERED: artifact, BROUGHT: artifact}

    return Contents(looked=looked)


class _Files:
    """The files of one look; those that artifacts share are read once."""

    def __init__(self, blobs: Blobs, stop: threading.Event) -> None:
        self._blobs = blobs
        self._stop = stop
        self._whole: set[Digest] = set()

    def read(self, digest: Digest) -> Digest:
        """The digest, after its content was read whole. Raises BlobMissing, Corrupted and VerificationStopped."""
        if digest not in self._whole:
            for _ in self._blobs.open_stream(digest):
                if self._stop.is_set():
                    raise stopped()
            self._whole.add(digest)
        return digest

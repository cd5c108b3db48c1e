"""Sends sealed segments to the blob store and lists them until the control plane knows them. Owns the manifests beside them.

A manifest is written after the content is stored, so whatever is listed can be fetched by anyone.
"""

from pathlib import Path

import msgspec

from modelyard.serving.domain import SealedSegment
from modelyard.serving.log.segments import MANIFEST, contents_of, sealed_paths
from modelyard.storage.blobs import Blobs
from modelyard.storage.durable import write_whole


def ship(folder: Path, gateway: str, blobs: Blobs) -> tuple[SealedSegment, ...]:
    """All sealed segments in `folder`, each in the blob store now."""
    return tuple(_shipped(path, gateway, blobs) for path in sealed_paths(folder))


def _shipped(path: Path, gateway: str, blobs: Blobs) -> SealedSegment:
    manifest = path.with_suffix(MANIFEST)
    if manifest.exists():
        return msgspec.json.decode(manifest.read_bytes(), type=SealedSegment)
    content = path.read_bytes()
    segment = SealedSegment(
        id=path.stem, gateway=gateway, digest=blobs.put_bytes(content), size_bytes=len(content), contents=contents_of(content)
    )
    write_whole(manifest, msgspec.json.encode(segment))
    return segment


def forget(folder: Path, registered: tuple[str, ...]) -> None:
    """Removes the segments that the control plane knows: it finds their content in the blob store."""
    for path in sealed_paths(folder):
        if path.stem in registered:
            path.unlink()
            path.with_suffix(MANIFEST).unlink(missing_ok=True)

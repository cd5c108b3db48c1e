"""Artifacts in the blob store: a folder as a manifest of digests, and back into a folder, every file checked.

Owns no row; what a manifest's paths may be is in `rules`.
"""

import shutil
from pathlib import Path

import msgspec

from modelyard.core.digests import Digest, canonical_json
from modelyard.registry.domain import BadArtifact, File, Manifest
from modelyard.registry.rules import checked_manifest
from modelyard.storage.blobs import Blobs


def put_folder(blobs: Blobs, folder: Path) -> tuple[Digest, Manifest]:
    """Stores the files of `folder` and their manifest; the artifact's digest and the manifest. Raises BadArtifact for a link."""
    files = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise BadArtifact(f"{path.relative_to(folder)} is a link", hint="copy what it points to into the folder")
        if path.is_file():
            files.append(File(path=path.relative_to(folder).as_posix(), digest=blobs.put_file(path), size_bytes=path.stat().st_size))
    manifest = checked_manifest(files)
    return put_manifest(blobs, manifest), manifest


def put_manifest(blobs: Blobs, manifest: Manifest) -> Digest:
    """Stores a manifest; its digest is the artifact's."""
    return blobs.put_bytes(canonical_json(msgspec.to_builtins(manifest)))


def get_manifest(blobs: Blobs, artifact: Digest) -> Manifest:
    """The files of an artifact. Raises BlobMissing, Corrupted, and BadArtifact for content that is no manifest."""
    try:
        found = msgspec.json.decode(blobs.get_bytes(artifact), type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadArtifact(f"{artifact} is no artifact's manifest: {error}", hint="name the artifact, not one of its files") from error
    return checked_manifest(found.files)


def fetch_folder(blobs: Blobs, artifact: Digest, folder: Path) -> Manifest:
    """Makes `folder`, which must not be there, hold the artifact's files, each checked against its digest; the manifest.

    The folder appears whole or not at all.
    """
    manifest = get_manifest(blobs, artifact)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        for file in manifest.files:
            path = blobs.fetch(file.digest, partial / file.path)
            if path.stat().st_size != file.size_bytes:
                raise BadArtifact(f"{file.path} has another size than the manifest says", hint="store the artifact anew")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest

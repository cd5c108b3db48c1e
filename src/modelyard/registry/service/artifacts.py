"""Artifacts as the registry keeps them: a folder comes in once, is looked at, and what was found out is noted beside its digest."""

import tempfile
from pathlib import Path

from modelyard.access.domain import Principal, Role
from modelyard.core.digests import Digest
from modelyard.registry.artifacts import fetch_folder, put_folder
from modelyard.registry.domain import BadArtifact, Format, StoredArtifact
from modelyard.registry.formats import HEADER, content_digest, load, read_header, refused_folder
from modelyard.registry.store import versions
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction


def keep_artifact(database: Database, blobs: Blobs, folder: Path) -> StoredArtifact:
    """Stores a model's folder and notes what it is, after its safe loader took it; a version can then be registered with it.

    The same folder again is the same artifact. Raises FormatRefused, UntrustedType, BadArtifact.
    """
    load(folder)
    header = read_header(folder)
    digest, manifest = put_folder(blobs, folder)
    content = content_digest(folder)
    kept = StoredArtifact(digest=digest, format=header.format, size_bytes=manifest.size_bytes, content=content, signature=header.signature)
    database.write(lambda tx: note_artifact(tx, kept))
    return kept


def note_artifact(tx: Transaction, kept: StoredArtifact) -> None:
    """Notes an artifact whose content is stored."""
    versions.put_artifact(tx, kept)


def inspect_artifact(database: Database, blobs: Blobs, artifact: Digest) -> StoredArtifact:
    """What an artifact that lies in the blob store is: known already, or found out by loading it.

    What is found out is not noted. Raises as `keep_artifact` does.
    """
    with database.read() as snapshot:
        known = versions.find_artifact(snapshot, artifact)
    if known is not None:
        return known
    with tempfile.TemporaryDirectory(prefix="modelyard-artifact-") as scratch:
        folder = Path(scratch) / "artifact"
        manifest = fetch_folder(blobs, artifact, folder)
        if not (folder / HEADER).is_file():
            raise refused_folder(sorted(path.name for path in folder.iterdir()))
        load(folder)
        header = read_header(folder)
        content = content_digest(folder)
    return StoredArtifact(
        digest=artifact, format=header.format, size_bytes=manifest.size_bytes, content=content, signature=header.signature
    )


def check_theirs(snapshot: Snapshot, principal: Principal, artifact: Digest) -> None:
    """Raises BadArtifact where the artifact was noted before, and no version of it is one that the caller sees."""
    if principal.teams is None or versions.find_artifact(snapshot, artifact) is None:
        return
    if not any(principal.may(Role.VIEWER, team) for team in versions.list_artifact_teams(snapshot, artifact)):
        raise unkept(artifact)


def unkept(artifact: Digest) -> BadArtifact:
    """The refusal of a digest that the caller has no artifact of."""
    return BadArtifact(f"no artifact {artifact[:80]} is kept here", hint="store the model's folder first: registry.service.keep_artifact")


def known_artifact(snapshot: Snapshot, artifact: Digest, expected: Format | None) -> StoredArtifact:
    """What was noted of an artifact. Raises BadArtifact where nothing was, or where it is of another format."""
    found = versions.find_artifact(snapshot, artifact)
    if found is None:
        raise unkept(artifact)
    if expected not in (None, found.format):
        raise BadArtifact(f"the artifact is {found.format}, not {expected}", hint="leave the format out")
    return found

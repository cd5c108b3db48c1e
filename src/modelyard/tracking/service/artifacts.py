"""Use cases of artifacts: files of runs and logged models, kept by content. Content is stored first, the row that names it after.

Content that no row names costs space and nothing else; a row never names content that is not there.
"""

from pathlib import Path

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking.domain import Artifact, FileEntry, Lifecycle, LoggedModelId, NoSuchArtifact, NotActive, RunId
from modelyard.tracking.rules.paths import SCHEME, SHARED, OwnedPath, checked_folder, checked_path, listing, owned_path
from modelyard.tracking.service.guard import get_facts, get_model
from modelyard.tracking.store import artifacts


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """A run or logged model as the owner of files."""

    id: str
    team_id: TeamId
    artifact_uri: str
    lifecycle: Lifecycle


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """Content that the blob store holds."""

    digest: Digest
    size_bytes: int


def get_owner(snapshot: Snapshot, principal: Principal, owner_id: str, least: Role = Role.VIEWER) -> Owner:
    """The run or logged model of that id. Raises NoSuchRun, NoSuchModel, NotAllowed; NotActive for writing to one in the bin.

    What is shared belongs to the default team.
    """
    if owner_id == SHARED:
        require(principal, least, DEFAULT_TEAM)
        return Owner(id=SHARED, team_id=DEFAULT_TEAM, artifact_uri=SCHEME, lifecycle=Lifecycle.ACTIVE)
    if owner_id.startswith("m-"):
        model = get_model(snapshot, principal, LoggedModelId(owner_id), least)
        owner = Owner(id=model.id, team_id=model.team_id, artifact_uri=model.artifact_uri, lifecycle=model.lifecycle)
    else:
        facts = get_facts(snapshot, principal, RunId(owner_id), least)
        owner = Owner(id=facts.id, team_id=facts.team_id, artifact_uri=facts.artifact_uri, lifecycle=facts.lifecycle)
    if least != Role.VIEWER and owner.lifecycle != Lifecycle.ACTIVE:
        raise NotActive(f"{owner.id} must be in the 'active' state. Current state is {owner.lifecycle}.", hint="restore it first")
    return owner


def get_proxied(snapshot: Snapshot, principal: Principal, path: str, least: Role = Role.VIEWER) -> tuple[Owner, OwnedPath]:
    """Whose the path behind the artifact proxy is. Raises PathRefused, NoSuchArtifact and what `get_owner` raises."""
    owned = owned_path(path)
    owner = get_owner(snapshot, principal, owned.owner, least)
    if owner.artifact_uri.rstrip("/") != owned.root.rstrip("/"):
        raise NoSuchArtifact(f"No such artifact: '{path}'", hint="the path names a run or model of another experiment")
    return owner, owned


def find_file(snapshot: Snapshot, principal: Principal, owner_id: str, path: str) -> Artifact:
    """An artifact of a run or logged model. Raises NoSuchArtifact."""
    owner = get_owner(snapshot, principal, owner_id)
    found = artifacts.find_artifact(snapshot, owner.id, checked_path(path))
    if found is None and artifacts.list_artifacts(snapshot, owner.id, path):
        raise InvalidInput(f"Artifact path refers to a directory, not a file: '{path}'", hint="list the artifacts below it")
    if found is None:
        raise NoSuchArtifact(f"No such artifact: '{path}'", hint="list the artifacts that are there")
    return found


def check_writable(snapshot: Snapshot, principal: Principal, owner_id: str, path: str) -> None:
    """Passes where the principal may put an artifact there. Raises PathRefused and what `get_owner` raises."""
    checked_path(path)
    get_owner(snapshot, principal, owner_id, Role.CONTRIBUTOR)


def list_files(snapshot: Snapshot, principal: Principal, owner_id: str, folder: str = "") -> tuple[FileEntry, ...]:
    """The files and folders right below `folder`, by path."""
    owner = get_owner(snapshot, principal, owner_id)
    checked = checked_folder(folder)
    return listing((artifacts.file_entry(one) for one in artifacts.list_artifacts(snapshot, owner.id, checked)), checked)


def list_run_files(snapshot: Snapshot, principal: Principal, run_id: RunId, folder: str = "") -> tuple[FileEntry, ...]:
    """The files and folders of a run right below `folder`, by path."""
    return list_files(snapshot, principal, run_id, folder)


def list_all_files(snapshot: Snapshot, principal: Principal, owner_id: str) -> list[Artifact]:
    """Every artifact of a run or logged model, by path."""
    return artifacts.list_artifacts(snapshot, get_owner(snapshot, principal, owner_id).id)


def put_file(tx: Transaction, principal: Principal, owner_id: str, path: str, content: Content) -> Artifact:
    """Names stored content as the artifact at `path`, over what was there."""
    owner = get_owner(tx, principal, owner_id, Role.CONTRIBUTOR)
    artifact = Artifact(path=checked_path(path), digest=content.digest, size_bytes=content.size_bytes, put_at=tx.now())
    artifacts.put_artifact(tx, owner.id, owner.team_id, artifact)
    return artifact


def store_file(database: Database, blobs: Blobs, principal: Principal, owned: tuple[str, str], content: bytes | Path) -> Artifact:
    """Stores content and names it in one call; `owned` is the id of a run or logged model, and a path."""
    owner_id, path = owned
    checked_path(path)
    with database.read() as snapshot:
        get_owner(snapshot, principal, owner_id, Role.CONTRIBUTOR)
    if isinstance(content, bytes):
        stored = Content(digest=blobs.put_bytes(content), size_bytes=len(content))
    else:
        stored = Content(digest=blobs.put_file(content), size_bytes=content.stat().st_size)
    return database.write(lambda tx: put_file(tx, principal, owner_id, path, stored))


def delete_files(tx: Transaction, principal: Principal, owner_id: str, path: str = "") -> list[str]:
    """Removes the artifact at `path` and all below it, every one where it is empty; the paths that went."""
    checked = checked_folder(path)
    owner = get_owner(tx, principal, owner_id)
    require(principal, Role.CONTRIBUTOR, owner.team_id)
    gone = artifacts.remove_artifacts(tx, owner.id, checked)
    if gone:
        kind = "artifacts" if owner.id == SHARED else "logged_model" if owner.id.startswith("m-") else "run"
        subject = f"{kind}:{owner.id}"
        data = {"path": checked, "count": str(len(gone))}
        record(tx, NewEntry(type="tracking.artifacts_deleted", subject=subject, actor=principal.id, data=data, team_id=owner.team_id))
    return gone

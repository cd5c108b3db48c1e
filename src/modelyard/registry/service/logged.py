"""Versions whose files MLflow's clients logged to a run or a logged model: registered from where they lie, handed out from there.

The files' digests are the version's; a folder that was changed afterwards is not handed out as the version.
"""

import math
import re

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.digests import Digest, canonical_json, digest_bytes
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.registry.artifacts import put_manifest
from modelyard.registry.domain import (
    ContentChanged,
    File,
    Format,
    LoggedSource,
    Manifest,
    ModelName,
    ModelVersion,
    NewVersion,
    StoredArtifact,
)
from modelyard.registry.formats import HEADER
from modelyard.registry.rules import checked_manifest
from modelyard.registry.service.artifacts import inspect_artifact, note_artifact
from modelyard.registry.service.guard import seen_version
from modelyard.registry.service.versions import register_version, resolve
from modelyard.registry.store import notes, versions
from modelyard.storage.blobs import DIGEST, Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import LoggedModelId, Run, RunId

_LOGGED_MODEL = re.compile(r"models:/(m-[0-9a-f]{32})/?")
_RUN = re.compile(r"runs:/([0-9a-f]{32})/(.+)")
_PROXIED = re.compile(r"mlflow-artifacts:(?:///?|/)(?!/)(.+)")
LONGEST_URI = 2000


class Sought(msgspec.Struct, frozen=True, kw_only=True):
    """What a client wants registered: the source as it names it, and the run and logged model that it says it came from."""

    uri: str
    run: str = ""
    run_link: str = ""
    logged_model: str = ""
    description: str = ""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A logged folder, ready to become a version in one short transaction."""

    body: NewVersion
    kept: StoredArtifact
    source: LoggedSource


def prepare_logged(database: Database, blobs: Blobs, snapshot: Snapshot, principal: Principal, sought: Sought) -> Prepared:
    """Finds the folder that the client names, among files that lie here by digest. No path or address is ever opened.

    Raises InvalidInput for any other source, NotFound where there is nothing, and what the formats raise for a folder of
    ours that does not load.
    """
    if re.match(r"models:/(?!m-)", sought.uri):
        return _copied(snapshot, principal, sought)
    source = logged_source(snapshot, principal, sought)
    manifest = logged_files(snapshot, principal, source)
    digest = put_manifest(blobs, manifest)
    if any(file.path == HEADER for file in manifest.files):
        kept = inspect_artifact(database, blobs, digest)
    else:
        kept = StoredArtifact(digest=digest, format=Format.MLFLOW, size_bytes=manifest.size_bytes)
    return Prepared(body=_body(snapshot, principal, sought, source, digest), kept=kept, source=source)


def _copied(snapshot: Snapshot, principal: Principal, sought: Sought) -> Prepared:
    """Another version's artifact under a name of its own."""
    version = resolve(snapshot, principal, sought.uri)
    kept = versions.find_artifact(snapshot, version.artifact)
    source = notes.list_sources(snapshot, [version.model]).get((version.model, version.number))
    if kept is None or source is None:
        raise InvalidInput(f"Invalid model version source: '{sought.uri[:200]}'.", hint="name a run's or a logged model's folder")
    fields = {"run": version.run, "snapshot": version.snapshot, "feature_set": version.feature_set, "source": version.source}
    more = {"environment": version.environment, "metrics": version.metrics, "parameters": version.parameters}
    body = NewVersion(artifact=kept.digest, description=sought.description, **fields, **more)  # type: ignore[arg-type] # a version's own fields
    return Prepared(body=body, kept=kept, source=msgspec.structs.replace(source, uri=sought.uri))


def logged_source(snapshot: Snapshot, principal: Principal, sought: Sought) -> LoggedSource:
    """Whose folder the source names. Raises InvalidInput unless it is `models:/m-...`, `runs:/...` or `mlflow-artifacts:/...` of here."""
    uri = sought.uri
    if len(uri) > LONGEST_URI or "\x00" in uri + sought.run_link:
        raise _invalid(uri)
    folder = ""
    if match := _LOGGED_MODEL.fullmatch(uri):
        owner = match[1]
    elif match := _RUN.fullmatch(uri):
        owner, folder = match[1], tracking.checked_folder(match[2])
    elif match := _PROXIED.fullmatch(uri):
        found, owned = tracking.get_proxied(snapshot, principal, match[1].rstrip("/"))
        owner, folder = found.id, owned.path
    else:
        raise _invalid(uri)
    is_models = owner.startswith("m-")
    if (sought.logged_model and is_models and sought.logged_model != owner) or (sought.run and not is_models and sought.run != owner):
        raise _invalid(uri)
    logged_model = owner if is_models else sought.logged_model
    return LoggedSource(uri=uri, owner=owner, folder=folder, run_link=sought.run_link, logged_model=logged_model)


def _invalid(uri: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid model version source: '{uri[:200]}'. It must name a folder of a run or of a logged model that is kept here.",
        hint="log the model first, then register what was logged",
    )


def logged_files(snapshot: Snapshot, principal: Principal, source: LoggedSource) -> Manifest:
    """The files below the source's folder as they are now. Raises NotFound where there is none."""
    below = f"{source.folder.rstrip('/')}/" if source.folder else ""
    found = [one for one in tracking.list_all_files(snapshot, principal, source.owner) if one.path.startswith(below)]
    if not found:
        raise NotFound(f"Nothing is logged at '{source.uri}'.", hint="log the model's files before registering them")
    return checked_manifest(File(path=one.path.removeprefix(below), digest=one.digest, size_bytes=one.size_bytes) for one in found)


def _body(snapshot: Snapshot, principal: Principal, sought: Sought, source: LoggedSource, artifact: Digest) -> NewVersion:
    """What the run that logged the folder tells about it."""
    run_id = sought.run or (source.owner if not source.owner.startswith("m-") else "")
    if not run_id:
        run_id = tracking.get_logged_model(snapshot, principal, LoggedModelId(source.owner)).source_run_id
    run = tracking.get_run(snapshot, principal, RunId(run_id)) if run_id else None
    return NewVersion(
        artifact=artifact,
        run=run_id or None,
        description=sought.description,
        source=_digest(run.facts.source_digest if run else None),
        environment=_digest(run.facts.environment_digest if run else None),
        snapshot=_digest(run.facts.snapshot_digest if run else None),
        metrics=_metrics(run),
        parameters={key: value for key, value in run.params.items() if len(value) <= 1000} if run else {},
    )


def _digest(found: Digest | None) -> Digest | None:
    return found if found and DIGEST.fullmatch(found) else None


def _metrics(run: Run | None) -> dict[str, float]:
    return {one.key: one.value for one in run.metrics if one.value is not None and math.isfinite(one.value)} if run else {}


def register_logged(tx: Transaction, principal: Principal, model: ModelName, prepared: Prepared) -> ModelVersion:
    """The next version of `model`, of a folder that was prepared."""
    note_artifact(tx, prepared.kept)
    version = register_version(tx, principal, model, prepared.body)
    notes.insert_source(tx, model, version.number, prepared.source)
    return version


def download_location(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> str:
    """Where MLflow's clients download a version's files.

    Raises NotFound where none were logged, ContentChanged where they were changed since.
    """
    found = seen_version(snapshot, principal, model, version)
    source = notes.list_sources(snapshot, [model]).get((model, version))
    if source is None:
        raise NotFound(f"Version {version} of {model} was not logged by an MLflow client.", hint="its files are on the version's page")
    manifest = logged_files(snapshot, principal, source)
    if digest_bytes(canonical_json(msgspec.to_builtins(manifest))) != found.artifact:
        raise ContentChanged(f"The files of version {version} of {model} were changed after it was registered.", hint="register them anew")
    location = tracking.get_owner(snapshot, principal, source.owner).artifact_uri.rstrip("/")
    return f"{location}/{source.folder}" if source.folder else location

"""Versions that MLflow's clients register by a source: out of files that lie here by digest, or as the record of an address elsewhere.

The files' digests are the version's; a folder that was changed afterwards is not handed out as the version. No address is opened.
"""

import json
import math
from collections.abc import Mapping

import msgspec

from modelyard.access.domain import NotAllowed, Principal
from modelyard.core.digests import Digest, canonical_json, digest_bytes
from modelyard.core.errors import NotFound
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
from modelyard.registry.rules.sources import Source, SourceKind, parsed_source
from modelyard.registry.service.artifacts import inspect_artifact, note_artifact
from modelyard.registry.service.guard import seen_version
from modelyard.registry.service.sources import Sought, checked_owner, referred
from modelyard.registry.service.versions import Told, register_version
from modelyard.registry.store import notes, versions
from modelyard.storage.blobs import DIGEST, Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import LoggedModelId, Run, RunId

VERSIONS_TAG = "mlflow.modelVersions"
"""The tag under which a logged model tells the versions that were registered from it."""

LONGEST_RUN = 64


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What a source stands for, ready to become a version in one short transaction."""

    body: NewVersion
    kept: StoredArtifact
    source: LoggedSource
    tagged_model: str = ""


def prepare_logged(database: Database, blobs: Blobs, snapshot: Snapshot, principal: Principal, sought: Sought) -> Prepared:
    """What the source stands for: files of a run or logged model, another version, or nothing but an address.

    Raises InvalidInput for a source that MLflow's server refuses too, NotFound for what it names and is not there, and what
    the formats raise for a folder of ours that does not load.
    """
    source = parsed_source(sought.uri)
    if source.kind is SourceKind.REGISTERED:
        return _copied(snapshot, principal, source, sought)
    location = checked_owner(snapshot, principal, source, sought)
    logged = _logged(snapshot, principal, source)
    manifest = None if logged is None else find_files(snapshot, principal, logged)
    beside = LoggedSource(uri=sought.uri, owner="", folder="", run_link=sought.run_link, logged_model=sought.logged_model)
    if logged is None or manifest is None:
        kept, place = elsewhere(location), msgspec.structs.replace(beside, location=location)
    else:
        kept = _kept(database, blobs, manifest)
        place = msgspec.structs.replace(beside, owner=logged.owner, folder=logged.folder, location=location)
    return Prepared(body=_body(snapshot, principal, sought, kept.digest), kept=kept, source=place, tagged_model=sought.logged_model)


def elsewhere(location: str) -> StoredArtifact:
    """What is known of files that lie elsewhere: that they are said to lie there."""
    return StoredArtifact(digest=digest_bytes(canonical_json({"elsewhere": location})), format=Format.ELSEWHERE, size_bytes=0)


def _kept(database: Database, blobs: Blobs, manifest: Manifest) -> StoredArtifact:
    digest = put_manifest(blobs, manifest)
    if any(file.path == HEADER for file in manifest.files):
        return inspect_artifact(database, blobs, digest)
    return StoredArtifact(digest=digest, format=Format.MLFLOW, size_bytes=manifest.size_bytes)


def _copied(snapshot: Snapshot, principal: Principal, source: Source, sought: Sought) -> Prepared:
    """Another version's artifact under a name of its own."""
    version = referred(snapshot, principal, source, sought)
    kept = versions.find_artifact(snapshot, version.artifact)
    if kept is None:
        raise NotFound(f"Model Version (name={version.model}, version={version.number}) not found")
    before = notes.list_sources(snapshot, [(version.model, version.number)]).get((version.model, version.number))
    uri = f"models:/{version.model}/{version.number}"
    place = before or LoggedSource(uri=uri, owner="", folder="", location=f"modelyard-artifact:{version.artifact}")
    location = place.location or _location(snapshot, principal, place)
    place = msgspec.structs.replace(place, uri=uri, run_link=sought.run_link, location=location)
    fields = {"run": version.run, "snapshot": version.snapshot, "feature_set": version.feature_set, "source": version.source}
    more = {"environment": version.environment, "metrics": version.metrics, "parameters": version.parameters}
    body = NewVersion(artifact=kept.digest, description=sought.description, **fields, **more)  # type: ignore[arg-type] # a version's own fields
    return Prepared(body=body, kept=kept, source=place)


def _logged(snapshot: Snapshot, principal: Principal, source: Source) -> LoggedSource | None:
    """The run's or logged model's folder that the source names; None for an address elsewhere."""
    owner, folder = source.owner, source.folder
    if source.kind is SourceKind.PROXIED:
        found, owned = tracking.get_proxied(snapshot, principal, folder.rstrip("/"))
        owner, folder = found.id, owned.path
    elif source.kind is SourceKind.RUN:
        folder = tracking.checked_folder(folder.rstrip("/"))
    elif source.kind is not SourceKind.LOGGED_MODEL:
        return None
    return LoggedSource(uri=source.uri, owner=owner, folder=folder)


def find_files(snapshot: Snapshot, principal: Principal, source: LoggedSource) -> Manifest | None:
    """The files below the source's folder as they are now, as far as the caller may see them; None where there is none."""
    below = f"{source.folder.rstrip('/')}/" if source.folder else ""
    try:
        listed = tracking.list_all_files(snapshot, principal, source.owner)
    except (NotFound, NotAllowed):
        return None
    found = [one for one in listed if one.path.startswith(below)]
    files = (File(path=one.path.removeprefix(below), digest=one.digest, size_bytes=one.size_bytes) for one in found)
    return checked_manifest(files) if found else None


def _body(snapshot: Snapshot, principal: Principal, sought: Sought, artifact: Digest) -> NewVersion:
    """What the run that a version is said to come from tells about it."""
    run_id = sought.run
    if not run_id and sought.logged_model:
        run_id = tracking.get_logged_model(snapshot, principal, LoggedModelId(sought.logged_model)).source_run_id
    run = _find_run(snapshot, principal, run_id)
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


def _find_run(snapshot: Snapshot, principal: Principal, run_id: str) -> Run | None:
    """The run, if there is one of that id that the caller sees: MLflow's clients may name any."""
    if not run_id or len(run_id) > LONGEST_RUN:
        return None
    try:
        return tracking.get_run(snapshot, principal, RunId(run_id))
    except (NotFound, NotAllowed):
        return None


def _digest(found: Digest | None) -> Digest | None:
    return found if found and DIGEST.fullmatch(found) else None


def _metrics(run: Run | None) -> dict[str, float]:
    return {one.key: one.value for one in run.metrics if one.value is not None and math.isfinite(one.value)} if run else {}


def register_logged(tx: Transaction, principal: Principal, model: ModelName, prepared: Prepared, tags: Mapping[str, str]) -> ModelVersion:
    """The next version of `model`, of a source that was prepared."""
    note_artifact(tx, prepared.kept)
    version = register_version(tx, principal, model, prepared.body, Told(source=prepared.source.uri, tags=dict(tags)))
    notes.insert_source(tx, model, version.number, prepared.source)
    if prepared.tagged_model:
        _tag(tx, principal, LoggedModelId(prepared.tagged_model), version)
    return version


def _tag(tx: Transaction, principal: Principal, model_id: LoggedModelId, version: ModelVersion) -> None:
    """Has the logged model tell the version, where the caller may write to it."""
    known = tracking.get_logged_model(tx, principal, model_id).tags.get(VERSIONS_TAG)
    try:
        before = json.loads(known) if known else []
    except ValueError:
        before = []
    told = [*(before if isinstance(before, list) else []), {"name": version.model, "version": version.number}]
    try:
        tracking.set_model_tags(tx, principal, model_id, {VERSIONS_TAG: json.dumps(told)})
    except NotAllowed:
        return


def download_location(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> str:
    """Where MLflow's clients download a version's files.

    Raises NotFound where none were logged, ContentChanged where they were changed since.
    """
    found = seen_version(snapshot, principal, model, version)
    source = notes.list_sources(snapshot, [(model, version)]).get((model, version))
    if source is None:
        raise NotFound(f"Version {version} of {model} was not logged by an MLflow client.", hint="its files are on the version's page")
    if not source.owner:
        return source.location
    manifest = find_files(snapshot, principal, source)
    if manifest is None:
        raise NotFound(f"Nothing is logged at '{source.uri}' any more.", hint="log the model anew and register it")
    if digest_bytes(canonical_json(msgspec.to_builtins(manifest))) != found.artifact:
        raise ContentChanged(f"The files of version {version} of {model} were changed after it was registered.", hint="register them anew")
    return source.location or _location(snapshot, principal, source)


def _location(snapshot: Snapshot, principal: Principal, source: LoggedSource) -> str:
    """Where the files of a row lie that is older than its column for it."""
    location = tracking.get_owner(snapshot, principal, source.owner).artifact_uri.rstrip("/")
    return f"{location}/{source.folder}" if source.folder else location

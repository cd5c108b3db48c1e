"""Moving in: registered models and versions as another server has them, their numbers and times kept. Also a model told in full.

The author of a version is whoever brought it, so that nobody approves what they brought; who made it there stands in a tag.
"""

import functools
from collections.abc import Iterator

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput, ModelyardError, NotFound
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.artifacts import get_manifest
from modelyard.registry.domain import (
    AliasName,
    File,
    Format,
    LoggedSource,
    Manifest,
    Model,
    ModelName,
    ModelVersion,
    NewModel,
    NewVersion,
    Notes,
    StateChange,
    VersionState,
)
from modelyard.registry.imports import (
    STATUS_TAG,
    USER_TAG,
    ImportedVersion,
    ModelHere,
    ModelImport,
    ModelRecord,
    VersionHere,
    VersionRecord,
)
from modelyard.registry.service.aliases import list_alias_moves, set_alias
from modelyard.registry.service.artifacts import note_artifact
from modelyard.registry.service.guard import MOST_NUMBER, seen_model, seen_version
from modelyard.registry.service.logged import Prepared, elsewhere, prepare_logged
from modelyard.registry.service.models import create_model, get_model, mark_of_gone
from modelyard.registry.service.notes import STAGES, find_notes, set_tags
from modelyard.registry.service.search import read_beside
from modelyard.registry.service.sources import Sought
from modelyard.registry.service.versions import list_versions
from modelyard.registry.store import events, models, notes, versions
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking import service as tracking
from modelyard.tracking.imports import IMPORTED_FROM_TAG, Mark, TakenHere

MOST_MOVES = 1000
LARGEST_NUMBER = 1_000_000_000
"""The largest number of a version that is brought: the versions made here after it are counted on from there."""


def import_model(database: Database, blobs: Blobs, principal: Principal, body: ModelImport) -> ModelHere:
    """Takes a registered model in with some of its versions; what became of each. Called again with the same, nothing changes.

    Raises TakenHere where a model of that name is here that did not come from there.
    """
    tracking.checked_source(body.source)
    database.write(lambda tx: _import_model(tx, principal, body))
    found = []
    for one in body.versions:
        try:
            prepared = _prepared(database, blobs, principal, one)
            found.append(database.write(functools.partial(_import_version, principal=principal, body=body, given=(one, prepared))))
        except ModelyardError as error:
            found.append(VersionHere(number=one.number, became="refused", message=error.message))
    refused = {}
    for alias in body.model.aliases:
        try:
            database.write(functools.partial(_import_alias, principal=principal, body=body, alias=AliasName(alias)))
        except ModelyardError as error:
            refused[alias] = error.message
    return ModelHere(versions=tuple(found), refused=refused)


def _import_model(tx: Transaction, principal: Principal, body: ModelImport) -> None:
    one = body.model
    mark = tracking.marks_of(tx, body.source, "registered_model", [one.name]).get(one.name)
    here = models.find_model(tx, one.name)
    if mark is not None and mark.our_id != one.name:
        raise TakenHere(f"the model {one.name!r} was brought before and has another name here", hint="rename it back, or rename it there")
    if here is not None and (mark is None or not principal.may(Role.VIEWER, here.team_id)):
        raise TakenHere(f"a model {one.name!r} is here and did not come from there", hint="rename one of the two")
    if here is None:
        here, mark = _made(tx, principal, body), None
    require(principal, Role.CONTRIBUTOR, here.team_id)
    if mark is not None and mark.fingerprint == one.fingerprint:
        return
    models.update_model(tx, msgspec.structs.replace(here, purpose=one.description))
    set_tags(tx, principal, one.name, 0, {**one.tags, IMPORTED_FROM_TAG: body.source})
    models.set_times(tx, one.name, one.created_at, one.updated_at)
    noted = Mark(their_id=one.name, our_id=one.name, fingerprint=one.fingerprint)
    tracking.mark_imported(tx, principal, body.source, "registered_model", (noted, here.team_id))
    data: dict[str, object] = {"from": body.source, "made_there_at": str(one.created_at)}
    entry = NewEntry(type="registry.model_imported", subject=f"model:{here.name}", actor=principal.id, data=data, team_id=here.team_id)
    record(tx, entry)


def _import_alias(tx: Transaction, principal: Principal, body: ModelImport, alias: AliasName) -> None:
    """Sets an alias that is new or was moved there. One that was moved here alone since it was brought stays where it is."""
    name, number = body.model.name, body.model.aliases[alias]
    their_id = f"{name}@{alias}"
    mark = tracking.marks_of(tx, body.source, "alias", [their_id]).get(their_id)
    if mark is not None and mark.fingerprint == str(number):
        return
    here = events.find_alias(tx, name, alias)
    if mark is None and here is not None and here.version != number:
        raise TakenHere(f"the alias {alias} of {name} was set here, to version {here.version}", hint="move it here, or delete it here")
    set_alias(tx, principal, name, alias, number)
    noted = Mark(their_id=their_id, our_id=their_id, fingerprint=str(number))
    tracking.mark_imported(tx, principal, body.source, "alias", (noted, seen_model(tx, principal, name).team_id))


def _made(tx: Transaction, principal: Principal, body: ModelImport) -> Model:
    new = NewModel(name=body.model.name, purpose=body.model.description)
    return create_model(tx, principal, new if body.team is None else msgspec.structs.replace(new, team_id=body.team))


def _prepared(database: Database, blobs: Blobs, principal: Principal, one: ImportedVersion) -> Prepared:
    """The version's files among those that were brought, or a record that there are none."""
    if not one.owner:
        kept = elsewhere(one.uri)
        body = NewVersion(artifact=kept.digest, run=one.run or None, description=one.description)
        return Prepared(body=body, kept=kept, source=_source(one, LoggedSource(uri=one.uri, owner="", folder="", location=one.uri)))
    with database.read() as snapshot:
        home = tracking.get_owner(snapshot, principal, one.owner).artifact_uri.rstrip("/")
        is_model = one.owner.startswith("m-")
        sought = Sought(
            uri=f"{home}/{one.folder}".rstrip("/"),
            run="" if is_model else one.owner,
            logged_model=one.owner if is_model else "",
            description=one.description,
        )
        found = prepare_logged(database, blobs, snapshot, principal, sought)
        if one.run and found.body.run is None:
            found = msgspec.structs.replace(found, body=msgspec.structs.replace(found.body, run=one.run))
    return msgspec.structs.replace(found, source=_source(one, found.source))


def _source(one: ImportedVersion, found: LoggedSource) -> LoggedSource:
    return msgspec.structs.replace(found, uri=one.uri, run_link=one.run_link, logged_model=one.logged_model or found.logged_model)


def _import_version(tx: Transaction, principal: Principal, body: ModelImport, given: tuple[ImportedVersion, Prepared]) -> VersionHere:
    one, prepared = given
    model = seen_model(tx, principal, body.model.name, Role.CONTRIBUTOR)
    their_id = f"{model.name}/{one.number}"
    mark = tracking.marks_of(tx, body.source, "version", [their_id]).get(their_id)
    here = versions.find_version(tx, model.name, one.number) if 0 < one.number <= MOST_NUMBER else None
    _check(one, is_taken=here is not None and mark is None)
    if here is None:
        models.touch_model(tx, model.name)
        _check_number(tx, model, one, mark)
        note_artifact(tx, prepared.kept)
        here, mark = _insert(tx, principal, (model, body), given), None
    if mark is None or mark.fingerprint != one.fingerprint:
        written = find_notes(tx, here)
        description = None if one.description == here.description else one.description
        changed = msgspec.structs.replace(written, description=description, stage=one.stage, updated_at=one.updated_at)
        notes.put_notes(tx, model.name, one.number, changed)
        set_tags(tx, principal, model.name, one.number, _tags(one, body))
        noted = Mark(their_id=their_id, our_id=their_id, fingerprint=one.fingerprint)
        tracking.mark_imported(tx, principal, body.source, "version", (noted, model.team_id))
        models.set_times(tx, model.name, body.model.created_at, body.model.updated_at)
    return VersionHere(number=one.number, became="known" if mark else "made", has_files=here.size_bytes > 0 or bool(one.owner))


def _check(one: ImportedVersion, *, is_taken: bool) -> None:
    if is_taken:
        raise TakenHere(f"version {one.number} is here and did not come from there", hint="it stays as it is")
    if not 0 < one.number <= LARGEST_NUMBER or one.stage not in STAGES:
        raise InvalidInput(
            f"version {one.number} in stage {one.stage[:60]!r}", hint=f"numbers from 1 to {LARGEST_NUMBER:,}; stages {', '.join(STAGES)}"
        )
    if any("\x00" in text or len(text) > 100_000 for text in (one.uri, one.run_link, one.description, one.user, one.status)):
        raise InvalidInput("a text of the version is too long or holds NUL", hint="mend it there")
    if max(len(one.run), len(one.logged_model)) > 64:
        raise InvalidInput("the version's run or logged model is no id", hint="ids have at most 64 characters")


def _check_number(tx: Transaction, model: Model, one: ImportedVersion, mark: Mark | None) -> None:
    """Raises TakenHere where the number was that of another version while another model had the name: it never means two things."""
    former = models.find_former_name(tx, model.name)
    is_other = former is not None and former.model != model.id and one.number <= former.last
    if is_other and (mark is None or mark.fingerprint != mark_of_gone(one.created_at)):
        raise TakenHere(f"{model.name}/{one.number} was a version of a model that had this name before", hint="rename the model there")


def _tags(one: ImportedVersion, body: ModelImport) -> dict[str, str]:
    noted = {IMPORTED_FROM_TAG: str(body.source), USER_TAG: one.user, STATUS_TAG: "" if one.status == "READY" else one.status}
    return {**one.tags, **{key: value for key, value in noted.items() if value}}


def _insert(
    tx: Transaction, principal: Principal, into: tuple[Model, ModelImport], given: tuple[ImportedVersion, Prepared]
) -> ModelVersion:
    (model, body), (one, prepared) = into, given
    fields = {name: getattr(prepared.body, name) for name in _CARRIED}
    made = ModelVersion(
        model=model.name,
        number=one.number,
        team_id=model.team_id,
        format=prepared.kept.format,
        size_bytes=prepared.kept.size_bytes,
        content=prepared.kept.content,
        signature=prepared.kept.signature,
        author=principal.id,
        created_at=one.created_at,
        **fields,
    )
    versions.insert_version(tx, made, "")
    events.insert_state(tx, model.name, one.number, StateChange(state=VersionState.REGISTERED, at=one.created_at, actor=principal.id))
    notes.insert_source(tx, model.name, one.number, prepared.source)
    data: dict[str, object] = {"from": body.source, "lies_at": one.uri[:1000], "user": one.user[:200], "has_files": bool(one.owner)}
    data["made_there_at"] = str(one.created_at)
    entry = NewEntry(
        type="registry.version_imported",
        subject=f"model:{model.name}/{one.number}",
        actor=principal.id,
        data=data,
        digest=made.artifact if one.owner else None,
        team_id=model.team_id,
    )
    record(tx, entry)
    return made


_CARRIED = ("artifact", "run", "snapshot", "feature_set", "source", "environment", "metrics", "parameters", "description")


def get_model_record(snapshot: Snapshot, principal: Principal, model: ModelName, before: int = 0, limit: int = 100) -> ModelRecord:
    """A model told in full, with `limit` of its versions, newest first; `before` is the last number of the page before."""
    detail = get_model(snapshot, principal, model)
    found = list_versions(snapshot, principal, model, before, limit)
    beside = read_beside(snapshot, [(model, 0), *((model, one.version.number) for one in found)])
    return ModelRecord(
        detail=detail,
        updated_at=models.updated_at(snapshot, [model])[model],
        tags=beside.tags.get((model, 0), {}),
        moves=tuple(list_alias_moves(snapshot, principal, model, MOST_MOVES)),
        versions=tuple(
            VersionRecord(
                detail=one,
                notes=beside.notes.get((model, one.version.number), Notes(updated_at=one.version.created_at)),
                tags=beside.tags.get((model, one.version.number), {}),
                source=beside.sources.get((model, one.version.number)),
            )
            for one in found
        ),
    )


def list_version_files(database: Database, blobs: Blobs, principal: Principal, model: ModelName, version: int) -> Manifest:
    """The files of a version's artifact. Raises NotFound for one that was brought as a record without files."""
    with database.read() as snapshot:
        return files_of(blobs, seen_version(snapshot, principal, model, version))


def open_version_file(
    database: Database, blobs: Blobs, principal: Principal, at: tuple[ModelName, int, str]
) -> tuple[File, Iterator[bytes]]:
    """A file of a version's artifact, by model, number and path, and its content, checked at its end. Raises NotFound."""
    model, version, path = at
    manifest = list_version_files(database, blobs, principal, model, version)
    found = next((file for file in manifest.files if file.path == path), None)
    if found is None:
        raise NotFound(f"version {version} of {model} has no file {path[:120]!r}", hint="list the files that it has")
    return found, blobs.open_stream(found.digest)


def files_of(blobs: Blobs, version: ModelVersion) -> Manifest:
    """The files of a version's artifact, whoever asks. Raises NotFound for a record without files."""
    if version.format is Format.ELSEWHERE:
        raise NotFound(
            f"the files of version {version.number} of {version.model} are not kept here, only where they lie", hint="see its source"
        )
    return get_manifest(blobs, Digest(version.artifact))

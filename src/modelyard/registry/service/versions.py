"""Versions: registered, looked up, compared, retired. A version never changes; each thing that happens to it is a row of its own."""

import math

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, Principal, Role
from modelyard.core.digests import Digest, digest_of
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import (
    AliasName,
    BadArtifact,
    Comparison,
    ContentChanged,
    Hold,
    Lineage,
    ModelName,
    ModelVersion,
    NewVersion,
    NoSuchAlias,
    StateChange,
    StoredArtifact,
    VersionDetail,
    VersionIsLive,
    VersionIsRetired,
    VersionState,
)
from modelyard.registry.rules import compared, lineage_of, parsed_reference, why_not_served
from modelyard.registry.rules.names import checked_description, checked_tag, is_plain
from modelyard.registry.service.artifacts import check_theirs, inspect_artifact, known_artifact, note_artifact
from modelyard.registry.service.guard import known_version, seen_model, seen_version
from modelyard.registry.service.webhooks import announce
from modelyard.registry.store import events, models, notes, versions
from modelyard.registry.store.tables import VERSION
from modelyard.registry.webhooks import VERSION_CREATED
from modelyard.storage.blobs import DIGEST, Blobs
from modelyard.storage.database import Database, Snapshot, Transaction

MOST_LISTED = 1000
LONGEST_TEXT = 5000
MOST_METRICS = 1000
DELIVERY = "dlv_"
"""How the keys begin under which deliveries register: whoever took one first would have the delivery find another's version."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a new version besides what it is: its source as a client named it, and tags that are set with it."""

    source: str = ""
    tags: dict[str, str] = {}


NOTHING_MORE = Told()


def register_version(tx: Transaction, principal: Principal, model: ModelName, body: NewVersion, told: Told = NOTHING_MORE) -> ModelVersion:
    """The next version of `model`, of an artifact that is kept. The same key again answers with the same version.

    Raises NoSuchModel, BadArtifact, and Conflict where the key was used with another artifact.
    """
    seen = seen_model(tx, principal, model, Role.CONTRIBUTOR)
    _check(body)
    # Whoever registers next for this model waits here, so that numbers have no gaps and none is given twice.
    models.touch_model(tx, model)
    if body.key and (known := versions.find_version_by_key(tx, model, body.key)) is not None:
        if known.artifact != body.artifact:
            raise ContentChanged(
                f"version {known.number} of {model} was registered under this key with another artifact", hint="use a new key"
            )
        return known
    kept = known_artifact(tx, body.artifact, body.format)
    if body.signature not in (None, kept.signature):
        raise BadArtifact("the artifact has another signature", hint="leave the signature out, or save the model under this one")
    made = _version(tx, principal, model, body, kept)
    made = msgspec.structs.replace(made, team_id=seen.team_id, number=_next_number(tx, model))
    versions.insert_version(tx, made, body.key)
    events.insert_state(tx, model, made.number, StateChange(state=VersionState.REGISTERED, at=made.created_at, actor=principal.id))
    for tag in told.tags.items():
        notes.put_tag(tx, model, made.number, checked_tag(*tag))
    record_version(tx, principal, "registry.version_registered", made, _facts(made))
    announce(tx, made.team_id, VERSION_CREATED, _telling(made, told))
    return made


def _telling(version: ModelVersion, told: Told) -> dict[str, object]:
    return {
        "name": version.model,
        "version": str(version.number),
        "source": told.source or f"modelyard-artifact:{version.artifact}",
        "run_id": version.run,
        "tags": told.tags,
        "description": version.description or None,
    }


def _next_number(tx: Transaction, model: ModelName) -> int:
    """Behind every version of the model, and behind those of whichever model had its name before."""
    former = models.find_former_name(tx, model)
    return max(versions.latest_number(tx, model), former.last if former else 0) + 1


def _version(tx: Transaction, principal: Principal, model: ModelName, body: NewVersion, kept: StoredArtifact) -> ModelVersion:
    return ModelVersion(
        model=model,
        number=0,
        team_id=DEFAULT_TEAM,
        format=kept.format,
        artifact=kept.digest,
        size_bytes=kept.size_bytes,
        content=kept.content,
        signature=kept.signature,
        run=body.run,
        snapshot=body.snapshot,
        feature_set=body.feature_set,
        source=body.source,
        environment=body.environment,
        metrics=body.metrics,
        parameters=body.parameters,
        description=body.description,
        author=principal.id,
        created_at=tx.now(),
    )


def _facts(version: ModelVersion) -> dict[str, object]:
    """What the ledger says of a version: each thing it came from, and the digest over all of it."""
    came_from = {step.kind.value: step.id for step in lineage_of(version).steps if step.id}
    return {"format": version.format.value, "content": version.content, "came_from": came_from, "version": digest_of(version)}


def _check(body: NewVersion) -> None:
    if len(body.metrics) > MOST_METRICS or not all(math.isfinite(value) for value in body.metrics.values()):
        raise InvalidInput("a metric of a version is no finite number, or they are too many", hint="leave out what could not be measured")
    checked_description(body.description)
    texts = (body.run or "", body.key, *body.metrics, *body.parameters, *map(str, body.parameters.values()))
    if any("\x00" in text or len(text) > LONGEST_TEXT for text in texts) or len(body.key) > 200 or len(body.run or "") > 64:
        raise InvalidInput("a text of the version is too long or holds NUL", hint=f"give at most {LONGEST_TEXT} characters")
    if not all(digest is None or DIGEST.fullmatch(digest) for digest in (body.snapshot, body.feature_set, body.source, body.environment)):
        raise InvalidInput("a digest is sha256: and 64 hexadecimal digits", hint="leave out what was not recorded")


def register_artifact(database: Database, blobs: Blobs, principal: Principal, model: ModelName, body: NewVersion) -> ModelVersion:
    """The next version of `model`, of an artifact in the blob store, which is looked at first where it is not known yet.

    Raises what `register_version` raises, InvalidInput for a delivery's key, and FormatRefused or UntrustedType for an artifact
    without a safe loader. One that was trained here or is other teams' alone is missing: a digest stands in places that more
    people read, and opens nothing.
    """
    if body.key.startswith(DELIVERY):
        raise InvalidInput(f"keys that begin with {DELIVERY} are those of deliveries", hint="choose a key of your own")
    with database.read() as snapshot:
        seen_model(snapshot, principal, model, Role.CONTRIBUTOR)
        check_theirs(snapshot, principal, body.artifact)
    kept = inspect_artifact(database, blobs, body.artifact)

    def register(tx: Transaction) -> ModelVersion:
        check_theirs(tx, principal, body.artifact)
        note_artifact(tx, kept)
        return register_version(tx, principal, model, body)

    return database.write(register)


# -- looking up --


def get_version(snapshot: Snapshot, model: ModelName, number: int) -> ModelVersion:
    """The version, whoever asks: for components, which check their own callers. Raises NoSuchVersion."""
    return known_version(snapshot, model, number)


def find_key(snapshot: Snapshot, version: ModelVersion) -> str | None:
    """The key under which the version was registered, which its registrar chose: for components, as `get_version`."""
    return versions.find_key(snapshot, version.model, version.number)


def show_version(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> VersionDetail:
    """A version with what happened to it. Raises NoSuchModel and NoSuchVersion."""
    return details(snapshot, [seen_version(snapshot, principal, model, version)])[0]


def list_versions(snapshot: Snapshot, principal: Principal, model: ModelName, before: int = 0, limit: int = 100) -> list[VersionDetail]:
    """The versions of a model, newest first; `before` is the last number of the page before."""
    seen_model(snapshot, principal, model)
    if not 1 <= limit <= MOST_LISTED or not 0 <= before < 2**31:
        raise InvalidInput(f"{limit} versions before {before}", hint=f"ask for 1 to {MOST_LISTED}")
    return details(snapshot, versions.list_versions_before(snapshot, model, before, limit))


def versions_of_run(snapshot: Snapshot, principal: Principal, run: str) -> list[ModelVersion]:
    """The versions that came out of a run, newest first."""
    return _seen(principal, versions.list_versions(snapshot, VERSION.c.run_id == run, MOST_LISTED)) if "\x00" not in run else []


def versions_of_digest(snapshot: Snapshot, principal: Principal, digest: Digest) -> list[ModelVersion]:
    """The versions that are, hold or came from something of that digest, newest first."""
    if not DIGEST.fullmatch(digest):
        return []
    return _seen(principal, versions.list_by_digest(snapshot, digest, MOST_LISTED))


def _seen(principal: Principal, found: list[ModelVersion]) -> list[ModelVersion]:
    return [version for version in found if principal.may(Role.VIEWER, version.team_id)]


def details(snapshot: Snapshot, found: list[ModelVersion]) -> list[VersionDetail]:
    """Versions of one model, each with what happened to it."""
    if not found:
        return []
    model, numbers = found[0].model, [version.number for version in found]
    states, holds = events.list_states(snapshot, model, numbers), events.list_holds(snapshot, model, numbers)
    deprecations = events.list_deprecations(snapshot, model, numbers)
    pointing: dict[int, list[AliasName]] = {}
    for alias in events.list_aliases(snapshot, [model]).get(model, ()):
        pointing.setdefault(alias.version, []).append(alias.name)
    return [
        VersionDetail(
            version=version,
            states=states[version.number],
            aliases=tuple(pointing.get(version.number, ())),
            holds=holds.get(version.number, ()),
            deprecation=deprecations.get(version.number),
            why_not_served=why_not_served(version.format),
        )
        for version in found
    ]


def resolve(snapshot: Snapshot, principal: Principal, reference: str) -> ModelVersion:
    """The version that `models:/name@alias`, `models:/name/3` or `models:/name` (the latest) means now.

    Raises InvalidInput, NoSuchModel, NoSuchAlias and NoSuchVersion.
    """
    asked = parsed_reference(reference)
    seen_model(snapshot, principal, asked.model)
    if asked.alias is not None:
        return known_version(snapshot, asked.model, require_alias(snapshot, asked.model, asked.alias))
    return known_version(snapshot, asked.model, asked.version or versions.latest_number(snapshot, asked.model))


def require_alias(snapshot: Snapshot, model: ModelName, alias: AliasName) -> int:
    """The number of the version that the alias points to. Raises NoSuchAlias."""
    found = events.find_alias(snapshot, model, alias)
    if found is None:
        known = [one.name for one in events.list_aliases(snapshot, [model]).get(model, ())]
        raise NoSuchAlias(f"{model} has no alias {alias[:60]!r}", hint=nearest(alias, known))
    return found.version


def get_lineage(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> Lineage:
    """All that a version came from, as recorded when it was registered."""
    return lineage_of(seen_version(snapshot, principal, model, version))


def compare_versions(snapshot: Snapshot, principal: Principal, model: ModelName, left: int, right: int) -> Comparison:
    """Two versions of a model side by side: origins, columns, parameters, metrics."""
    return compared(seen_version(snapshot, principal, model, left), seen_version(snapshot, principal, model, right))


# -- the end of a version --


def retire_version(tx: Transaction, principal: Principal, model: ModelName, version: int, why: str) -> VersionDetail:
    """The version, retired for good: it takes no alias and no traffic any more. A second call changes nothing.

    Raises VersionIsLive while an alias points to it or something holds it.
    """
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    if not 1 <= len(why.strip()) <= LONGEST_TEXT or "\x00" in why:
        raise InvalidInput("a version is retired for a reason", hint="say why")
    models.touch_model(tx, model)
    (detail,) = details(tx, [found])
    if detail.state is VersionState.RETIRED:
        return detail
    if detail.holds or detail.aliases:
        used = [hold.why for hold in detail.holds] + [f"the alias {alias} points to it" for alias in detail.aliases]
        raise VersionIsLive(
            f"version {version} of {model} is in use: {'; '.join(used[:3])}", hint=f"move traffic and aliases first: yard rollback {model}"
        )
    events.insert_state(tx, model, version, StateChange(state=VersionState.RETIRED, at=tx.now(), actor=principal.id, why=why))
    record_version(tx, principal, "registry.version_retired", found, {"why": why})
    return details(tx, [found])[0]


def put_hold(tx: Transaction, model: ModelName, version: int, holder: str, why: str) -> None:
    """Keeps a version from being retired while `holder`, such as an endpoint, uses it; `why` is what people are told.

    Raises VersionIsRetired and NoSuchVersion, and InvalidInput where the model's name is not plain enough to be deployed.
    """
    found = known_version(tx, model, version)
    if not is_plain(model):
        raise InvalidInput(f"a model named {model!r} is not deployed", hint="rename it to letters, digits, '_', '.' and '-' first")
    models.touch_model(tx, model)
    check_active(tx, found)
    events.put_hold(tx, Hold(model=model, version=version, holder=holder, why=why, since_at=tx.now()))


def release_hold(tx: Transaction, model: ModelName, version: int, holder: str) -> None:
    """Ends the hold of `holder`; where there is none, nothing changes."""
    events.delete_hold(tx, model, version, holder)


def check_active(snapshot: Snapshot, version: ModelVersion) -> None:
    """Raises VersionIsRetired for a version that was retired."""
    (detail,) = details(snapshot, [version])
    if detail.state is VersionState.RETIRED:
        why = detail.states[-1].why
        raise VersionIsRetired(f"version {version.number} of {version.model} was retired: {why}", hint="choose a version that was not")


def record_version(tx: Transaction, principal: Principal, word: str, version: ModelVersion, data: dict[str, object]) -> None:
    """Writes the ledger entry of a change that concerns a version."""
    subject = f"model:{version.model}/{version.number}"
    entry = NewEntry(type=word, subject=subject, actor=principal.id, data=data, digest=version.artifact, team_id=version.team_id)
    record(tx, entry)

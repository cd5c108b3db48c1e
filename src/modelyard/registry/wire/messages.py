"""Answers about registered models and their versions as MLflow's JSON, each list read in bulk."""

from collections.abc import Sequence

import msgspec

from modelyard.registry import service
from modelyard.registry.domain import LoggedSource, ModelName, ModelVersion, Notes
from modelyard.registry.service.search import Beside, Dated, Key
from modelyard.storage.database import Snapshot
from modelyard.tracking.wire.messages import Tag, milliseconds, tags_message

READY = "READY"


class AliasMessage(msgspec.Struct, frozen=True):
    """An alias of a model."""

    alias: str
    version: str


class VersionMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A version of a model."""

    name: str
    version: str
    creation_timestamp: int
    last_updated_timestamp: int
    current_stage: str
    source: str
    status: str
    user_id: str
    description: str
    run_id: str
    run_link: str
    model_id: str = ""
    tags: list[Tag] = []
    aliases: list[str] = []


class ModelMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A registered model."""

    name: str
    creation_timestamp: int
    last_updated_timestamp: int
    user_id: str
    description: str = ""
    latest_versions: list[VersionMessage] = []
    tags: list[Tag] = []
    aliases: list[AliasMessage] = []


class ModelAnswer(msgspec.Struct, frozen=True):
    """One registered model."""

    registered_model: ModelMessage


class VersionAnswer(msgspec.Struct, frozen=True):
    """One version."""

    model_version: VersionMessage


class ModelsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some registered models."""

    registered_models: list[ModelMessage] = []
    next_page_token: str | None = None


class VersionsAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some versions."""

    model_versions: list[VersionMessage] = []
    next_page_token: str | None = None


def version_message(version: ModelVersion, known: Beside) -> VersionMessage:
    """A version on the wire. One that no MLflow client logged tells its artifact's digest as its source."""
    key = (version.model, version.number)
    source = known.sources.get(key) or LoggedSource(uri=f"modelyard-artifact:{version.artifact}", owner="", folder="")
    written = known.notes.get(key) or Notes(updated_at=version.created_at)
    return VersionMessage(
        name=version.model,
        version=str(version.number),
        creation_timestamp=milliseconds(version.created_at),
        last_updated_timestamp=milliseconds(written.updated_at),
        current_stage=written.stage,
        source=source.uri,
        status=READY,
        user_id=version.author,
        description=version.description if written.description is None else written.description,
        run_id=version.run or "",
        run_link=source.run_link,
        model_id=source.logged_model,
        tags=tags_message(known.tags.get(key, {})),
        aliases=[alias.name for alias in known.aliases.get(version.model, ()) if alias.version == version.number],
    )


def version_messages(snapshot: Snapshot, keys: Sequence[Key]) -> list[VersionMessage]:
    """Versions on the wire, in the order of `keys`."""
    known = service.read_beside(snapshot, sorted({model for model, _ in keys}))
    return [version_message(version, known) for version in service.versions_by_key(snapshot, keys)]


def model_messages(snapshot: Snapshot, names: Sequence[ModelName]) -> list[ModelMessage]:
    """Registered models on the wire, in the order of `names`, each with the newest version of each stage."""
    dated, known = service.dated_models(snapshot, names), service.read_beside(snapshot, names)
    keys = [(one.model.name, number) for one in dated for number in one.latest.values()]
    latest: dict[str, list[VersionMessage]] = {}
    for version in service.versions_by_key(snapshot, keys):
        latest.setdefault(version.model, []).append(version_message(version, known))
    return [_model_message(one, latest.get(one.model.name, []), known) for one in dated]


def _model_message(dated: Dated, latest: list[VersionMessage], known: Beside) -> ModelMessage:
    model = dated.model
    return ModelMessage(
        name=model.name,
        creation_timestamp=milliseconds(model.created_at),
        last_updated_timestamp=milliseconds(dated.updated_at),
        user_id=model.created_by,
        description=model.purpose,
        latest_versions=latest,
        tags=tags_message(known.tags.get((model.name, 0), {})),
        aliases=[AliasMessage(alias.name, str(alias.version)) for alias in known.aliases.get(model.name, ())],
    )

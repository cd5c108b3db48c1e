"""Answers about registered models and their versions as MLflow's JSON, each list read in bulk."""

from collections.abc import Sequence

import msgspec

from modelyard.registry import service
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot
from modelyard.tracking.wire.messages import Tag, milliseconds, tags_message

READY = "READY"
DEPRECATED_TAG = "modelyard.deprecated"
SUCCESSOR_TAG = "modelyard.successor"


class AliasMessage(msgspec.Struct, frozen=True, gc=False):
    """An alias of a model."""

    alias: str
    version: str


class VersionMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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


class ModelMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
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


def version_messages(snapshot: Snapshot, keys: Sequence[tuple[ModelName, int]]) -> list[VersionMessage]:
    """Versions on the wire, in the order of `keys`."""
    return [_version_message(one) for one in service.list_briefs(snapshot, keys)]


def model_messages(snapshot: Snapshot, names: Sequence[ModelName]) -> list[ModelMessage]:
    """Registered models on the wire, in the order of `names`, each with the newest version of each stage."""
    return [_model_message(one) for one in service.list_model_briefs(snapshot, names)]


def _version_message(brief: service.VersionBrief) -> VersionMessage:
    """A version on the wire. One that no MLflow client logged tells its artifact's digest as its source."""
    return VersionMessage(
        name=brief.model,
        version=str(brief.number),
        creation_timestamp=milliseconds(brief.created_at),
        last_updated_timestamp=milliseconds(brief.updated_at),
        current_stage=brief.stage,
        source=f"modelyard-artifact:{brief.artifact}" if brief.source is None else brief.source,
        status=READY,
        user_id=brief.author,
        description=brief.description,
        run_id=brief.run or "",
        run_link=brief.run_link or "",
        model_id=brief.logged_model or "",
        tags=tags_message(brief.tags if brief.deprecated is None else _with_deprecation(brief, brief.deprecated)),
        aliases=list(brief.aliases),
    )


def _with_deprecation(brief: service.VersionBrief, why: str) -> dict[str, str]:
    """The tags of a deprecated version: MLflow's clients know no other place for it."""
    successor = {} if brief.successor is None else {SUCCESSOR_TAG: str(brief.successor)}
    return {**brief.tags, DEPRECATED_TAG: why, **successor}


def _model_message(brief: service.ModelBrief) -> ModelMessage:
    return ModelMessage(
        name=brief.name,
        creation_timestamp=milliseconds(brief.created_at),
        last_updated_timestamp=milliseconds(brief.updated_at),
        user_id=brief.created_by,
        description=brief.purpose,
        latest_versions=[_version_message(one) for one in brief.latest],
        tags=tags_message(brief.tags),
        aliases=[AliasMessage(alias, str(number)) for alias, number in brief.aliases],
    )

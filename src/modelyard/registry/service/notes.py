"""What may be written about models and versions at any time: tags, descriptions, MLflow's stages. A version itself never changes."""

import msgspec

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import ModelName, ModelVersion, Notes
from modelyard.registry.rules.names import checked_description, checked_tag
from modelyard.registry.service.guard import seen_model, seen_version
from modelyard.registry.service.versions import record_version
from modelyard.registry.service.webhooks import announce
from modelyard.registry.store import models, notes
from modelyard.registry.webhooks import TAG_DELETED, TAG_SET
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.rules.names import checked_key

STAGES = ("None", "Staging", "Production", "Archived")


def set_tags(tx: Transaction, principal: Principal, model: ModelName, version: int, tags: dict[str, str]) -> None:
    """Sets tags of a version, or of the model itself for 0, over their old values."""
    team = _seen_team(tx, principal, model, version)
    for key, value in tags.items():
        notes.put_tag(tx, model, version, checked_tag(key, value))
        if version:
            announce(tx, team, TAG_SET, {"name": model, "version": str(version), "key": key, "value": value})


def delete_tag(tx: Transaction, principal: Principal, model: ModelName, version: int, key: str) -> None:
    """Removes a tag of a version, or of the model itself for 0; where there is none, nothing changes."""
    team = _seen_team(tx, principal, model, version)
    notes.delete_tag(tx, model, version, checked_key(key, "key"))
    if version:
        announce(tx, team, TAG_DELETED, {"name": model, "version": str(version), "key": key})


def _seen_team(tx: Transaction, principal: Principal, model: ModelName, version: int) -> TeamId:
    if version:
        return seen_version(tx, principal, model, version, Role.CONTRIBUTOR).team_id
    return seen_model(tx, principal, model, Role.CONTRIBUTOR).team_id


def find_notes(snapshot: Snapshot, version: ModelVersion) -> Notes:
    """What is written about a version."""
    found = notes.list_notes(snapshot, [(version.model, version.number)]).get((version.model, version.number))
    return found or Notes(updated_at=version.created_at)


def describe_version(tx: Transaction, principal: Principal, model: ModelName, version: int, description: str) -> ModelVersion:
    """Writes a description beside a version. The one that it was registered with stays on record."""
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    _put(tx, found, msgspec.structs.replace(find_notes(tx, found), description=checked_description(description)))
    return found


def known_stage(text: str) -> str:
    """The stage that a word means, whatever its case. Raises InvalidInput.

    >>> known_stage("production")
    'Production'
    """
    found = next((one for one in STAGES if one.lower() == text.lower()), None)
    if found is None:
        raise InvalidInput(f"Invalid Model Version stage: {text[:60]}. Value must be one of {', '.join(STAGES)}.")
    return found


def move_stage(tx: Transaction, principal: Principal, model: ModelName, version: int, stage: str) -> ModelVersion:
    """Puts a version into one of MLflow's stages. It moves no traffic and no alias; the move is in the ledger."""
    found, name = seen_version(tx, principal, model, version, Role.CONTRIBUTOR), known_stage(stage)
    before = find_notes(tx, found)
    _put(tx, found, msgspec.structs.replace(before, stage=name))
    models.touch_model(tx, model)
    if name != before.stage:
        record_version(tx, principal, "registry.stage_moved", found, {"before": before.stage, "after": name})
    return found


def _put(tx: Transaction, version: ModelVersion, changed: Notes) -> None:
    notes.put_notes(tx, version.model, version.number, msgspec.structs.replace(changed, updated_at=tx.now()))

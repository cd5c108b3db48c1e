"""What may be written about models and versions at any time: tags, descriptions, MLflow's stages. A version itself never changes."""

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import ModelName, ModelVersion, Notes
from modelyard.registry.service.guard import seen_model, seen_version
from modelyard.registry.service.versions import record_version
from modelyard.registry.store import models, notes
from modelyard.storage.database import Snapshot, Transaction

STAGES = ("None", "Staging", "Production", "Archived")
LONGEST_KEY = 250
LONGEST_VALUE = 100_000
LONGEST_DESCRIPTION = 20_000


def set_tags(tx: Transaction, principal: Principal, model: ModelName, version: int, tags: dict[str, str]) -> None:
    """Sets tags of a version, or of the model itself for 0, over their old values."""
    _check_seen(tx, principal, model, version)
    for key, value in tags.items():
        if not 1 <= len(key) <= LONGEST_KEY or len(value) > LONGEST_VALUE or "\x00" in key + value:
            raise InvalidInput(
                f"the tag {key[:60]!r}", hint=f"keys have 1 to {LONGEST_KEY} characters, values at most {LONGEST_VALUE}, none NUL"
            )
        notes.put_tag(tx, model, version, (key, value))
    if tags:
        models.touch_model(tx, model)


def delete_tag(tx: Transaction, principal: Principal, model: ModelName, version: int, key: str) -> None:
    """Removes a tag of a version, or of the model itself for 0; where there is none, nothing changes."""
    _check_seen(tx, principal, model, version)
    if "\x00" not in key:
        notes.delete_tag(tx, model, version, key)


def _check_seen(tx: Transaction, principal: Principal, model: ModelName, version: int) -> None:
    if version:
        seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    else:
        seen_model(tx, principal, model, Role.CONTRIBUTOR)


def find_notes(snapshot: Snapshot, version: ModelVersion) -> Notes:
    """What is written about a version."""
    found = notes.list_notes(snapshot, [version.model]).get((version.model, version.number))
    return found or Notes(updated_at=version.created_at)


def describe_version(tx: Transaction, principal: Principal, model: ModelName, version: int, description: str) -> ModelVersion:
    """Writes a description beside a version. The one that it was registered with stays on record."""
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    if len(description) > LONGEST_DESCRIPTION or "\x00" in description:
        raise InvalidInput(f"a description of {len(description)} characters", hint=f"at most {LONGEST_DESCRIPTION}, without NUL")
    _put(tx, found, msgspec.structs.replace(find_notes(tx, found), description=description))
    return found


def move_stage(tx: Transaction, principal: Principal, model: ModelName, version: int, stage: str) -> ModelVersion:
    """Puts a version into one of MLflow's stages. It moves no traffic and no alias; the move is in the ledger."""
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    before = find_notes(tx, found)
    name = next((one for one in STAGES if one.lower() == stage.lower()), None)
    if name is None:
        raise InvalidInput(f"Invalid Model Version stage: {stage[:60]}. Value must be one of {', '.join(STAGES)}.")
    if name != before.stage:
        _put(tx, found, msgspec.structs.replace(before, stage=name))
        record_version(tx, principal, "registry.stage_moved", found, {"before": before.stage, "after": name})
    return found


def _put(tx: Transaction, version: ModelVersion, changed: Notes) -> None:
    notes.put_notes(tx, version.model, version.number, msgspec.structs.replace(changed, updated_at=tx.now()))
    models.touch_model(tx, version.model)

"""Which models and versions a principal sees. What it may not see is told as missing, so that names of other teams reveal nothing."""

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.names import nearest
from modelyard.registry.domain import Model, ModelName, ModelVersion, NoSuchModel, NoSuchVersion
from modelyard.registry.rules.names import is_sound
from modelyard.registry.store import models, versions
from modelyard.registry.store.models import in_teams
from modelyard.storage.database import Snapshot

MOST_NUMBER = 2**31 - 1


def seen_model(snapshot: Snapshot, principal: Principal, model: ModelName, least: Role = Role.VIEWER) -> Model:
    """The model. Raises NoSuchModel with the nearest name that the principal sees, and NotAllowed where it only sees it."""
    found = models.find_model(snapshot, model) if is_sound(model) else None
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        known = [one.name for one in models.list_models(snapshot, in_teams(principal.teams), 500)]
        raise NoSuchModel(f"no model {model[:120]!r}", hint=nearest(model, known))
    require(principal, least, found.team_id)
    return found


def seen_version(snapshot: Snapshot, principal: Principal, model: ModelName, version: int, least: Role = Role.VIEWER) -> ModelVersion:
    """The version. Raises NoSuchModel, NoSuchVersion and NotAllowed."""
    seen_model(snapshot, principal, model, least)
    return known_version(snapshot, model, version)


def known_version(snapshot: Snapshot, model: ModelName, version: int) -> ModelVersion:
    """The version, whoever asks. Raises NoSuchVersion."""
    found = versions.find_version(snapshot, model, version) if 0 < version <= MOST_NUMBER else None
    if found is None:
        latest = versions.latest_number(snapshot, model)
        hint = f"its versions are 1 to {latest}" if latest else f"{model} has no version yet: yard ship {model}"
        raise NoSuchVersion(f"{model} has no version {version}", hint=hint)
    return found

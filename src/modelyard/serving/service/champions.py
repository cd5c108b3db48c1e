"""What others are told of a model's champion: the registry by its alias, the features that it reads by name. Owns that telling."""

from modelyard.access.domain import Principal, TeamId
from modelyard.features.service import find_applied_set, put_consumer, remove_consumer
from modelyard.registry.domain import CHAMPION, ModelName
from modelyard.registry.service import get_version, set_alias
from modelyard.storage.database import Transaction


def make_champion(tx: Transaction, principal: Principal, owned: tuple[ModelName, TeamId], version: int) -> None:
    """Points the alias to the version that answers now, and has the views that it reads name the model, and no others."""
    model, team = owned
    set_alias(tx, principal, model, CHAMPION, version)
    digest = get_version(tx, model, version).feature_set
    found = None if digest is None else find_applied_set(tx, digest)
    if found is None:
        remove_consumer(tx, model, team)
    else:
        put_consumer(tx, model, f"/models/{model}", found, team)


def drop_champion(tx: Transaction, model: ModelName, team: TeamId) -> None:
    """The model reads no view any more. Its alias stays: it says which version answered last."""
    remove_consumer(tx, model, team)

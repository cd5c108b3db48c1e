"""Aliases: words that point to a version and move. Every move is kept, and written into the ledger."""

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import Alias, AliasMove, AliasName, ModelName
from modelyard.registry.rules.names import checked_alias, checked_new_alias
from modelyard.registry.service.guard import known_version, seen_model, seen_version
from modelyard.registry.service.versions import check_active, record_version, require_alias
from modelyard.registry.service.webhooks import announce
from modelyard.registry.store import events, models
from modelyard.registry.webhooks import ALIAS_CREATED, ALIAS_DELETED
from modelyard.storage.database import Snapshot, Transaction

MOST_MOVES = 1000


def set_alias(tx: Transaction, principal: Principal, model: ModelName, alias: AliasName, version: int) -> Alias:
    """The alias, pointing to `version` from now on. Raises NoSuchModel, NoSuchVersion, VersionIsRetired."""
    name = checked_new_alias(alias)
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    models.touch_model(tx, model)
    check_active(tx, found)
    before = events.find_alias(tx, model, name)
    if before is not None and before.version == version:
        return before
    moved = Alias(model=model, name=name, version=version, moved_at=tx.now(), moved_by=principal.id)
    events.put_alias(tx, moved)
    number = None if before is None else before.version
    events.insert_move(tx, AliasMove(model=model, name=name, before=number, after=version, moved_at=tx.now(), moved_by=principal.id))
    record_version(tx, principal, "registry.alias_moved", found, {"alias": name, "before": number, "after": version})
    announce(tx, found.team_id, ALIAS_CREATED, {"name": model, "alias": name, "version": str(version)})
    return moved


def delete_alias(tx: Transaction, principal: Principal, model: ModelName, alias: AliasName) -> None:
    """Removes an alias; its moves stay on record. Raises NoSuchAlias."""
    owner = seen_model(tx, principal, model, Role.CONTRIBUTOR)
    models.touch_model(tx, model)
    number = require_alias(tx, model, checked_alias(alias))
    events.delete_alias(tx, model, alias)
    events.insert_move(tx, AliasMove(model=model, name=alias, before=number, after=None, moved_at=tx.now(), moved_by=principal.id))
    record_version(tx, principal, "registry.alias_deleted", known_version(tx, model, number), {"alias": alias, "before": number})
    announce(tx, owner.team_id, ALIAS_DELETED, {"name": model, "alias": alias})


def find_alias(snapshot: Snapshot, model: ModelName, alias: AliasName) -> Alias | None:
    """Where an alias points, whoever asks: for components, which check their own callers."""
    return events.find_alias(snapshot, model, alias)


def list_aliases(snapshot: Snapshot, principal: Principal, model: ModelName) -> list[Alias]:
    """The aliases of a model, by name."""
    seen_model(snapshot, principal, model)
    return list(events.list_aliases(snapshot, [model]).get(model, ()))


def list_alias_moves(snapshot: Snapshot, principal: Principal, model: ModelName, limit: int = 100) -> list[AliasMove]:
    """Every move of the model's aliases, newest first."""
    seen_model(snapshot, principal, model)
    if not 1 <= limit <= MOST_MOVES:
        raise InvalidInput(f"{limit} moves", hint=f"ask for 1 to {MOST_MOVES}")
    return events.list_moves(snapshot, model, limit)

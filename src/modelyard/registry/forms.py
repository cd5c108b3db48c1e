"""What the registry's pages send: moved aliases, deprecations, retirements. Each ends on the page that it is about."""

from modelyard.access.domain import Principal
from modelyard.core.errors import InvalidInput
from modelyard.registry import service
from modelyard.registry.domain import AliasName, ModelName
from modelyard.registry.rules.names import page_of
from modelyard.storage.database import Transaction
from modelyard.web.pages import Action, Done, action


def move_alias(tx: Transaction, principal: Principal, model: ModelName, alias: str, version: int) -> Done:
    """Has an alias point to a version."""
    service.set_alias(tx, principal, model, AliasName(alias), version)
    return Done(page_of(model), f"{alias} points to v{version} now.")


def retire(tx: Transaction, principal: Principal, model: ModelName, version: int, why: str) -> Done:
    """Retires a version."""
    service.retire_version(tx, principal, model, version, why)
    return Done(page_of(model, version), f"v{version} is retired.")


def deprecate(  # noqa: PLR0913 - two are injected
    tx: Transaction, principal: Principal, model: ModelName, version: int, why: str, successor: str = ""
) -> Done:
    """Deprecates a version."""
    if successor and not successor.removeprefix("v").isdecimal():
        raise InvalidInput(f"{successor[:40]!r} is no version", hint="versions are numbers, such as 3")
    service.deprecate_version(tx, principal, model, version, why, int(successor.removeprefix("v")) if successor else None)
    return Done(page_of(model, version), f"v{version} is deprecated.")


def withdraw_deprecation(tx: Transaction, principal: Principal, model: ModelName, version: int) -> Done:
    """Takes back that a version is deprecated."""
    service.withdraw_deprecation(tx, principal, model, version)
    return Done(page_of(model, version), f"v{version} is not deprecated any more.")


ACTIONS: tuple[Action, ...] = (
    action("/models/{model}/alias", move_alias),
    action("/models/{model}/versions/{version}/retirement", retire),
    action("/models/{model}/versions/{version}/deprecation", deprecate),
    action("/models/{model}/versions/{version}/deprecation/withdrawal", withdraw_deprecation),
)

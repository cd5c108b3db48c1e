"""Deprecation: a version that should not be taken up any more. It stops nothing; retirement does."""

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.registry.domain import Deprecation, ModelName, VersionDetail, VersionState
from modelyard.registry.service.guard import known_version, seen_version
from modelyard.registry.service.versions import check_active, details, record_version
from modelyard.registry.store import events, models
from modelyard.storage.database import Transaction

LONGEST_WHY = 1000


def deprecate_version(  # noqa: PLR0913 - two are injected
    tx: Transaction, principal: Principal, model: ModelName, version: int, why: str, successor: int | None = None
) -> VersionDetail:
    """The version, deprecated for a reason, with the version of the same model to take instead where one is named.

    Its aliases and traffic stay. Said again with other words, these count. Raises VersionIsRetired for it or its successor.
    """
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    if not 1 <= len(why.strip()) <= LONGEST_WHY or "\x00" in why:
        raise InvalidInput("a version is deprecated for a reason", hint=f"say why in at most {LONGEST_WHY} characters")
    if successor == version:
        raise InvalidInput(f"version {version} cannot be its own successor", hint="name another version, or none")
    models.touch_model(tx, model)
    check_active(tx, found)
    if successor is not None:
        check_active(tx, known_version(tx, model, successor))
    before = details(tx, [found])[0].deprecation
    if before is None or (before.why, before.successor) != (why, successor):
        said = Deprecation(why=why, successor=successor, since_at=tx.now(), actor=principal.id)
        events.put_deprecation(tx, model, version, said)
        record_version(tx, principal, "registry.version_deprecated", found, {"why": why, "successor": successor})
    return details(tx, [found])[0]


def withdraw_deprecation(tx: Transaction, principal: Principal, model: ModelName, version: int) -> VersionDetail:
    """The version, not deprecated any more. Where it was not, nothing changes."""
    found = seen_version(tx, principal, model, version, Role.CONTRIBUTOR)
    models.touch_model(tx, model)
    (detail,) = details(tx, [found])
    if detail.deprecation is None or detail.state is VersionState.RETIRED:
        return detail
    events.delete_deprecation(tx, model, version)
    record_version(tx, principal, "registry.deprecation_withdrawn", found, {"why_before": detail.deprecation.why})
    return details(tx, [found])[0]

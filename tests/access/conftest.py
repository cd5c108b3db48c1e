"""People to test access with: an installation with its first admin, and further accounts and principals."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest

from modelyard.access import service
from modelyard.access.domain import EVERY_TEAM, Principal, PrincipalId, Role, TeamId, User
from modelyard.access.service.guard import known_user
from modelyard.ledger.domain import Event
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.storage.database import Database, Snapshot

T = TypeVar("T")

PASSWORD = "purple engine lake"
OTHER = "slow yellow harbour"
ADDRESS = "192.0.2.7"


def principal(name: str = "ada", /, **roles: str) -> Principal:
    """A person with these roles by team; `everywhere` is every team."""
    held = {EVERY_TEAM if team == "everywhere" else TeamId(team): Role(role) for team, role in roles.items()}
    return Principal(id=PrincipalId(f"usr_{name}"), name=name, kind="person", roles=held)


ROOT = principal("root", everywhere="admin")


def of(user: User) -> Principal:
    """The principal that a login of `user` gives."""
    return Principal(id=user.id, name=user.name, kind=user.kind, roles=user.roles)


@pytest.fixture
def person(database: Database) -> Callable[..., User]:
    """Makes a person with a password and these roles by team; the teams are made as well."""

    def made(name: str, password: str = PASSWORD, /, **roles: str) -> User:
        given = {EVERY_TEAM if team == "everywhere" else TeamId(team): Role(role) for team, role in roles.items()}
        known = {team.id for team in _read(database, lambda snapshot: service.list_teams(snapshot, ROOT))}
        for team in sorted(set(given) - known - {EVERY_TEAM}):
            database.write(partial(service.create_team, principal=ROOT, team=team, name=f"Team {team}"))
        first, *rest = given.items()
        link = database.write(lambda tx: service.invite_user(tx, ROOT, name, *first))
        for team, role in rest:
            database.write(partial(service.set_role, principal=ROOT, user=name, team=team, role=role))
        service.choose_password(database, link.path.removeprefix("/setup/"), password, ADDRESS)
        return _read(database, lambda snapshot: known_user(snapshot, name))

    return made


def _read(database: Database, ask: Callable[[Snapshot], T]) -> T:
    with database.read() as snapshot:
        return ask(snapshot)


@pytest.fixture
def entries(database: Database) -> Callable[[], list[Event]]:
    """All ledger entries so far, oldest first."""

    def found() -> list[Event]:
        sequence_pending(database, "tests")
        with database.read() as snapshot:
            return list_events(snapshot, -1, limit=1000)

    return found

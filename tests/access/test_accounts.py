"""Accounts, roles and teams: who may change whom, what is recorded, and that somebody always administers."""

from collections.abc import Callable
from functools import partial
from itertools import product

import pytest

from modelyard.access import service
from modelyard.access.domain import (
    DEFAULT_TEAM,
    EVERY_TEAM,
    LastAdmin,
    LinkIsSpent,
    NameIsTaken,
    NoSuchAccount,
    NoSuchTeam,
    NotAllowed,
    Role,
    TeamId,
    User,
)
from modelyard.core.clock import FixedClock
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import Event
from modelyard.storage.database import Database, Transaction
from tests.access.conftest import ADDRESS, PASSWORD, ROOT, of, principal

Person = Callable[..., User]
RED, BLUE = TeamId("red"), TeamId("blue")


def opened(database: Database, path: str, password: str = PASSWORD) -> None:
    """Uses a one-time link."""
    service.choose_password(database, path.removeprefix("/setup/"), password, ADDRESS)


def test_the_first_start_makes_one_admin_without_a_password_and_a_link_that_lapses(database: Database, clock: FixedClock) -> None:
    link = database.write(service.first_start)
    assert link is not None
    with database.read() as snapshot:
        (admin,) = service.list_users(snapshot, ROOT)
        assert (admin.name, admin.has_password, admin.roles) == ("admin", False, {EVERY_TEAM: Role.ADMIN})
        assert [team.id for team in service.list_teams(snapshot, ROOT)] == [DEFAULT_TEAM]
    clock.advance(24 * 3600)
    with pytest.raises(LinkIsSpent):
        opened(database, link.path)


def test_a_restart_voids_the_last_link_until_one_was_used(database: Database) -> None:
    first, second = database.write(service.first_start), database.write(service.first_start)
    assert first is not None
    assert second is not None
    with pytest.raises(LinkIsSpent):
        opened(database, first.path)
    opened(database, second.path)
    assert database.write(service.first_start) is None


def test_a_link_opens_its_account_once(database: Database) -> None:
    database.write(service.first_start)
    link = database.write(lambda tx: service.invite_user(tx, ROOT, "ada@example.com", DEFAULT_TEAM, Role.VIEWER))
    opened(database, link.path)
    with pytest.raises(LinkIsSpent):
        opened(database, link.path, "slow yellow harbour")


def test_names_that_differ_in_case_only_are_one_name(database: Database) -> None:
    database.write(service.first_start)
    database.write(lambda tx: service.create_service_account(tx, ROOT, "Robot", DEFAULT_TEAM, Role.VIEWER))
    with pytest.raises(NameIsTaken):
        database.write(lambda tx: service.invite_user(tx, ROOT, "robot", DEFAULT_TEAM, Role.VIEWER))


@pytest.mark.parametrize("name", ["", "1st", "a b", "a\x00b", "<script>", "a" * 121, "../ada"])
def test_an_account_has_a_plain_name(database: Database, name: str) -> None:
    database.write(service.first_start)
    with pytest.raises(InvalidInput):
        database.write(lambda tx: service.invite_user(tx, ROOT, name, DEFAULT_TEAM, Role.VIEWER))


@pytest.mark.parametrize("user", ["nobody", "a\x00b", "", "usr_0", "' OR 1=1"])
def test_an_unknown_account_is_unknown_whatever_it_is_called(database: Database, user: str) -> None:
    with pytest.raises(NoSuchAccount):
        database.write(lambda tx: service.disable_user(tx, ROOT, user))


def test_every_role_on_own_and_foreign_team_may_do_only_what_it_says(database: Database, person: Person) -> None:
    database.write(service.first_start)
    person("eve", blue="viewer")
    person("bob", red="viewer")
    for role, team in product(Role, (RED, BLUE)):
        actor = principal(f"{role}", red=role.value)
        allowed = role is Role.ADMIN and team == RED
        name = f"{role}-{team}"
        changes: tuple[Callable[[Transaction], object], ...] = (
            partial(service.set_role, principal=actor, user="bob", team=team, role=Role.CONTRIBUTOR),
            partial(service.remove_role, principal=actor, user="bob", team=team),
            partial(service.create_service_account, principal=actor, name=f"bot-{name}", team=team, role=Role.VIEWER),
            partial(service.invite_user, principal=actor, name=f"new-{name}", team=team, role=Role.VIEWER),
        )
        for change in changes:
            if allowed:
                database.write(change)
            else:
                with pytest.raises(NotAllowed):
                    database.write(change)


def test_no_account_is_taken_over_through_a_smaller_team(database: Database, person: Person) -> None:
    database.write(service.first_start)
    person("boss", red="viewer", blue="admin")
    red_admin = principal("carl", red="admin")
    attacks: tuple[Callable[..., object], ...] = (service.renew_invitation, service.disable_user, service.enable_user)
    for attack in attacks:
        with pytest.raises(NotAllowed, match="outside the teams"):
            database.write(partial(attack, principal=red_admin, user="boss"))
    with pytest.raises(NoSuchAccount):
        database.write(lambda tx: service.renew_invitation(tx, principal("dora", green="admin"), "boss"))
    with pytest.raises(NotAllowed):
        database.write(lambda tx: service.set_role(tx, red_admin, red_admin.id, EVERY_TEAM, Role.ADMIN))


def test_lists_show_the_accounts_and_roles_of_ones_own_teams(database: Database, person: Person) -> None:
    database.write(service.first_start)
    person("bob", red="viewer", blue="admin")
    person("eve", blue="viewer")
    with database.read() as snapshot:
        (seen,) = service.list_users(snapshot, principal("carl", red="admin"))
        assert (seen.name, seen.roles) == ("bob", {RED: Role.VIEWER})
        assert service.list_users(snapshot, principal("viola", red="contributor")) == []
        assert [user.name for user in service.list_users(snapshot, ROOT, after="admin", limit=1)] == ["bob"]
        assert [team.id for team in service.list_teams(snapshot, principal("viola", red="viewer"))] == [RED]
        with pytest.raises(InvalidInput):
            service.list_users(snapshot, ROOT, limit=0)


def test_the_last_admin_who_can_log_in_stays(database: Database, person: Person) -> None:
    database.write(service.first_start)
    first = person("first", everywhere="admin")
    database.write(lambda tx: service.invite_user(tx, of(first), "second", EVERY_TEAM, Role.ADMIN))
    for change in (
        lambda tx: service.set_role(tx, of(first), "first", EVERY_TEAM, Role.VIEWER),
        lambda tx: service.remove_role(tx, of(first), "first", EVERY_TEAM),
        lambda tx: service.disable_user(tx, of(first), "first"),
    ):
        with pytest.raises(LastAdmin):
            database.write(change)
    person("third", everywhere="admin")
    database.write(lambda tx: service.disable_user(tx, of(first), "first"))


def test_a_role_is_given_only_in_a_team_that_is_there(database: Database) -> None:
    database.write(service.first_start)
    for team in ("ghost", "a\x00", "Red"):
        with pytest.raises(NoSuchTeam):
            database.write(partial(service.set_role, principal=ROOT, user="admin", team=TeamId(team), role=Role.VIEWER))
    with pytest.raises(InvalidInput):
        database.write(lambda tx: service.create_team(tx, ROOT, TeamId("Red Team"), "Red"))
    with pytest.raises(NotAllowed):
        database.write(lambda tx: service.create_team(tx, principal("carl", default="admin"), RED, "Red"))


def test_each_change_is_recorded_with_names_only_as_commitments(database: Database, entries: Callable[[], list[Event]]) -> None:
    database.write(service.first_start)
    database.write(lambda tx: service.invite_user(tx, ROOT, "ada-lovelace", DEFAULT_TEAM, Role.VIEWER))
    database.write(lambda tx: service.set_role(tx, ROOT, "ada-lovelace", DEFAULT_TEAM, Role.ADMIN))
    database.write(lambda tx: service.disable_user(tx, ROOT, "ada-lovelace"))
    found = entries()
    assert [entry.type for entry in found[-4:]] == ["access.user_created", "access.link_made", "access.role_set", "access.user_disabled"]
    assert found[-4].commitment is not None
    assert "lovelace" not in "".join(str(entry) for entry in found)

"""Tokens: shown once, stored as hashes, never stronger than their owner, and refused the moment they are revoked."""

import hashlib
import re
from collections.abc import Callable
from functools import partial

import pytest

from modelyard.access import rules, service, store
from modelyard.access.domain import (
    DEFAULT_TEAM,
    EVERY_TEAM,
    Authenticated,
    NewToken,
    NoSuchAccount,
    NoSuchToken,
    NotAllowed,
    NotAuthenticated,
    Principal,
    Role,
    Scope,
    TeamId,
    TokenId,
    TokenOrder,
    User,
)
from modelyard.core.clock import FixedClock
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import Event
from modelyard.storage.database import Database
from tests.access.conftest import ROOT, of, principal

Person = Callable[..., User]


@pytest.fixture
def ada(database: Database, person: Person) -> User:
    """A contributor of the default team and an approver of red."""
    database.write(service.first_start)
    return person("ada", default="contributor", red="approver")


def made(database: Database, who: Principal, **order: object) -> NewToken:
    """A new token."""
    given = {"name": "laptop", "scopes": (Scope.TRACKING,)} | order
    return database.write(lambda tx: service.create_token(tx, who, TokenOrder(**given)))  # type: ignore[arg-type] # fields checked by the struct


def proven(database: Database, secret: str) -> Authenticated:
    """Whom a token proves."""
    with database.read() as snapshot:
        found = service.authenticated(snapshot, {"authorization": f"Bearer {secret}"})
    assert found is not None
    return found


def test_a_token_is_shown_once_and_stored_as_a_hash(database: Database, ada: User) -> None:
    token = made(database, of(ada))
    assert re.fullmatch(r"yard_[0-9a-f]{12}_[0-9a-f]{48}", token.secret)
    secret = token.secret.rpartition("_")[2]
    with database.read() as snapshot:
        (row,) = snapshot.connection.execute(store.TOKEN.select()).all()
        assert "secret" not in str(service.list_tokens(snapshot, of(ada)))
    assert row.secret_hash == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(row)
    found = proven(database, token.secret)
    assert (found.principal.id, found.principal.scopes, found.principal.roles) == (ada.id, (Scope.TRACKING,), ada.roles)


def test_a_token_stops_when_it_is_revoked_lapses_or_its_owner_is_disabled(database: Database, clock: FixedClock, ada: User) -> None:
    revoked, lapsed, orphan = (made(database, of(ada), expires_in=time) for time in ("1d", "1h", "1d"))
    proven(database, revoked.secret)
    database.write(lambda tx: service.revoke_token(tx, of(ada), revoked.token.id))
    with pytest.raises(NotAuthenticated):
        proven(database, revoked.secret)
    clock.advance(3600)
    with pytest.raises(NotAuthenticated):
        proven(database, lapsed.secret)
    proven(database, orphan.secret)
    database.write(lambda tx: service.disable_user(tx, ROOT, "ada"))
    with pytest.raises(NotAuthenticated):
        proven(database, orphan.secret)
    database.write(lambda tx: service.enable_user(tx, ROOT, "ada"))
    with pytest.raises(NotAuthenticated):
        proven(database, orphan.secret)


@pytest.mark.parametrize(
    "change",
    [lambda s: s[:-1] + ("0" if s[-1] != "0" else "1"), lambda s: s.upper(), lambda s: s + "0", lambda s: "yard_" + "0" * 12 + s[17:]],
)
def test_nothing_near_a_token_is_a_token(database: Database, ada: User, change: Callable[[str], str]) -> None:
    with pytest.raises(NotAuthenticated):
        proven(database, change(made(database, of(ada)).secret))


def test_a_token_may_be_narrower_than_its_owner_and_follows_when_the_owner_loses_a_role(database: Database, ada: User) -> None:
    asked = {DEFAULT_TEAM: Role.ADMIN, TeamId("red"): Role.VIEWER, TeamId("blue"): Role.ADMIN}
    narrow, whole = made(database, of(ada), roles=asked), made(database, of(ada))
    assert proven(database, narrow.secret).principal.roles == {DEFAULT_TEAM: Role.CONTRIBUTOR, "red": Role.VIEWER}
    database.write(lambda tx: service.remove_role(tx, ROOT, "ada", TeamId("red")))
    database.write(lambda tx: service.set_role(tx, ROOT, "ada", DEFAULT_TEAM, Role.VIEWER))
    for token in (narrow, whole):
        assert proven(database, token.secret).principal.roles == {DEFAULT_TEAM: Role.VIEWER}
    database.write(lambda tx: service.set_role(tx, ROOT, "ada", EVERY_TEAM, Role.ADMIN))
    assert proven(database, narrow.secret).principal.roles == {DEFAULT_TEAM: Role.CONTRIBUTOR, "red": Role.VIEWER}


def test_a_token_makes_no_stronger_token(database: Database, ada: User) -> None:
    tracking = proven(database, made(database, of(ada)).secret).principal
    with pytest.raises(NotAllowed):
        made(database, tracking)
    viewer = made(database, of(ada), scopes=(Scope.ALL,), roles={DEFAULT_TEAM: Role.VIEWER})
    child = made(database, proven(database, viewer.secret).principal, scopes=(Scope.ALL,))
    assert proven(database, child.secret).principal.roles == {DEFAULT_TEAM: Role.VIEWER}


def test_tokens_of_service_accounts_are_made_by_those_who_administer_them(database: Database, ada: User) -> None:
    database.write(lambda tx: service.create_service_account(tx, ROOT, "robot", TeamId("red"), Role.CONTRIBUTOR))
    boss = of(database.write(lambda tx: service.set_role(tx, ROOT, "ada", TeamId("red"), Role.ADMIN)))
    found = proven(database, made(database, boss, owner="robot", scopes=(Scope.DEPLOY,)).secret)
    assert (found.principal.kind, found.principal.roles) == ("service", {"red": Role.CONTRIBUTOR})
    with pytest.raises(NoSuchAccount):
        made(database, principal("dora", blue="admin"), owner="robot")
    with pytest.raises(NotAllowed, match="by the person"):
        made(database, ROOT, owner="ada")


@pytest.mark.parametrize(
    "order", [{"expires_in": "0s"}, {"expires_in": "367d"}, {"expires_in": "soon"}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 121}]
)
def test_a_token_has_a_name_and_an_end(database: Database, ada: User, order: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        made(database, of(ada), **order)


def test_a_token_without_scope_is_none(database: Database, ada: User) -> None:
    with pytest.raises(NotAllowed):
        made(database, of(ada), scopes=())


def test_foreign_tokens_are_neither_seen_nor_revoked(database: Database, ada: User, person: Person) -> None:
    eve = of(person("eve", default="contributor"))
    token = made(database, of(ada)).token
    with database.read() as snapshot:
        assert service.list_tokens(snapshot, eve) == []
        with pytest.raises((NoSuchAccount, NotAllowed)):
            service.list_tokens(snapshot, eve, "ada")
        assert [one.id for one in service.list_tokens(snapshot, ROOT, "ada")] == [token.id]
    for unknown in (token.id, TokenId("0" * 12), TokenId("a\x00")):
        with pytest.raises(NoSuchToken):
            database.write(partial(service.revoke_token, principal=eve, token=unknown))


def test_last_use_is_noted_to_the_minute_and_without_waiting(database: Database, clock: FixedClock, ada: User) -> None:
    token = made(database, of(ada))
    for seconds, noted in ((0, True), (rules.LAZY_S - 1, False), (1, True)):
        clock.advance(seconds)
        service.note_use(database, proven(database, token.secret))
        known = database.write(lambda tx: store.find_token(tx, token.token.id))
        assert known is not None
        assert (known.token.last_used_at == clock.wall()) is noted


def test_tokens_are_recorded_without_their_names_or_secrets(database: Database, ada: User, entries: Callable[[], list[Event]]) -> None:
    token = made(database, of(ada), name="the laptop of ada")
    database.write(lambda tx: service.revoke_token(tx, of(ada), token.token.id))
    database.write(lambda tx: service.revoke_token(tx, of(ada), token.token.id))
    found = entries()
    assert [entry.type for entry in found[-2:]] == ["access.token_created", "access.token_revoked"]
    assert token.secret.rpartition("_")[2] not in str(found)
    assert "laptop" not in str(found)

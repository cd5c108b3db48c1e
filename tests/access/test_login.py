"""Logging in: throttled guesses, no word about who has an account, and sessions that end when they should."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import argon2
import pytest

from modelyard.access import passwords, rules, service, store
from modelyard.access.domain import (
    DEFAULT_TEAM,
    NewSession,
    NotAuthenticated,
    Role,
    TokenOrder,
    TooManyTries,
    User,
    WeakPassword,
    WrongPassword,
)
from modelyard.access.domain import Scope as TokenScope
from modelyard.core.clock import FixedClock
from modelyard.ledger.domain import Event
from modelyard.storage.database import Database
from tests.access.conftest import ADDRESS, OTHER, PASSWORD, ROOT, of

Person = Callable[..., User]


@pytest.fixture
def ada(database: Database, person: Person) -> User:
    """A person with a password."""
    database.write(service.first_start)
    return person("ada", default="contributor")


def holds(database: Database, session: NewSession) -> bool:
    """Whether the session's cookie still proves somebody."""
    with database.read() as snapshot:
        return service.authenticated(snapshot, {"cookie": f"{rules.COOKIE}={session.cookie}"}) is not None


def failed(database: Database, name: str, address: str = ADDRESS) -> str:
    """What a login with a wrong password says."""
    with pytest.raises((NotAuthenticated, TooManyTries)) as caught:
        service.login(database, name, "not the password", address)
    return caught.value.code


def test_a_login_proves_the_account_and_only_a_hash_of_its_cookie_is_stored(database: Database, ada: User) -> None:
    session = service.login(database, "ADA", PASSWORD, ADDRESS)
    with database.read() as snapshot:
        found = service.authenticated(snapshot, {"cookie": f"{rules.COOKIE}={session.cookie}"})
        assert found is not None
        assert found.principal == of(ada)
        stored = snapshot.connection.execute(store.SESSION.select()).all()
    assert session.cookie not in str(stored)
    assert len(session.cookie) >= 43


def test_a_wrong_name_says_the_same_as_a_wrong_password(database: Database, ada: User) -> None:
    database.write(lambda tx: service.create_service_account(tx, ROOT, "robot", DEFAULT_TEAM, Role.VIEWER))
    said = set()
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("robot", "wrong"), ("", ""), ("a\x00b", "x"), ("ada", "\ud800")):
        with pytest.raises(NotAuthenticated) as caught:
            service.login(database, name, password, ADDRESS)
        said.add((caught.value.message, caught.value.hint))
    assert len(said) == 1


def test_nobodys_password_is_hashed_as_somebodys_is(database: Database, ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, stored: str, password: str) -> bool:
        verified.append(stored.rsplit("$", 2)[0])
        return verify(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    failed(database, "ada")
    failed(database, "nobody")
    assert verified == [verified[0]] * 2


def test_guesses_at_one_account_wait_longer_and_longer_from_wherever_they_come(database: Database, clock: FixedClock) -> None:
    codes = [failed(database, "ada", f"192.0.2.{n}") for n in range(6)]
    assert codes == ["not_authenticated"] * 5 + ["too_many_tries"]
    clock.advance(1)
    assert failed(database, "ada", "192.0.2.77") == "not_authenticated"
    clock.advance(1)
    assert failed(database, "Ada", "192.0.2.78") == "too_many_tries"


def test_guesses_from_one_address_wait_whatever_names_they_try(database: Database, ada: User) -> None:
    codes = [failed(database, f"user{n}", f"2001:db8::{n}") for n in range(21)]
    assert codes[18:] == ["not_authenticated", "not_authenticated", "too_many_tries"]
    with pytest.raises(TooManyTries):
        service.login(database, "ada", PASSWORD, "2001:db8::ffff")
    service.login(database, "ada", PASSWORD, ADDRESS)


def test_guesses_at_the_same_moment_do_not_share_one_count(database: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda n: failed(database, "ada", f"192.0.2.{n}"), range(16)))
    assert codes.count("not_authenticated") == 5


def test_a_right_login_forgives_the_account_but_not_the_address(database: Database, ada: User) -> None:
    for _ in range(4):
        failed(database, "ada")
    service.login(database, "ada", PASSWORD, ADDRESS)
    assert [failed(database, "ada", "192.0.2.99") for _ in range(5)] == ["not_authenticated"] * 5
    for n in range(15):
        failed(database, f"user{n}")
    assert failed(database, "one-more") == "not_authenticated"
    assert failed(database, "and-another") == "too_many_tries"


def test_a_session_lasts_while_it_is_used_and_not_beyond_a_week(database: Database, clock: FixedClock, ada: User) -> None:
    session = service.login(database, "ada", PASSWORD, ADDRESS)
    for _ in range(14):
        clock.advance(rules.SESSION_IDLE_S - 1)
        if clock.wall() < session.session.expires_at:
            assert holds(database, session)
            database.write(lambda tx: store.put_seen(tx, session.session.id, tx.wall()))
    clock.advance(100)
    assert not holds(database, session)
    idle = service.login(database, "ada", PASSWORD, ADDRESS)
    clock.advance(rules.SESSION_IDLE_S)
    assert not holds(database, idle)


def test_use_is_noted_lazily_and_keeps_the_session(database: Database, clock: FixedClock, ada: User) -> None:
    session = service.login(database, "ada", PASSWORD, ADDRESS)
    for seconds, noted in ((rules.LAZY_S - 1, False), (1, True)):
        clock.advance(seconds)
        with database.read() as snapshot:
            found = service.authenticated(snapshot, {"cookie": f"{rules.COOKIE}={session.cookie}"})
        assert found is not None
        service.note_use(database, found)
        seen = database.write(lambda tx: store.find_session(tx, session.session.id))
        assert seen is not None
        assert (seen.seen_at == clock.wall()) is noted


def test_all_sessions_end_at_once_on_logout_password_change_and_disabling(database: Database, ada: User) -> None:
    one, two, three = (service.login(database, "ada", PASSWORD, ADDRESS) for _ in range(3))
    with database.read() as snapshot:
        found = service.authenticated(snapshot, {"cookie": f"{rules.COOKIE}={one.cookie}"})
    assert found is not None
    database.write(lambda tx: service.logout(tx, found))
    assert [holds(database, session) for session in (one, two, three)] == [False, True, True]
    four = service.change_password(database, of(ada), PASSWORD, OTHER, ADDRESS)
    assert [holds(database, session) for session in (two, three, four)] == [False, False, True]
    database.write(lambda tx: service.disable_user(tx, ROOT, "ada"))
    assert not holds(database, four)
    assert failed(database, "ada") == "not_authenticated"


def test_a_new_password_needs_the_current_one_and_is_no_weak_one(database: Database, ada: User) -> None:
    with pytest.raises(WrongPassword):
        service.change_password(database, of(ada), "not the password", OTHER, ADDRESS)
    with pytest.raises(WeakPassword):
        service.change_password(database, of(ada), PASSWORD, "password1234", ADDRESS)
    for _ in range(4):
        with pytest.raises(WrongPassword):
            service.change_password(database, of(ada), "guess guess guess", OTHER, ADDRESS)
    with pytest.raises(TooManyTries):
        service.change_password(database, of(ada), PASSWORD, OTHER, ADDRESS)


def test_a_reset_ends_sessions_and_revokes_tokens(database: Database, ada: User) -> None:
    session = service.login(database, "ada", PASSWORD, ADDRESS)
    order = TokenOrder(name="laptop", scopes=(TokenScope.READ,))
    token = database.write(lambda tx: service.create_token(tx, of(ada), order))
    link = database.write(lambda tx: service.renew_invitation(tx, ROOT, "ada"))
    service.choose_password(database, link.path.removeprefix("/setup/"), OTHER, ADDRESS)
    assert not holds(database, session)
    with database.read() as snapshot, pytest.raises(NotAuthenticated):
        service.authenticated(snapshot, {"authorization": f"Bearer {token.secret}"})


def test_a_hash_under_old_parameters_is_replaced_by_the_next_right_login(database: Database, ada: User) -> None:
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    database.write(lambda tx: store.put_password(tx, ada.id, weak, tx.wall()))
    service.login(database, "ada", PASSWORD, ADDRESS)
    stored = database.write(lambda tx: store.find_password(tx, ada.id))
    assert stored is not None
    assert not passwords.is_outdated(stored)
    service.login(database, "ada", PASSWORD, ADDRESS)


def test_logins_and_throttling_are_recorded_without_names_or_addresses(
    database: Database, ada: User, entries: Callable[[], list[Event]]
) -> None:
    service.login(database, "ada", PASSWORD, ADDRESS)
    for _ in range(5):
        failed(database, "ada")
    database.clock.advance(1)  # type: ignore[attr-defined] # the fixture's clock
    failed(database, "ada")
    found = entries()
    assert [entry.type for entry in found[-2:]] == ["access.logged_in", "access.login_throttled"]
    assert ADDRESS not in str(found)
    assert all(entry.commitment for entry in found[-2:])

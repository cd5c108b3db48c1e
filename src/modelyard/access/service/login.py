"""Logging in and out, choosing and changing passwords, and proving who makes a request. Owns no roles."""

import hmac
import ipaddress
import secrets
from collections.abc import Mapping

from modelyard.access import store
from modelyard.access.domain import (
    EVERY_TEAM,
    Authenticated,
    LinkIsSpent,
    NewSession,
    NotAuthenticated,
    Principal,
    PrincipalId,
    Session,
    TooManyTries,
    User,
    WrongPassword,
)
from modelyard.access.passwords import check_password, hashed, is_outdated, is_right
from modelyard.access.rules import (
    FORGET_S,
    FREE_TRIES,
    LAZY_S,
    SESSION_S,
    Throttled,
    credentials_of,
    csrf_token,
    failures_after,
    is_account_name,
    is_session_live,
    narrowed,
    parsed_token,
    secret_hash,
    wait_s,
)
from modelyard.core.clock import SECOND, Instant
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction

# -- who makes this request --


def authenticated(snapshot: Snapshot, headers: Mapping[str, str]) -> Authenticated | None:
    """Who makes a request with these headers (names in lower case); None for nobody.

    A token that does not hold is refused, never taken for nobody; a session that ended makes the browser a stranger.
    Raises NotAuthenticated.
    """
    given = credentials_of(headers)
    if given.token:
        return _by_token(snapshot, given.token)
    return _by_cookie(snapshot, given.cookie) if given.cookie else None


def _by_token(snapshot: Snapshot, text: str) -> Authenticated:
    refused = NotAuthenticated("the token does not hold: unknown, expired or revoked", hint="make a new one: yard token create")
    parsed = parsed_token(text)
    if parsed is None:
        raise refused
    known = store.find_token(snapshot, parsed[0])
    # Compared also where there is none, so that an id's existence does not show in the time.
    is_match = hmac.compare_digest(secret_hash(parsed[1]), known.secret_hash if known else "-" * 64)
    if known is None or not is_match or not known.owner.is_active:
        raise refused
    token, owner = known.token, known.owner
    if token.revoked_at is not None or snapshot.wall() >= token.expires_at:
        raise refused
    roles = narrowed(owner.roles, token.roles, EVERY_TEAM)
    principal = Principal(id=owner.id, name=owner.name, kind=owner.kind, roles=roles, scopes=token.scopes)
    return Authenticated(principal=principal, by="token", token=token.id, noted_at=token.last_used_at)


def _by_cookie(snapshot: Snapshot, cookie: str) -> Authenticated | None:
    session = store.find_session(snapshot, secret_hash(cookie))
    if session is None or not is_session_live(session, snapshot.wall()):
        return None
    user = store.find_user(snapshot, session.principal)
    if user is None or not user.is_active:
        return None
    principal = Principal(id=user.id, name=user.name, kind=user.kind, roles=user.roles)
    return Authenticated(principal=principal, by="session", session=session.id, csrf=csrf_token(cookie), noted_at=session.seen_at)


def note_use(database: Database, found: Authenticated) -> None:
    """Notes that the token or session was used, at most every few minutes, and without waiting for it."""
    wall = database.clock.wall()
    if found.by == "no_login" or (found.noted_at is not None and wall - found.noted_at < LAZY_S * SECOND):
        return
    if found.token:
        token = found.token
        database.submit(lambda tx: store.put_used(tx, token, wall))
    else:
        database.submit(lambda tx: store.put_seen(tx, found.session, wall))


# -- logging in --


def login(database: Database, name: str, password: str, address: str) -> NewSession:
    """A new session for the account `name`, asked for from the network address `address`.

    A wrong name takes as long and says the same as a wrong password. The try counts before the password is looked at,
    so that guesses at the same moment do not share one. Raises NotAuthenticated, TooManyTries.
    """
    user, stored = database.write(lambda tx: _begin_try(tx, name, address))
    is_match = is_right(password, stored)
    if user is None or stored is None or not is_match:
        raise NotAuthenticated("name and password do not belong together", hint="ask an admin for a new link if the password is lost")
    renewed = hashed(password) if is_outdated(stored) else None
    return database.write(lambda tx: _finish_try(tx, user, stored, renewed, address))


def _begin_try(tx: Transaction, name: str, address: str) -> tuple[User | None, str | None]:
    wall = tx.wall()
    kinds: dict[str, Throttled] = {_account_key(name): "account", _address_key(address): "address"}
    tries = store.lock_tries(tx, list(kinds), wall)
    until = max(one.until_at for one in tries.values())
    if until > wall:
        seconds = -((wall - until) // SECOND)
        raise TooManyTries(seconds)
    counted = []
    for key, kind in kinds.items():
        failures = failures_after(tries[key].failures, tries[key].last_at, wall) + 1
        counted.append(store.Try(key=key, failures=failures, last_at=wall, until_at=Instant(wall + wait_s(kind, failures) * SECOND)))
        if failures == FREE_TRIES[kind] + 1:
            data = {"by": kind, "failures": failures}
            personal = {"name": name[:200].encode(errors="replace").decode(), "address": address}
            record(tx, NewEntry(type="access.login_throttled", subject="login", actor="nobody", data=data, personal=personal))
    store.put_tries(tx, counted)
    store.delete_old_tries(tx, Instant(wall - FORGET_S * SECOND))
    user = store.find_user_by_name(tx, name) if is_account_name(name) else None
    is_welcome = user is not None and user.is_active and user.kind == "person"
    return (user, store.find_password(tx, user.id)) if user is not None and is_welcome else (None, None)


def _finish_try(tx: Transaction, user: User, stored: str, renewed: str | None, address: str) -> NewSession:
    # Between the try and its end the password may have been changed or the account disabled.
    current = store.find_user(tx, user.id)
    if current is None or not current.is_active or store.find_password(tx, user.id) != stored:
        raise NotAuthenticated("the account was changed just now", hint="log in again")
    if renewed is not None:
        store.put_password(tx, user.id, renewed, tx.wall())
    account, place = _account_key(user.name), _address_key(address)
    tries = store.lock_tries(tx, [account, place], tx.wall())
    # One right login forgives the account's failures, and of the address's only itself: they may be about other accounts.
    left = max(tries[place].failures - 1, 0)
    store.put_tries(
        tx,
        [
            store.Try(key=account, failures=0, last_at=tx.wall(), until_at=Instant(0)),
            store.Try(key=place, failures=left, last_at=tries[place].last_at, until_at=Instant(0)),
        ],
    )
    return _begun(tx, user.id, "access.logged_in", {"address": address})


def _begun(tx: Transaction, account: PrincipalId, word: str, personal: dict[str, str]) -> NewSession:
    cookie = secrets.token_urlsafe(32)
    wall = tx.wall()
    session = Session(
        id=secret_hash(cookie), principal=account, created_at=wall, seen_at=wall, expires_at=Instant(wall + SESSION_S * SECOND)
    )
    store.insert_session(tx, session)
    record(tx, NewEntry(type=word, subject=f"user:{account}", actor=account, personal=personal))
    return NewSession(session=session, cookie=cookie, max_age_s=SESSION_S)


def _account_key(name: str) -> str:
    return f"account:{secret_hash(name.casefold())}"


def _address_key(address: str) -> str:
    """One key an IPv4 address, and one for the /64 network that a single IPv6 customer has all of."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "address:unknown"
    if parsed.version == 6:
        return f"address:{ipaddress.ip_network((parsed, 64), strict=False)}"
    return f"address:{parsed}"


def logout(tx: Transaction, found: Authenticated) -> None:
    """Ends the session at once."""
    if found.session:
        store.delete_session(tx, found.session)
        record(tx, NewEntry(type="access.logged_out", subject=f"user:{found.principal.id}", actor=found.principal.id))


# -- passwords --


def get_link(snapshot: Snapshot, secret: str) -> User:
    """Whose one-time link it is; looking does not use it up. Raises LinkIsSpent."""
    found = store.find_link(snapshot, secret_hash(secret))
    user = None if found is None or snapshot.wall() >= found[1] else store.find_user(snapshot, found[0])
    if user is None or not user.is_active:
        raise LinkIsSpent(
            "this link was used, has lapsed or never was", hint="ask an admin for a new one; at the first start, restart the server"
        )
    return user


def choose_password(database: Database, secret: str, password: str, address: str) -> NewSession:
    """Uses up a one-time link: sets the account's password and logs in.

    Where the account had a password, its sessions end and its tokens are revoked. Raises LinkIsSpent, WeakPassword.
    """
    with database.read() as snapshot:
        user = get_link(snapshot, secret)
    check_password(password, user.name)
    stored = hashed(password)

    def chosen(tx: Transaction) -> NewSession:
        again = get_link(tx, secret)
        if not store.take_link(tx, secret_hash(secret)):
            raise LinkIsSpent("this link was used just now", hint="ask an admin for a new one")
        if again.has_password:
            store.put_revoked(tx, [token.id for token in store.list_tokens(tx, again.id)], tx.wall())
        _set_password(tx, again.id, stored, "link")
        return _begun(tx, again.id, "access.logged_in", {"address": address})

    return database.write(chosen)


def change_password(database: Database, principal: Principal, current: str, new: str, address: str) -> NewSession:
    """Changes the caller's password and ends all its sessions; the answer is the one that takes their place.

    A wrong `current` counts as a failed login. Raises WrongPassword, WeakPassword, TooManyTries.
    """
    check_password(new, principal.name)
    user, stored = database.write(lambda tx: _begin_try(tx, principal.name, address))
    if user is None or user.id != principal.id or stored is None or not is_right(current, stored):
        raise WrongPassword("that is not your current password", hint="ask an admin for a new link if it is lost")
    renewed = hashed(new)

    def changed(tx: Transaction) -> NewSession:
        _set_password(tx, user.id, renewed, "change")
        return _finish_try(tx, user, renewed, None, address)

    return database.write(changed)


def _set_password(tx: Transaction, account: PrincipalId, stored: str, how: str) -> None:
    store.put_password(tx, account, stored, tx.wall())
    store.delete_sessions(tx, account)
    store.delete_links(tx, account)
    record(tx, NewEntry(type="access.password_set", subject=f"user:{account}", actor=account, data={"how": how}))

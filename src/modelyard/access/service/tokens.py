"""Tokens: made, listed, revoked. A token is shown once; afterwards only its hash is known."""

import secrets

from modelyard.access import store
from modelyard.access.domain import (
    EVERY_TEAM,
    LentToken,
    NewToken,
    NoSuchToken,
    NotAllowed,
    Principal,
    Role,
    Scope,
    TeamId,
    Token,
    TokenId,
    TokenOrder,
    User,
)
from modelyard.access.rules import LONGEST_TOKEN_S, is_token_id, narrowed, secret_hash, token_text
from modelyard.access.service.guard import known_user, may_administer, require_administered
from modelyard.core.clock import SECOND, Instant, duration_s
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction

LONGEST_NAME = 120


def create_token(tx: Transaction, principal: Principal, body: TokenOrder) -> NewToken:
    """A token for the caller, or for a service account that the caller administers, shown this once.

    Its scopes and roles never exceed those of the request that makes it. Raises NotAllowed, InvalidInput.
    """
    owner = known_user(tx, body.owner or principal.id)
    if owner.id != principal.id:
        require_administered(principal, owner)
        if owner.kind != "service":
            raise NotAllowed("a token is made by the person whose it is", hint="make a service account for a program")
    seconds = duration_s(body.expires_in)
    if not 0 < seconds <= LONGEST_TOKEN_S or not owner.is_active:
        raise InvalidInput(f"a token of {owner.name} for {body.expires_in}", hint="choose at most 366d, for an account that is active")
    if not 1 <= len(body.name) <= LONGEST_NAME or not body.name.isprintable():
        raise InvalidInput(f"{body.name[:60]!r} is no name for a token", hint="say what it is for, in 1 to 120 printable characters")
    if Scope.ALL not in principal.scopes or not body.scopes:
        raise NotAllowed("this token may not make others", hint="log in, or use a token of the scope all")
    secret = secrets.token_hex(24)
    token = Token(
        id=TokenId(secrets.token_hex(6)),
        owner=owner.id,
        owner_name=owner.name,
        name=body.name,
        scopes=tuple(sorted(set(body.scopes))),
        roles=_roles(principal, owner, body.roles),
        created_at=tx.wall(),
        expires_at=Instant(tx.wall() + round(seconds * SECOND)),
    )
    store.insert_token(tx, token, secret_hash(secret))
    data: dict[str, object] = {
        "owner": owner.id,
        "scopes": [scope.value for scope in token.scopes],
        "roles": None if token.roles is None else {str(team): role.value for team, role in token.roles.items()},
        "expires_at": token.expires_at,
    }
    _record(tx, principal, "access.token_created", token, data)
    return NewToken(token=token, secret=token_text(token.id, secret))


def _roles(principal: Principal, owner: User, asked: dict[TeamId, Role] | None) -> dict[TeamId, Role] | None:
    """The roles to keep with a token: None, the owner's whatever they become, unless something narrower is asked or at hand."""
    if owner.id != principal.id or principal.roles == owner.roles:
        return asked and narrowed(owner.roles, asked, EVERY_TEAM)
    return narrowed(principal.roles, asked, EVERY_TEAM)


def list_tokens(snapshot: Snapshot, principal: Principal, user: str = "") -> list[Token]:
    """The caller's tokens, or those of an account that the caller administers, newest first, ended ones included."""
    if not user or user == principal.id:
        return store.list_tokens(snapshot, principal.id)
    owner = known_user(snapshot, user)
    require_administered(principal, owner)
    return store.list_tokens(snapshot, owner.id)


def list_lent(snapshot: Snapshot, scope: Scope) -> list[LentToken]:
    """Every token that may be used for `scope` now, with the hash that proves it: for a gateway, which checks tokens by itself."""
    return [
        LentToken(
            id=known.token.id,
            principal=known.owner.id,
            secret_hash=known.secret_hash,
            roles=narrowed(known.owner.roles, known.token.roles, EVERY_TEAM),
            expires_at=known.token.expires_at,
        )
        for known in store.list_live_tokens(snapshot, snapshot.wall())
        if {scope, Scope.ALL} & set(known.token.scopes)
    ]


def revoke_token(tx: Transaction, principal: Principal, token: TokenId) -> None:
    """Revokes a token at once: the caller's own, or one of an account that the caller administers. Raises NoSuchToken."""
    found = store.find_token(tx, token) if is_token_id(token) else None
    if found is None or (found.owner.id != principal.id and not may_administer(principal, found.owner)):
        raise NoSuchToken(f"no token {token[:20]!r}", hint="see yard token list")
    if found.token.revoked_at is None:
        store.put_revoked(tx, [token], tx.wall())
        _record(tx, principal, "access.token_revoked", found.token, {"owner": found.owner.id})


def _record(tx: Transaction, principal: Principal, word: str, token: Token, data: dict[str, object]) -> None:
    record(tx, NewEntry(type=word, subject=f"token:{token.id}", actor=principal.id, data=data, personal={"name": token.name}))

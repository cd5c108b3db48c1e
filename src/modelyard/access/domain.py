"""Who acts here and what they may do: principals, roles, teams, tokens, sessions, and the errors of access.

Owns the types; hashing is in `passwords`, decisions about headers in `rules`, which route asks for which role in server.
"""

from enum import StrEnum
from typing import Literal, NewType

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import Conflict, InvalidInput, Kind, ModelyardError, NotFound

TeamId = NewType("TeamId", str)
"""A team's short name, such as `ops-analytics`; it stands in every owned row."""

PrincipalId = NewType("PrincipalId", str)
"""`usr_` for a person, `svc_` for a service account, `system` for the platform itself."""

TokenId = NewType("TokenId", str)
"""The part of a token that is no secret: it names the token in lists and in the ledger."""

DEFAULT_TEAM = TeamId("default")
EVERY_TEAM = TeamId("*")
"""In a principal's roles: the role holds in every team, present and future, and over the installation."""


class Role(StrEnum):
    """What a principal may do in a team. Each of the first four may do what those before it may.

    An auditor reads everything, governance included, and writes nothing.
    """

    VIEWER = "viewer"
    CONTRIBUTOR = "contributor"
    APPROVER = "approver"
    ADMIN = "admin"
    AUDITOR = "auditor"


INCLUDES: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER}),
    Role.CONTRIBUTOR: frozenset({Role.VIEWER, Role.CONTRIBUTOR}),
    Role.APPROVER: frozenset({Role.VIEWER, Role.CONTRIBUTOR, Role.APPROVER}),
    Role.ADMIN: frozenset(Role),
    Role.AUDITOR: frozenset({Role.VIEWER, Role.AUDITOR}),
}


class Scope(StrEnum):
    """What a token may be used for, within its owner's roles. `all` is everything that its owner may do."""

    READ = "read"
    TRACKING = "tracking"
    SERVING = "serving"
    DEPLOY = "deploy"
    ALL = "all"


PrincipalKind = Literal["person", "service", "system"]


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who makes a request: the account, its roles by team, and the scopes of the token it came with."""

    id: PrincipalId
    name: str
    kind: PrincipalKind
    roles: dict[TeamId, Role] = {}
    scopes: tuple[Scope, ...] = (Scope.ALL,)

    def may(self, least: Role, team: TeamId) -> bool:
        """Whether a role held in `team`, or in every team, includes `least`.

        >>> Principal(id=PrincipalId("usr_1"), name="a", kind="person", roles={DEFAULT_TEAM: Role.APPROVER}).may(Role.VIEWER, DEFAULT_TEAM)
        True
        """
        held = (self.roles.get(team), self.roles.get(EVERY_TEAM))
        return any(role is not None and least in INCLUDES[role] for role in held)

    def may_anywhere(self, least: Role) -> bool:
        """Whether a role held in any team includes `least`."""
        return any(least in INCLUDES[role] for role in self.roles.values())

    @property
    def teams(self) -> tuple[TeamId, ...] | None:
        """The teams whose objects the principal sees; None where it sees those of every team."""
        return None if EVERY_TEAM in self.roles else tuple(sorted(self.roles))


SYSTEM = Principal(id=PrincipalId("system"), name="Modelyard", kind="system", roles={EVERY_TEAM: Role.ADMIN})
"""The platform itself: what a policy, a schedule or an alarm starts, nobody else did."""

LOCAL = Principal(id=PrincipalId("local"), name="Local", kind="person", roles={EVERY_TEAM: Role.ADMIN})
"""Everybody, on a server on loopback that was started without login."""

LOCAL_COMMANDS = "local-commands"
"""The account whose token lies in the data folder: whoever may read the folder owns the installation."""


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A team: the owner of models, runs and views. `id` is what URLs and rows hold, `name` what people read."""

    id: TeamId
    name: str
    created_at: Instant


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account: a person, who logs in with a password, or a service account, which has tokens only."""

    id: PrincipalId
    name: str
    kind: Literal["person", "service"]
    is_active: bool
    has_password: bool
    roles: dict[TeamId, Role]
    created_at: Instant


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as lists show it: never its secret, of which only a hash is stored.

    `roles`, where given, narrows the owner's; a token's roles never exceed its owner's at the time of use.
    """

    id: TokenId
    owner: PrincipalId
    owner_name: str
    name: str
    scopes: tuple[Scope, ...]
    roles: dict[TeamId, Role] | None
    created_at: Instant
    expires_at: Instant
    revoked_at: Instant | None = None
    last_used_at: Instant | None = None


class NewToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token just made, with the one showing of its `secret`: `yard_<id>_<secret>`."""

    token: Token
    secret: str


class TokenOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a token is asked for: what for, which scopes, how long (`90d`), narrower roles, and whose if not the caller's."""

    name: str
    scopes: tuple[Scope, ...]
    expires_in: str = "90d"
    roles: dict[TeamId, Role] | None = None
    owner: str = ""


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """The caller, and the teams whose objects it sees."""

    principal: Principal
    teams: tuple[Team, ...]


class LentToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token as a gateway is told of it, to check it without asking back: never its secret, and only until it expires."""

    id: TokenId
    principal: PrincipalId
    secret_hash: str
    roles: dict[TeamId, Role]
    expires_at: Instant


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A login in one browser. `id` is the hash of the cookie's value; `csrf` is bound to that value."""

    id: str
    principal: PrincipalId
    created_at: Instant
    seen_at: Instant
    expires_at: Instant


class NewSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session just begun: the value of its cookie, which is stored nowhere, and how long the browser keeps it."""

    session: Session
    cookie: str
    max_age_s: int


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """A one-time link under which an account's password is chosen. `path` holds the secret and is shown once."""

    user: PrincipalId
    name: str
    path: str
    expires_at: Instant


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """A request's principal and how it proved itself. `csrf` is what forms of a session carry; empty for tokens.

    `noted_at` is when its use was last noted.
    """

    principal: Principal
    by: Literal["token", "session", "no_login"]
    csrf: str = ""
    session: str = ""
    token: TokenId | None = None
    noted_at: Instant | None = None


class NotAuthenticated(ModelyardError):
    """The request proves no account, or one whose proof has ended."""

    kind = Kind.UNAUTHENTICATED


class NotAllowed(ModelyardError):
    """The principal lacks the role or the token's scope for it."""

    kind = Kind.FORBIDDEN


class BadOrigin(ModelyardError):
    """The request names a host that is not this server's, or comes from a page of another site."""

    kind = Kind.FORBIDDEN


class TooManyTries(ModelyardError):
    """Logins failed too often from there or for that name; it says when to try again."""

    kind = Kind.THROTTLED

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many logins failed; the next is taken in {seconds} s", hint=f"try again in {seconds} s")
        self.retry_after_s = seconds


class WeakPassword(InvalidInput):
    """The password is too short or among the common ones."""


class WrongPassword(InvalidInput):
    """The password given beside a change is not the account's."""


class LinkIsSpent(NotFound):
    """The one-time link was used, has expired or never was."""


class NoSuchAccount(NotFound):
    """No account of that id or name, or none in the caller's teams."""


class NoSuchTeam(NotFound):
    """No team of that id."""


class NoSuchToken(NotFound):
    """No token of that id that is the caller's to see."""


class NameIsTaken(Conflict):
    """Another account or team has the name."""


class LastAdmin(Conflict):
    """Without this account nobody could administer the installation."""

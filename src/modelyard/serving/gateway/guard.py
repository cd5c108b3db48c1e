"""Who may ask: hosts and origins, tokens under their lease, and how many requests are taken at once.

Owns decisions about a request's head; reads no body.
"""

import hmac
from collections.abc import Iterable, Mapping

import msgspec

from modelyard.access.domain import BadOrigin, NotAuthenticated, PrincipalId, TeamId, TokenId
from modelyard.access.rules import parsed_token, secret_hash
from modelyard.core.clock import SECOND, Clock, Instant
from modelyard.core.errors import Kind, ModelyardError, Overloaded
from modelyard.serving.domain import GatewayToken, TokensLapsed

ANYONE = PrincipalId("anyone")
MOST_TOKEN_BYTES = 512
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

Headers = Mapping[bytes, bytes]


class TooManyAtOnce(ModelyardError):
    """The caller has its share of the gateway's places; others shall have theirs."""

    kind = Kind.THROTTLED


class Caller(msgspec.Struct, frozen=True):
    """Who makes a request, and in which teams it may; None means in all."""

    principal: PrincipalId
    teams: frozenset[TeamId] | None

    def may_use(self, team: TeamId) -> bool:
        """Whether models of `team` answer the caller."""
        return self.teams is None or team in self.teams or TeamId("*") in self.teams


class Guard:
    """Checks the head of each request. Without login everyone on this machine may ask, and then no other host may."""

    def __init__(self, clock: Clock, hosts: Iterable[str], *, login: bool) -> None:
        self._clock = clock
        self._hosts = frozenset(host.lower().encode() for host in hosts)
        self._origins = frozenset(scheme + host for host in self._hosts for scheme in (b"http://", b"https://"))
        self._login = login
        self._tokens: dict[TokenId, tuple[GatewayToken, Caller]] = {}
        self._until = Instant(0)

    def accept(self, tokens: Iterable[GatewayToken], until: Instant) -> None:
        """Takes over the tokens that hold from now on, until the lease ends."""
        self._tokens = {TokenId(token.id): (token, Caller(token.principal, frozenset(token.teams))) for token in tokens}
        self._until = until

    def check_host(self, headers: Headers) -> None:
        """Refuses a foreign Host, as a rebound name brings it, and pages of other sites. Raises BadOrigin."""
        host = headers.get(b"host", b"").lower()
        if host not in self._hosts:
            raise BadOrigin(
                f"{host.decode('latin-1')[:80]!r} is no host of this gateway",
                hint="ask it under its own name and port, or add the name to gateway.allowed_hosts",
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.lower() not in self._origins:
            raise BadOrigin(f"a page of {origin.decode('latin-1')[:80]!r} may not ask this gateway", hint="ask from a server, with a token")

    def caller(self, headers: Headers) -> Caller:
        """Who asks. Raises NotAuthenticated, and TokensLapsed once the gateway has been cut off for too long."""
        if not self._login:
            return Caller(ANYONE, None)
        scheme, _, secret = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not 0 < len(secret) <= MOST_TOKEN_BYTES:
            raise NotAuthenticated("no token came with the request", hint="send Authorization: Bearer TOKEN; yard token create makes one")
        now = self._clock.wall()
        if now > self._until:
            lapsed = f"; its tokens lapsed {(now - self._until) // SECOND} s ago" if self._until else " yet"
            raise TokensLapsed(f"this gateway has not heard from the control plane{lapsed}", hint="bring back the server")
        parsed = parsed_token(secret.decode("latin-1").strip())
        found = self._tokens.get(parsed[0]) if parsed else None
        # Compared also where the id is unknown, so that its existence does not show in the time.
        is_match = hmac.compare_digest(secret_hash(parsed[1]) if parsed else "", found[0].digest if found else "-" * 64)
        if found is None or not is_match or now >= found[0].expires_at:
            raise NotAuthenticated("the token is not known here, was revoked or has expired", hint="make a new one: yard token create")
        return found[1]


class Gate:
    """The places of requests under way. One caller gets at most three quarters of them."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self._share = max(1, places * 3 // 4)
        self._by: dict[PrincipalId, int] = {}

    def enter(self, caller: PrincipalId) -> None:
        """Takes a place. Raises Overloaded where there is none, TooManyAtOnce where the caller has enough."""
        mine = self._by.get(caller, 0)
        if self.taken >= self.places:
            raise Overloaded(f"all {self.places} places of this gateway are taken", hint="try again in a moment, or ask another gateway")
        if mine >= self._share and caller != ANYONE:
            raise TooManyAtOnce(f"{mine} of your requests are under way here", hint="wait for answers before asking more")
        self.taken += 1
        self._by[caller] = mine + 1

    def leave(self, caller: PrincipalId) -> None:
        """Gives the place back."""
        self.taken -= 1
        mine = self._by[caller] - 1
        if mine:
            self._by[caller] = mine
        else:
            del self._by[caller]


def hosts_of(host: str, port: int, allowed: Iterable[str]) -> tuple[str, ...]:
    """The Host headers that a gateway bound to `host` answers to, besides those that are allowed by name and port.

    >>> hosts_of("10.0.0.5", 7701, ["ml.example:443"])
    ('10.0.0.5:7701', '127.0.0.1:7701', 'localhost:7701', '[::1]:7701', 'ml.example:443')
    """
    return (f"{host}:{port}", *(f"{name}:{port}" for name in LOOPBACK), *allowed)

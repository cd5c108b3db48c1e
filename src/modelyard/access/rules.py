"""Decisions about hosts, origins, scopes, roles, waits and secrets, as pure functions of plain values.

Owns the figures: how long sessions, links and waits last. Owns no state; passwords are in `passwords`.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from modelyard.access.domain import INCLUDES, BadOrigin, NotAuthenticated, Role, Scope, Session, TeamId, TokenId
from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import NotFound

SESSION_IDLE_S = 12 * 3600
SESSION_S = 7 * 86400
LINK_S = 24 * 3600
LAZY_S = 300
"""Last-used and last-seen times are kept to this precision, so that reading stays reading."""

LONGEST_TOKEN_S = 366 * 86400
COOKIE = "yard_session"
CSRF_HEADER = "x-yard-csrf"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_ACCOUNT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._@+-]{0,119}")
_TEAM_ID = re.compile(r"[a-z][a-z0-9_-]{0,59}")
_TOKEN = re.compile(r"yard_([0-9a-f]{12})_([0-9a-f]{48})")
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_EVERYWHERE = ("", "0.0.0.0", "::", "[::]")  # noqa: S104 - compared only


# -- where a request comes from --


def allowed_hosts(host: str, port: int, more: Sequence[str] = ()) -> frozenset[str]:
    """The values of `Host` that a server at `host`:`port` answers to: loopback's names, its own name, and `more`.

    `more` are written as a browser sends them, with the port where it is not the scheme's own.

    >>> sorted(allowed_hosts("0.0.0.0", 7700, ["yard.example.com"]))
    ['127.0.0.1:7700', '[::1]:7700', 'localhost:7700', 'yard.example.com']
    """
    own = [] if host in _EVERYWHERE else [f"[{host}]" if ":" in host and not host.startswith("[") else host]
    return frozenset(f"{name.lower()}:{port}" for name in (*_LOOPBACK, *own)) | {name.lower() for name in more}


def is_loopback(host: str) -> bool:
    """Whether a server bound to `host` can be reached from this machine only.

    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0")
    (True, False)
    """
    return host == "localhost" or host in ("::1", "[::1]") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


def check_host(headers: Mapping[str, str], allowed: frozenset[str]) -> None:
    """Raises BadOrigin unless the request names one of the `allowed` hosts: a page that rebinds its name does not."""
    host = headers.get("host", "").lower()
    if host not in allowed:
        raise BadOrigin(
            f"this server is not {host[:100]!r}",
            hint=f"add {host[:100]!r} to server.allowed_hosts in modelyard.toml if it is, or use one of {', '.join(sorted(allowed))}",
        )


def checked_origin(method: str, headers: Mapping[str, str], allowed: frozenset[str]) -> None:
    """Raises BadOrigin for a request to a foreign host, or one that changes something and comes from another site's page.

    Header names are lower case. Programs send neither `Origin` nor `Sec-Fetch-Site`; browsers send one on every write.
    """
    check_host(headers, allowed)
    if method in SAFE_METHODS:
        return
    origin = headers.get("origin")
    if origin is not None:
        scheme, _, host = origin.partition("://")
        if scheme not in ("http", "https") or host.lower() not in allowed:
            raise BadOrigin(f"a page of {origin[:100]!r} may not change anything here", hint="open this server's own pages")
    elif headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise BadOrigin("a page of another site may not change anything here", hint="open this server's own pages")


def check_path(path: str) -> None:
    """Raises NotFound for a path with empty or dotted parts: routes are found without them, and what is decided by paths is not."""
    if _UNPLAIN.search(path):
        raise NotFound(f"there is no {path[:80]!r} here", hint="write the path without empty or dotted parts")


# -- names --


def is_account_name(text: str) -> bool:
    """Whether `text` may name an account: a letter, then letters, digits or `. _ @ + -`, at most 120. Ids fit too."""
    return bool(_ACCOUNT_NAME.fullmatch(text))


def is_team_id(text: str) -> bool:
    """Whether `text` may be a team's id: a lower-case letter, then lower-case letters, digits, `_` or `-`, at most 60."""
    return bool(_TEAM_ID.fullmatch(text))


def is_token_id(text: str) -> bool:
    """Whether `text` has the shape of a token's id."""
    return bool(re.fullmatch(r"[0-9a-f]{12}", text))


# -- secrets --


def secret_hash(secret: str) -> str:
    """What is stored of a secret that has enough random bits to need no salt: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def token_text(token: TokenId, secret: str) -> str:
    """A token as its owner keeps it.

    >>> token_text(TokenId("0" * 12), "a" * 48)[:20]
    'yard_000000000000_aa'
    """
    return f"yard_{token}_{secret}"


def parsed_token(text: str) -> tuple[TokenId, str] | None:
    """The id and the secret of a token's text, None where it has another shape."""
    match = _TOKEN.fullmatch(text)
    return (TokenId(match[1]), match[2]) if match else None


def csrf_token(cookie: str) -> str:
    """The CSRF token of a session: an HMAC under the cookie's value, so that it dies with the session and is stored nowhere."""
    return hmac.new(cookie.encode(), b"modelyard csrf", hashlib.sha256).hexdigest()


def is_csrf_token(given: str, expected: str) -> bool:
    """Whether `given` is the session's CSRF token; never where the session has none."""
    return bool(expected) and hmac.compare_digest(given.encode(), expected.encode())


class Credentials(msgspec.Struct, frozen=True):
    """What a request proves itself with: at most one of a token's text and a session cookie's value."""

    token: str = ""
    cookie: str = ""


def credentials_of(headers: Mapping[str, str]) -> Credentials:
    """What the request brings: a token as bearer or as the password of Basic, as MLflow's clients send it, else the cookie.

    Raises NotAuthenticated for an Authorization header that holds neither, so that a wrong one never falls back to a cookie.
    """
    given = headers.get("authorization")
    if given is None:
        return Credentials(cookie=cookie_value(headers.get("cookie", ""), COOKIE))
    scheme, _, value = given.strip().partition(" ")
    if scheme.lower() == "bearer":
        return Credentials(token=value.strip())
    if scheme.lower() == "basic":
        try:
            return Credentials(token=base64.b64decode(value.strip(), validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            pass
    raise NotAuthenticated("the Authorization header holds no token", hint="send 'Authorization: Bearer yard_...'; see yard token create")


def cookie_value(header: str, name: str) -> str:
    """The value of the cookie `name`, empty where there is none or more than one: two cannot both be ours."""
    pairs = (part.strip().partition("=") for part in header.split(";"))
    values = [value for key, _, value in pairs if key == name]
    return values[0] if len(values) == 1 else ""


# -- what a token reaches --

_MLFLOW = r"/(?:ajax-)?api/[23]\.0/mlflow"
_LOG_PATHS = re.compile(rf"{_MLFLOW}(?:-artifacts)?(?:/|$)")
_SEARCHES = re.compile(
    rf"{_MLFLOW}/(?:experiments/search-datasets|registered-models/get-latest-versions"
    r"|(?:experiments|runs|registered-models|model-versions|logged-models)/search)|/api/v1/runs/search"
)
"""The reads that carry a body. A last word of the caller's choosing, an alias or a file's name, is none of them."""
_TRACKING_WORDS = frozenset({"experiments", "runs", "artifacts"})
_SERVING_WORDS = frozenset({"predict", "v2", "invocations", "features", "labels"})
_ACCESS_WORDS = frozenset({"users", "tokens", "teams", "service-accounts", "me"})
_DEPLOYING = re.compile(
    rf"{_MLFLOW}/(?:registered-models/(?:alias|delete|rename)$|model-versions/(?:transition-stage|delete)$|webhooks(?:/|$))"
    r"|/api/v1/models/[^/]+/aliases(?:/|$)"
)
"""What moves or ends models and versions that others use, or tells others of them: a training job's token does none of it."""

_UNPLAIN = re.compile(r"/\.{0,2}/|/\.{1,2}$")


def scopes_for(method: str, path: str) -> frozenset[Scope]:
    """The scopes that reach `method` `path`; one of them is enough. `all` reaches everything.

    Reading needs `read` or any other. MLflow's wire and the tracking operations need `tracking`, moving an alias, renaming
    and removing models and versions, and webhooks `deploy`, the gateway's paths `serving`, accounts and tokens `all`, any other
    change `deploy`.

    >>> sorted(scopes_for("POST", "/api/2.0/mlflow/runs/log-metric"))
    [<Scope.ALL: 'all'>, <Scope.TRACKING: 'tracking'>]
    """
    words = path.strip("/").split("/")
    if words[0] in _SERVING_WORDS:
        return frozenset({Scope.ALL, Scope.SERVING})
    if words[:2] == ["api", "v1"] and len(words) > 2 and words[2] in _ACCESS_WORDS and method not in SAFE_METHODS:
        return frozenset({Scope.ALL})
    if method in SAFE_METHODS or (method == "POST" and _SEARCHES.fullmatch(path)):
        return frozenset(Scope)
    if _DEPLOYING.match(path):
        return frozenset({Scope.ALL, Scope.DEPLOY})
    if _LOG_PATHS.match(path) or (len(words) > 2 and words[2] in _TRACKING_WORDS):
        return frozenset({Scope.ALL, Scope.TRACKING})
    return frozenset({Scope.ALL, Scope.DEPLOY})


_BY_RIGHTS = {rights: role for role, rights in INCLUDES.items()}


def common_role(one: Role, other: Role) -> Role:
    """The role that may do what both may.

    >>> common_role(Role.AUDITOR, Role.APPROVER), common_role(Role.ADMIN, Role.AUDITOR)
    (<Role.VIEWER: 'viewer'>, <Role.AUDITOR: 'auditor'>)
    """
    return _BY_RIGHTS[INCLUDES[one] & INCLUDES[other]]


def narrowed(owner: Mapping[TeamId, Role], asked: Mapping[TeamId, Role] | None, every: TeamId) -> dict[TeamId, Role]:
    """The roles `asked` as far as the owner has them; the owner's where nothing narrower is asked. `every` stands for all teams."""
    if asked is None:
        return dict(owner)
    result: dict[TeamId, Role] = {}
    for team, role in asked.items():
        held = [owner[key] for key in (team, every) if key in owner]
        if held:
            result[team] = max((common_role(role, one) for one in held), key=lambda found: len(INCLUDES[found]))
    if every in asked:
        for team, role in owner.items():
            result.setdefault(team, common_role(role, asked[every]))
    return result


# -- how long --


def is_session_live(session: Session, wall: Instant) -> bool:
    """Whether a session still holds: used within its idle time, and not older than its whole time."""
    return wall < session.expires_at and wall - session.seen_at < SESSION_IDLE_S * SECOND


Throttled = Literal["account", "address"]
FREE_TRIES: dict[Throttled, int] = {"account": 5, "address": 20}
_LONGEST_WAIT_S: dict[Throttled, int] = {"account": 300, "address": 900}
FORGET_S = 24 * 3600


def wait_s(kind: Throttled, failures: int) -> int:
    """Seconds to wait after so many failed logins: none at first, then doubled with each, up to a bound.

    The bound for one account is short, so that nobody is locked out for long by somebody else's guesses.

    >>> [wait_s("account", n) for n in (4, 5, 6, 7, 60)]
    [0, 1, 2, 4, 300]
    """
    beyond = failures - FREE_TRIES[kind]
    return 0 if beyond < 0 else min(2 ** min(beyond, 20), _LONGEST_WAIT_S[kind])


def failures_after(failures: int, last_at: Instant, wall: Instant) -> int:
    """The failures that still count: all of them until a day has passed without one."""
    return 0 if wall - last_at > FORGET_S * SECOND else failures

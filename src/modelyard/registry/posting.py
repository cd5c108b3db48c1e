"""One request to an address that somebody else chose, which must not lead to what lies behind the server.

A name is looked up once, every address behind it must be public, and the connection goes to one of those addresses.
Redirects and proxies are not followed. Owns no retry.
"""

import base64
import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping

import msgspec

from modelyard.core.errors import InvalidInput, Kind, ModelyardError

SCHEMES = {"http": 80, "https": 443}
TIMEOUT_S = 10.0
MOST_ANSWERED = 16_384
MOST_TRIED = 4
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_OWN_PLATFORM = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Addresses that count as anybody's and are answered by the platform that a machine runs on: on Azure those of its agent."""

_SAFE = "/%:@!$&'()*+,;=~-._?"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class PostRefused(InvalidInput):
    """The address is none that a server may be sent to."""


class PostFailed(ModelyardError):
    """Nobody answered there, or not as HTTP."""

    kind = Kind.UNREACHABLE


class Answered(msgspec.Struct, frozen=True):
    """What was answered: the status, the first bytes as text, and when the other side asks for another try."""

    status: int
    body: str
    retry_after_s: int = 0


def is_public(address: Address) -> bool:
    """Whether an address is anybody's on the Internet, those counted in that an IPv6 address carries inside.

    >>> is_public(ipaddress.ip_address("::ffff:127.0.0.1")), is_public(ipaddress.ip_address("93.184.216.34"))
    (False, True)
    """
    if isinstance(address, ipaddress.IPv6Address):
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inside.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
        if any(one is not None and not is_public(one) for one in inside):
            return False
        if address.ipv4_mapped is not None:
            return True
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved and address not in _OWN_PLATFORM


def checked_url(url: str, *, allows_private: bool) -> str:
    """`url` where it may be kept to be posted to later, in the words of MLflow's server. Raises InvalidInput.

    A name is not looked up here: what counts is where it leads when something is sent.
    """
    if not url.strip():
        raise InvalidInput(f"Webhook URL cannot be empty or just whitespace: {url!r}")
    try:
        parsed = urllib.parse.urlparse(url)
        host, _ = parsed.hostname, parsed.port
    except ValueError as error:
        raise InvalidInput(f"Invalid webhook URL {url[:500]!r}: {error!r}") from error
    if parsed.scheme not in SCHEMES:
        raise InvalidInput(f"Invalid webhook URL scheme: {parsed.scheme[:60]!r}. Allowed schemes are: {', '.join(SCHEMES)}.")
    if not host:
        raise InvalidInput(f"Webhook URL must include a hostname: {url[:500]!r}")
    if not allows_private and (host == "localhost" or host.endswith(".localhost") or not _may_be_public(host)):
        raise InvalidInput(f"Webhook URL must not resolve to a non-public IP address. {host!r} is none.", hint="see webhooks.private")
    return url


def _may_be_public(host: str) -> bool:
    try:
        return is_public(ipaddress.ip_address(host))
    except ValueError:
        return True


def post(url: str, body: bytes, headers: Mapping[str, str], *, allows_private: bool) -> Answered:
    """What `url` answers to `body`, within ten seconds in all once its name was looked up. Raises PostRefused and PostFailed."""
    checked_url(url, allows_private=allows_private)
    parsed = urllib.parse.urlsplit(url)
    host, port = str(parsed.hostname), parsed.port or SCHEMES[parsed.scheme]
    addresses = _looked_up(host, port)
    if not allows_private and not all(is_public(one) for one in addresses):
        raise PostRefused(f"{host} leads to an address that is not public", hint="the setting webhooks.private allows such addresses")
    try:
        return _posted(parsed, (addresses[:MOST_TRIED], port), body, headers)
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise PostFailed(f"{host} did not answer: {type(error).__name__}: {error}", hint="look whether it is up") from error


def _looked_up(host: str, port: int) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
    except (OSError, UnicodeError, ValueError) as error:
        raise PostFailed(f"the name {host} was not found: {error}", hint="look whether it is up") from error


def _posted(parsed: urllib.parse.SplitResult, at: tuple[list[Address], int], body: bytes, headers: Mapping[str, str]) -> Answered:
    until = time.monotonic() + TIMEOUT_S
    with _connected(*at, until) as raw, _broken_off_at(raw, until):
        stream = ssl.create_default_context().wrap_socket(raw, server_hostname=parsed.hostname) if parsed.scheme == "https" else raw
        with contextlib.closing(http.client.HTTPConnection(str(parsed.hostname), parsed.port)) as connection:
            connection.sock = stream
            # It must not look the name up again and connect to what it finds then.
            connection.auto_open = 0
            connection.request("POST", _target(parsed), body, {**_login(parsed), **headers, "Host": parsed.netloc.rpartition("@")[2]})
            answer = connection.getresponse()
            text = answer.read(MOST_ANSWERED).decode("utf-8", "replace")
            return Answered(answer.status, text, _seconds(answer.getheader("Retry-After")))


def _connected(addresses: list[Address], port: int, until: float) -> socket.socket:
    """A connection to the first of the addresses that takes one, each given its share of the time that is left."""
    failed = OSError("it has no address")
    for count, address in enumerate(addresses):
        share = (until - time.monotonic()) / (len(addresses) - count)
        try:
            return socket.create_connection((str(address), port), timeout=max(share, 0.1))
        except OSError as error:
            failed = error
    raise failed


@contextlib.contextmanager
def _broken_off_at(raw: socket.socket, until: float) -> Iterator[None]:
    """Breaks a connection off then: an answer that comes byte by byte would hold whoever waits for as long as it likes."""
    left = max(until - time.monotonic(), 0.1)
    raw.settimeout(left)
    # TLS takes the socket's descriptor away from it: a twin reaches the same connection.
    with raw.dup() as twin:
        watch = threading.Timer(left, _broken_off, [twin])
        watch.daemon = True
        watch.start()
        try:
            yield
        finally:
            watch.cancel()


def _broken_off(twin: socket.socket) -> None:
    with contextlib.suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


def _target(parsed: urllib.parse.SplitResult) -> str:
    query = f"?{parsed.query}" if parsed.query else ""
    return urllib.parse.quote(f"{parsed.path or '/'}{query}", safe=_SAFE)


def _login(parsed: urllib.parse.SplitResult) -> dict[str, str]:
    if parsed.username is None:
        return {}
    words = f"{urllib.parse.unquote(parsed.username)}:{urllib.parse.unquote(parsed.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(words.encode()).decode()}"}


def _seconds(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else 0

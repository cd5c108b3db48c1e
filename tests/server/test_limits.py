"""What a request may cost before it is known who sends it, and what one caller may cost the others."""

import contextlib
import itertools
import socket
from collections.abc import Iterable, Iterator

import httpx
import pytest

from modelyard.access.domain import Role
from tests.server.conftest import Running


def in_parts(content: bytes) -> Iterator[bytes]:
    """The same body without a length that is told beforehand."""
    yield from (content[start : start + 65_536] for start in range(0, len(content), 65_536))


@pytest.mark.parametrize(("path", "size"), [("/preferences/theme", 20_000), ("/login", 20_000), ("/logout", 200_000)])
@pytest.mark.parametrize("is_told", [True, False], ids=("with a length", "in parts"))
def test_a_form_is_small(running: Running, path: str, size: int, *, is_told: bool) -> None:
    content = b"a=b&" * (size // 4)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    with running.client(Role.VIEWER if path == "/logout" else None) as client:
        answer = client.post(path, content=content if is_told else in_parts(content), headers=headers)
    assert answer.status_code == 413


def sent_raw(running: Running, head: str, more: Iterable[bytes]) -> tuple[int, bytes]:
    """How many of these bytes the server took before it hung up, and what it answered."""
    url = httpx.URL(running.url)
    taken = 0
    with socket.create_connection((url.host, url.port or 0), timeout=20) as stream, contextlib.suppress(ConnectionError):
        stream.sendall(f"{head}\r\nHost: {url.netloc.decode()}\r\n".encode())
        for content in more:
            stream.sendall(content)
            taken += len(content)
        return taken, stream.recv(100)
    return taken, b""


@pytest.mark.parametrize(
    ("head", "begun"),
    [
        ("GET /healthz HTTP/1.1", b"X-Large: "),
        ("GET /healthz HTTP/1.1", b""),
        ("POST /login HTTP/1.1", b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: "),
        ("POST /login HTTP/1.1", b"Transfer-Encoding: chunked\r\n\r\n1;extension="),
    ],
    ids=("one header", "many headers", "a trailer", "a chunk's extension"),
)
def test_no_endless_head_is_taken(running: Running, head: str, begun: bytes) -> None:
    line = b"X-Many: " + b"x" * 1000 + b"\r\n" if not begun else b"x" * 1010
    taken, _ = sent_raw(running, head, itertools.chain([begun], itertools.repeat(line, 40_000)))
    assert taken < 10_000_000


def test_a_head_of_too_many_bytes_is_refused_and_one_of_many_is_not(running: Running) -> None:
    for size, said in ((70_000, b"HTTP/1.1 431"), (50_000, b"HTTP/1.1 200")):
        _, answer = sent_raw(running, "GET /healthz HTTP/1.1", [b"X-Large: " + b"x" * size + b"\r\n\r\n"])
        assert answer.startswith(said)

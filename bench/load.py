"""An HTTP load for one server: keep-alive connections that acknowledge each packet at once, closed loops over them, their latencies.

Owns the client's side of what is timed. Knows no server.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec

WARM_UP_S = 0.5
WARM_UPS = 3
Json = dict[str, Any]
MakeRequest = Callable[[int], bytes]


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Fails the request in flight."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Acknowledges at once, and answers when the whole response is here."""
        self._acknowledge()
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._received[:end]).lower()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        size = end + 4 + int(length or 0)
        if len(self._received) >= size:
            body = bytes(self._received[end + 4 : size])
            del self._received[:size]
            self._answer.set_result((int(head[9:12]), body))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._acknowledge()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hangs up."""
        if self._transport:
            self._transport.close()

    def _acknowledge(self) -> None:
        assert self._transport is not None
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class Client:
    """Requests for one server, below a path."""

    def __init__(self, url: str, base: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self._base = str(parts.hostname), int(parts.port or 80), base

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        """A request as bytes."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {self._base}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    async def connect(self) -> Connection:
        """A new connection."""
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        return connection

    async def call(self, method: str, path: str, body: Any = None, *, over: Connection | None = None) -> Any:
        """One call and its decoded answer, over a connection of its own unless given one. Raises RuntimeError for an error."""
        connection = over or await self.connect()
        status, content = await connection.send(self.request(method, path, body))
        if over is None:
            connection.close()
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {content[:300]!r}")
        return msgspec.json.decode(content) if content else {}


async def loaded(client: Client, connections: int, make: MakeRequest, seconds: float) -> Json:
    """What a closed loop over so many connections reached: requests a second, latencies, and how often it was refused, by status."""
    latencies: list[float] = []
    refused: dict[str, int] = {}
    counter = iter(range(10**9))
    begun = time.perf_counter() + WARM_UP_S
    until = begun + seconds

    async def worker() -> None:
        connection = await client.connect()
        while time.perf_counter() < until:
            request = make(next(counter))
            sent = time.perf_counter()
            status, _ = await connection.send(request)
            if status >= 400:
                refused[str(status)] = refused.get(str(status), 0) + 1
            elif sent >= begun:
                latencies.append((time.perf_counter() - sent) * 1000)
        connection.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    took = time.perf_counter() - begun
    return {"per_s": round(len(latencies) / took, 1), "refused": refused, **quantiles(latencies)}


async def repeated(client: Client, request: bytes, times: int) -> Json:
    """Latencies of one request, again and again on one connection."""
    connection = await client.connect()
    latencies = []
    for n in range(WARM_UPS + times):
        sent = time.perf_counter()
        status, content = await connection.send(request)
        if status != 200:
            raise RuntimeError(f"{request[:200]!r}: {status} {content[:300]!r}")
        if n >= WARM_UPS:
            latencies.append((time.perf_counter() - sent) * 1000)
    connection.close()
    return quantiles(latencies)


def quantiles(milliseconds: list[float]) -> Json:
    """Median and 99th percentile."""
    found = sorted(milliseconds)
    return {"p50_ms": round(found[len(found) // 2], 2), "p99_ms": round(found[int(len(found) * 0.99)], 2)} if found else {}


async def filled(client: Client, connections: int, count: int, make: Callable[[Connection, int], Any]) -> float:
    """Seconds that `make`, called for each place of `count` over so many connections, took in all."""
    places = iter(range(count))

    async def worker() -> None:
        connection = await client.connect()
        for n in places:
            await make(connection, n)
        connection.close()

    begun = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(connections)))
    return round(time.perf_counter() - begun, 1)

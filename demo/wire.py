"""Kept-alive connections to the installation's processes. Owns sending and counting; what is said is others' business."""

import http.client
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

TIMEOUT_S = 60.0
IDLE_S = 2.0
"""A connection that was idle for longer is opened anew: the other side may be about to close it."""


class Refused(Exception):
    """A process answered something else than 200."""


class Wire:
    """One connection: `send`, then `receive`. Two of them have two requests under way at once, without a thread."""

    def __init__(self, url: str, token: str) -> None:
        where = urlsplit(url)
        self._line = http.client.HTTPConnection(str(where.hostname), where.port, timeout=TIMEOUT_S)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._used = time.monotonic()
        self.requests = 0
        self.failed = 0

    def send(self, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Sends a POST, or a GET where `body` is empty."""
        self.requests += 1
        now = time.monotonic()
        if now - self._used > IDLE_S:
            self._line.close()
        self._used = now
        self._line.request("POST" if body else "GET", path, body or None, {**self._headers, **(headers or {})})

    def receive(self) -> bytes:
        """The answer to what was sent last. Raises Refused, having counted it."""
        answer = self._line.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            self.failed += 1
            raise Refused(f"{answer.status}: {content[:600].decode(errors='replace')}")
        return content

    def ask(self, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """The answer to a request. Raises Refused."""
        self.send(path, body, headers)
        return self.receive()

    def close(self) -> None:
        """Closes the connection."""
        self._line.close()

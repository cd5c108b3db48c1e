"""Runs of our own client against a control plane that really listens, over a line that a test can cut."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import modelyard
from modelyard.access.domain import Role
from modelyard.sdk.tracking.leftovers import SpoolReader, list_spools
from modelyard.sdk.tracking.run import Run
from modelyard.sdk.tracking.spool import SPOOLS, Spooled
from tests.server.conftest import Running, running

__all__ = ["running"]


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A project's folder whose runs go to a server, and that server's answers."""

    folder: Path
    server: Running
    url: str

    def start(self, **given: Any) -> Run:
        """A run that says nothing and measures nothing, unless told to."""
        told = {"folder": self.folder, "url": self.url, "quiet": True, "record": False, "system_metrics": False, **given}
        return modelyard.start(**told)

    def run(self, run_id: str) -> Any:
        """What the server has of a run."""
        with self.server.client(Role.ADMIN) as client:
            return client.get(f"/api/v1/runs/{run_id}").raise_for_status().json()

    def has(self, run_id: str, key: str) -> bool:
        """Whether the server has anything of a metric."""
        with self.server.client(Role.ADMIN) as client:
            answer = client.get(f"/api/v1/runs/{run_id}")
        return answer.status_code == 200 and key in [one["key"] for one in answer.json()["metrics"]]

    def values(self, run_id: str, key: str) -> list[float | None]:
        """A metric's values, by instant."""
        found: list[float | None] = []
        page = ""
        with self.server.client(Role.ADMIN) as client:
            while True:
                query = {"key": key} | ({"page": page} if page else {})
                answer = client.get(f"/api/v1/runs/{run_id}/history", params=query).raise_for_status().json()
                found += answer["values"]
                page = answer["next"]
                if not page:
                    return found

    @property
    def spools(self) -> list[Path]:
        """The spools that are left."""
        return list_spools(self.folder / ".yard" / SPOOLS)


@pytest.fixture
def tracked(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tracked:
    """A folder whose runs go to the server, as a contributor."""
    monkeypatch.setenv("MODELYARD_TOKEN", running.tokens[Role.CONTRIBUTOR])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MODELYARD_URL", raising=False)
    return Tracked(folder=tmp_path, server=running, url=running.url)


def batches(spool: Path) -> list[Spooled]:
    """What waits in a spool."""
    reader, found = SpoolReader(spool), []
    while (batch := reader.next()) is not None:
        found.append(batch)
        reader._current = None
    return found


class Line:
    """A TCP line to a server that can be cut, and on which answers can be swallowed after the server has done its work."""

    def __init__(self, target: str) -> None:
        host, _, port = target.removeprefix("http://").rpartition(":")
        self._target = (host, int(port))
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []
        self.swallowed = threading.Event()
        self.swallows = False
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it answers, when it does."""
        return f"http://127.0.0.1:{self._port}"

    def join(self) -> None:
        """Lets connections through."""
        self._listener = socket.create_server(("127.0.0.1", self._port), reuse_port=True)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection and takes no new one."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open = []

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._open += [near, far]
                threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(65_536):
                if is_answer and self.swallows:
                    self.swallowed.set()
                    break
                # The server answers under its own name alone.
                named = content if is_answer else content.replace(self.url[7:].encode(), ":".join(map(str, self._target)).encode())
                sink.sendall(named)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(running: Running) -> Iterator[Line]:
    """A line to the server that is not joined yet."""
    made = Line(running.url)
    yield made
    made.cut()

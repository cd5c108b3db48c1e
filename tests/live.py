"""An installation that serves: a data folder with a registered model, and server and gateway as processes that can be killed.

Owns its making, start and end. Knows no expectation.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from modelyard.access.domain import EVERY_TEAM, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token, first_start
from modelyard.core.clock import SystemClock
from modelyard.ledger.domain import Event
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry.domain import ModelName
from modelyard.sdk.client import Client
from modelyard.server.local import put_local_tokens
from modelyard.serving.domain import Endpoint, Proposal
from modelyard.serving.service import propose_revision
from modelyard.storage.database import Database
from modelyard.storage.migrations import upgrade
from tests.servers import free_port
from tests.serving.control import registered
from tests.serving.world import LATE, ROW, World, until

YARD = (sys.executable, "-m", "modelyard.cli.main")


class Live:
    """A data folder in `folder`, its model `late` in three versions, and the processes on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data = folder, folder / ".yard"
        self.data.mkdir(mode=0o700)
        self.world = World(self.data)
        self.database = Database.open(f"sqlite:///{self.data / 'modelyard.db'}", SystemClock())
        upgrade(self.database)
        self.database.write(first_start)
        (self.data / "keys").mkdir(mode=0o700)
        put_local_tokens(self.database, self.data)
        registered(self.database, self.world)
        self._ports = {"server": free_port(), "gateway": free_port()}
        self._running: dict[str, subprocess.Popen[str]] = {}

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self._ports['server']}"

    @property
    def gateway_url(self) -> str:
        """Where the gateway answers."""
        return f"http://127.0.0.1:{self._ports['gateway']}"

    @property
    def token(self) -> str:
        """The token of this machine's own commands."""
        return (self.data / "keys" / "cli.token").read_text()

    def start(self, *roles: str) -> None:
        """Starts roles, each once the one before says that it is ready."""
        for role in roles:
            words = [*YARD, role, "--data", str(self.data)]
            if role in self._ports:
                words += ["--port", str(self._ports[role])]
            if role == "gateway":
                words += ["--server-url", self.url]
            with (self.data / f"{role}.log").open("a") as log:
                process = subprocess.Popen(words, cwd=self.folder, stdout=subprocess.PIPE, stderr=log, text=True)
            self._running[role] = process
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready "), (self.data / f"{role}.log").read_text()
            if role == "gateway":
                until(self._is_ready)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.gateway_url}/readyz", trust_env=False).is_success
        return False

    @property
    def running(self) -> tuple[str, ...]:
        """The roles that run."""
        return tuple(self._running)

    def process(self, role: str) -> int:
        """The id of a role's process."""
        return self._running[role].pid

    def end(self, role: str, *, kill: bool = True) -> None:
        """Kills a role, or has it end cleanly."""
        process = self._running.pop(role)
        process.kill() if kill else process.terminate()
        assert process.stdout is not None
        process.stdout.close()
        process.wait(30)

    def close(self) -> None:
        """Ends everything."""
        for role in list(self._running):
            self.end(role, kill=False)
        self.database.close()

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        """The typed client with the local token."""
        with Client(self.url, self.token) as client:
            yield client

    def endpoint(self) -> Endpoint:
        """The endpoint of the model."""
        with self.client() as client:
            return client.get_endpoint(LATE)

    def serve(self, champion: int, **traffic: Any) -> int:
        """Has the gateway serve a new revision; its number, once it does."""
        proposal = Proposal(champion=champion, **traffic)
        number = self.database.write(lambda tx: propose_revision(tx, SYSTEM, LATE, proposal)).revision.number
        until(lambda: self.predict().get("revision") == number)
        return number

    def predict(self, *rows: dict[str, Any], model: ModelName = LATE) -> dict[str, Any]:
        """What the gateway answers to rows."""
        headers = {"authorization": f"Bearer {self.token}"}
        body = {"rows": list(rows or (ROW,))}
        answer: dict[str, Any] = httpx.post(f"{self.gateway_url}/predict/{model}", json=body, headers=headers, trust_env=False).json()
        return answer

    def token_of(self, role: Role) -> str:
        """The token of a new account that has a role in every team."""
        self.database.write(lambda tx: create_service_account(tx, SYSTEM, f"the-{role}", EVERY_TEAM, role))
        order = TokenOrder(name="test", scopes=(Scope.ALL,), owner=f"the-{role}")
        return self.database.write(lambda tx: create_token(tx, SYSTEM, order)).secret

    def yard(self, *words: str, token: str = "") -> "subprocess.CompletedProcess[str]":
        """A command that is called in the folder, with the local token unless another is given."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
        given = {**environment, "MODELYARD_URL": self.url, "MODELYARD_TOKEN": token or self.token, "COLUMNS": "160"}
        return subprocess.run([*YARD, *words], cwd=self.folder, capture_output=True, text=True, check=False, env=given)

    def events(self, kind: str) -> list[Event]:
        """The ledger's entries of a kind, oldest first."""
        sequence_pending(self.database, "tests")
        with self.database.read() as snapshot:
            return list_events(snapshot, -1, (kind,), 1000)


@contextlib.contextmanager
def live(folder: Path) -> Iterator[Live]:
    """An installation whose server and gateway run, ended with the block."""
    made = Live(folder)
    try:
        made.start("server", "gateway")
        yield made
    finally:
        made.close()

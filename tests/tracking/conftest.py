"""A tracking server to test with: the app on loopback in a thread of its own, over the test's database."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from modelyard.access.domain import DEFAULT_TEAM, Principal, PrincipalId, Role, TeamId
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.app import mlflow_app
from tests.tracking.plain import PLAIN

OTHER_TEAM = TeamId("other")
WRITER = Principal(id=PrincipalId("usr_writer"), name="writer", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
READER = Principal(id=PrincipalId("usr_reader"), name="reader", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
STRANGER = Principal(id=PrincipalId("usr_stranger"), name="stranger", kind="person", roles={OTHER_TEAM: Role.CONTRIBUTOR})
PRINCIPALS = {b"reader": READER, b"stranger": STRANGER}


async def authenticate(scope: Any) -> Principal:
    """The principal that the header names; the writer where it names none."""
    return PRINCIPALS.get(dict(scope["headers"]).get(b"x-principal", b""), WRITER)


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """The address at which `app` answers while the block runs."""
    # Told that it is TCP, asyncio sends answers at once; else each waits 40 ms for an acknowledgement of its head.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), name="test-server")
    listener.listen(128)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """An empty blob store."""
    return Blobs.open(f"file://{tmp_path / 'blobs'}")


@pytest.fixture
def server(database: Database, blobs: Blobs) -> Iterator[str]:
    """The address of a tracking server over the test's database."""
    app = mlflow_app(database, blobs, authenticate)
    with served(app) as url:
        yield url
    app.close()


Call = Callable[..., httpx.Response]


@pytest.fixture
def call(server: str) -> Iterator[Call]:
    """Calls MLflow's interface: `call("POST", "runs/create", {...}, by="reader")`."""
    with httpx.Client(base_url=server, verify=PLAIN, trust_env=False, timeout=30) as client:

        def called(method: str, path: str, body: Any = None, *, by: str = "", api: str = "/api/2.0/mlflow/") -> httpx.Response:
            headers = {"x-principal": by} if by else {}
            if method == "GET":
                return client.get(f"{api}{path}", params=body, headers=headers)
            return client.request(method, f"{api}{path}", json=body, headers=headers)

        yield called


@pytest.fixture
def run_id(call: Call) -> str:
    """The id of a run in experiment 0."""
    return str(call("POST", "runs/create", {"experiment_id": "0", "start_time": 1}).json()["run"]["info"]["run_id"])

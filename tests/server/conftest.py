"""A control plane that really listens, over a fresh installation in a temporary folder."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token, first_start
from modelyard.core.settings import read_settings
from modelyard.server.app import control_plane
from modelyard.server.installation import Installation, opened
from modelyard.server.listening import server
from modelyard.server.sockets import bound_socket


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """A server under test: its address, its installation, and a token for each role in the default team."""

    url: str
    installation: Installation
    tokens: dict[Role, str]

    def client(self, role: Role | None = None) -> httpx.Client:
        """A client with the role's token, or nobody's."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=20)


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    bound = bound_socket("127.0.0.1", 0)
    port = bound.getsockname()[1]
    settings = read_settings(None, {}, {"data": str(tmp_path_factory.mktemp("data")), "server.port": port})
    with opened(settings) as installation, ThreadPoolExecutor(8) as pool:
        plane = control_plane(installation, pool)
        running_server = server(plane.app, plane.close)
        thread = threading.Thread(target=running_server.run, kwargs={"sockets": [bound]})
        thread.start()
        url = f"http://127.0.0.1:{port}"
        with httpx.Client(transport=httpx.HTTPTransport(retries=20), trust_env=False) as client:
            client.get(f"{url}/readyz")
        yield Running(url=url, installation=installation, tokens=_tokens(installation))
        running_server.should_exit = True
        thread.join()


def _tokens(installation: Installation) -> dict[Role, str]:
    database = installation.database
    database.write(first_start)
    found = {}
    for role in Role:
        team = EVERY_TEAM if role is Role.ADMIN else DEFAULT_TEAM
        name = f"test-{role}"
        database.write(lambda tx, name=name, team=team, role=role: create_service_account(tx, SYSTEM, name, team, role))  # type: ignore[misc]
        order = TokenOrder(name="test", scopes=(Scope.ALL,), owner=name)
        found[role] = database.write(lambda tx, order=order: create_token(tx, SYSTEM, order)).secret  # type: ignore[misc]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty data folder."""
    return tmp_path / "data"

"""Whether the server is ready: it answers as long as it can read its database, and says so in the one shape of errors when it cannot."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.core.settings import Settings, StorageSettings
from modelyard.server.app import control_plane
from modelyard.server.installation import Installation, opened
from tests.servers import PostgreSQL

NAME = "readiness"


@contextlib.contextmanager
def served(settings: Settings) -> Iterator[tuple[Installation, Callable[[str], httpx.Response]]]:
    """An installation that is open, and what its control plane answers to anybody."""
    with opened(settings) as installation, ThreadPoolExecutor(1) as pool:
        app: Any = control_plane(installation, pool).app

        async def asked(path: str) -> httpx.Response:
            url = f"http://127.0.0.1:{settings.server.port}"
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=url) as client:
                return await client.get(path)

        yield installation, lambda path: asyncio.run(asked(path))


def test_a_postgresql_that_is_gone_makes_it_unready(postgresql_server: PostgreSQL, tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path), storage=StorageSettings(database=postgresql_server.create(NAME)))
    with served(settings) as (_, ask):
        assert ask("/readyz").status_code == 200
        postgresql_server.drop(NAME)
        answer = ask("/readyz")
        assert ask("/healthz").status_code == 200
    assert answer.status_code == 503
    error = answer.json()["error"]
    assert (error["code"], error["hint"]) == ("database_unavailable", "the server's log says why")
    assert NAME not in answer.text
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("damage", ["closed", "overwritten"])
def test_a_sqlite_that_cannot_be_read_makes_it_unready(tmp_path: Path, damage: str) -> None:
    with served(Settings(data=str(tmp_path))) as (installation, ask):
        assert ask("/readyz").status_code == 200
        if damage == "closed":
            installation.database.close()
        else:
            installation.database.engine.dispose()
            (tmp_path / "modelyard.db").write_bytes(b"no database" * 1000)
        answer = ask("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_unavailable")

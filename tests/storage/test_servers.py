"""The servers and fixtures that other tests rely on do what they say."""

import socket

import httpx
import pytest
import sqlalchemy as sa

from modelyard.storage.database import Database
from modelyard.storage.replay import begin_replay, find_replay_instant
from tests.servers import S3, ServerMissing, chromium_path


def test_a_database_has_every_table_and_takes_writes(database: Database) -> None:
    """Both databases."""
    database.write(lambda tx: begin_replay(tx, tx.now()))
    with database.read() as snapshot:
        assert find_replay_instant(snapshot) == database.clock.now()


def test_each_test_has_a_database_of_its_own(database: Database) -> None:
    """The row of the test above is not there."""
    with database.read() as snapshot:
        assert find_replay_instant(snapshot) is None


def test_a_fresh_postgresql_database_is_empty(postgresql_url: str) -> None:
    """No table: migrations start from nothing."""
    engine = sa.create_engine(postgresql_url.replace("postgresql://", "postgresql+psycopg://"))
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_redis_and_s3_answer(redis_url: str, s3: S3) -> None:
    """A PING, and a bucket without objects."""
    host, port = redis_url.removeprefix("redis://").removesuffix("/0").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(16) == b"+PONG\r\n"
    assert "<KeyCount>0</KeyCount>" in httpx.get(f"{s3.endpoint}/{s3.bucket}?list-type=2").text


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.org"])
def test_the_network_beyond_loopback_is_off(host: str) -> None:
    """By address and by name."""
    with pytest.raises(RuntimeError, match="no network"):
        socket.create_connection((host, 80), 0.1)


def test_chromium_is_there() -> None:
    """Pages are looked at in a real browser."""
    assert chromium_path()


def test_a_server_that_is_missing_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be installed, tests fail with what to install; they are never passed over."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerMissing, match="apt-get install postgresql redis-server chromium"):
        chromium_path()

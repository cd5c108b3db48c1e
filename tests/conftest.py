"""What every test stands on: a clock that stands, a database of its own, real servers, and no network beyond loopback."""

import functools
import importlib
import ipaddress
import pkgutil
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it has no types

import modelyard
from modelyard.core.clock import FixedClock, Instant
from modelyard.features.erased import open_tombstones, opened_tombstones
from modelyard.storage.database import Database
from modelyard.storage.schema import METADATA
from tests.servers import S3, PostgreSQL, new_bucket, running_postgresql, running_redis, running_s3

# 2026-01-01T00:00:00Z
START = Instant(1_767_225_600_000_000)
# Far and odd: whoever takes event time for the machine's, or the other way around, is found out.
WALL_AHEAD_S = 13 * 365 * 86_400 + 7
TEMPLATE = "modelyard_template"

PROPERTIES = {"deadline": None, "database": None}
hypothesis.settings.register_profile("modelyard", derandomize=True, **PROPERTIES)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--seed` and `--examples`."""
    parser.addoption("--seed", type=int, default=0, help="seed of every random choice; 0 repeats the same examples in every run")
    parser.addoption("--examples", type=int, default=100, help="how many examples a property is tried with that does not say so itself")


def pytest_configure(config: pytest.Config) -> None:
    """Seeds Hypothesis."""
    seed, examples = config.getoption("--seed"), config.getoption("--examples")
    hypothesis.settings.register_profile("seeded", max_examples=examples, derandomize=not seed, **PROPERTIES)
    hypothesis.settings.load_profile("seeded" if seed or examples != 100 else "modelyard")
    if seed:
        hypothesis.core.global_force_seed = seed


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keeps the tests of a file that says `xdist_group` in one process: pytest no longer has its plugin note the group in a test's id."""
    return ByGroup(config, log) if config.getoption("dist") == "loadgroup" else None


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Hands out tests one by one, and those of a group together."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(self.config.rootpath / nodeid.partition("::")[0]) or nodeid


@functools.cache
def group_of(file: Path) -> str:
    """The group that a file of tests names for all of them, or nothing."""
    found = re.search(r"^pytestmark = .*xdist_group\(\"([^\"]+)\"\)", file.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else ""


def pytest_report_header(config: pytest.Config) -> str:
    """Says which seed repeats this run."""
    seed = config.getoption("--seed")
    return f"seed: {seed} (repeat with --seed {seed}{'' if seed else '; Hypothesis derandomized'})"


@pytest.fixture
def random(pytestconfig: pytest.Config) -> np.random.Generator:
    """A generator of random numbers under the run's seed."""
    return np.random.default_rng(pytestconfig.getoption("--seed"))


@pytest.fixture(autouse=True)
def erasures_as_they_were() -> Iterator[None]:
    """The erasures that a test has its process know end with it: an installation that many tests share keeps its own."""
    before = opened_tombstones()
    yield
    open_tombstones(before)


@pytest.fixture(scope="session", autouse=True)
def network_off() -> Iterator[None]:
    """Refuses connections and name look-ups beyond loopback while tests run."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))
        resolve = socket.getaddrinfo

        def guarded_resolve(host: str | bytes | None, *rest: Any, **named: Any) -> Any:
            _check_local(host)
            return resolve(host, *rest, **named)

        patch.setattr(socket, "getaddrinfo", guarded_resolve)
        yield


def _guarded(call: Any) -> Any:
    def guarded(self: socket.socket, *arguments: Any) -> Any:
        address = arguments[-1]
        if self.family in (socket.AF_INET, socket.AF_INET6) and isinstance(address, tuple):
            _check_local(address[0])
        return call(self, *arguments)

    return guarded


def _check_local(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost"):
        return
    try:
        local = ipaddress.ip_address(str(name).partition("%")[0]).is_loopback or name in ("0.0.0.0", "::")  # noqa: S104 - compared only
    except ValueError:
        local = False
    if not local:
        raise RuntimeError(f"a test tried to reach {name}: tests have no network beyond loopback")


@pytest.fixture
def clock() -> FixedClock:
    """A clock that stands at 2026-01-01T00:00:00Z until the test moves it; by the machine's time it is 13 years later."""
    return FixedClock(START, wall_ahead_s=WALL_AHEAD_S)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """The session's PostgreSQL server."""
    with running_postgresql() as server:
        yield server


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQL) -> Iterator[str]:
    """The address of an empty PostgreSQL database that is the test's own."""
    yield from fresh_postgresql(postgresql_server, "template0")


def fresh_postgresql(server: PostgreSQL, template: str) -> Iterator[str]:
    """The address of a database made from a template, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    yield server.create(name, template)
    server.drop(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The address of the session's Redis server."""
    with running_redis() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The address of a Redis database that is empty now."""
    host, _, port = redis_server.removeprefix("redis://").partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"FLUSHALL\r\n")
        assert connection.recv(64) == b"+OK\r\n"
    return redis_server


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of the session's S3 server."""
    with running_s3() as endpoint:
        yield endpoint


@pytest.fixture
def s3(s3_server: str) -> S3:
    """An empty bucket that is the test's own."""
    return new_bucket(s3_server)


@pytest.fixture(scope="session")
def every_table() -> None:
    """Loads the store of every component, so that `METADATA` holds all tables."""
    for module in pkgutil.walk_packages(modelyard.__path__, "modelyard."):
        if module.name.split(".")[2:3] == ["store"]:
            importlib.import_module(module.name)


@pytest.fixture(scope="session")
def sqlite_template(every_table: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with every table and no row."""
    path = tmp_path_factory.mktemp("template") / "modelyard.db"
    _create_tables(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(every_table: None, postgresql_server: PostgreSQL) -> str:
    """The name of a PostgreSQL database with every table and no row."""
    _create_tables(postgresql_server.create(TEMPLATE))
    return TEMPLATE


def _create_tables(url: str) -> None:
    database = Database.open(url, FixedClock(START))
    METADATA.create_all(database.engine)
    database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database with every table and no row, once SQLite and once PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "modelyard.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
    else:
        template = request.getfixturevalue("postgresql_template")
        yield from fresh_postgresql(request.getfixturevalue("postgresql_server"), template)


@pytest.fixture
def database(database_url: str, clock: FixedClock) -> Iterator[Database]:
    """An open database with every table and no row, once on SQLite and once on PostgreSQL, under the test's clock."""
    opened = Database.open(database_url, clock)
    yield opened
    opened.close()

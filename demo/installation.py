"""The demo's installation: a data folder made for replay, `yard up` over it, and one more worker. Owns their start and end."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from modelyard.core.clock import Instant, SystemClock
from modelyard.ledger.service import LogKey
from modelyard.server.data_folder import check_folder
from modelyard.server.supervisor import role_command
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.migrations import upgrade
from modelyard.storage.replay import begin_replay, clock_of
from modelyard.storage.tables import Tables

PROJECT = Path(__file__).parent
STATE = PROJECT / ".yard"
PORT, GATEWAY_PORT = 7700, 7701
EXCERPT_LINES = 12


class ProcessFailed(Exception):
    """A process of the installation did not do its part; the message ends with its log's last lines."""


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where an installation is: its data folder, its ports, and the project that it serves."""

    state: Path = STATE
    port: int = PORT
    gateway_port: int = GATEWAY_PORT

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.state / "home"

    @property
    def url(self) -> str:
        """The control plane."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def gateway_url(self) -> str:
        """The gateway."""
        return f"http://127.0.0.1:{self.gateway_port}"

    @property
    def token(self) -> str:
        """The token of this machine's own commands."""
        return (self.data / "keys" / "cli.token").read_text("utf-8").strip()

    def log(self, name: str) -> Path:
        """The file that a process writes its log to."""
        return self.state / f"{name}.log"


def made_for_replay(place: Place, at: Instant) -> None:
    """Makes a new data folder that replays from `at` on; what an earlier run left is gone."""
    shutil.rmtree(place.state, ignore_errors=True)
    check_folder(place.data)
    database = Database.open(f"sqlite:///{place.data / 'modelyard.db'}", SystemClock())
    try:
        upgrade(database)
        database.write(lambda tx: begin_replay(tx, at))
    finally:
        database.close()


@contextmanager
def running(place: Place, *, more_workers: int = 1) -> Iterator[None]:
    """`yard up` over the data folder, and so many workers more, until the block ends. Raises ProcessFailed."""
    words = ["--data", str(place.data), "--port", str(place.port), "--gateway-port", str(place.gateway_port)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        started.append(_started(place, "up", role_command("up", words)))
        _await_ready(place, started[0])
        worker = role_command("worker", ["--data", str(place.data)])
        started += [_started(place, f"worker-{number}", worker) for number in range(more_workers)]
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def yard(place: Place, *words: str, folder: Path = PROJECT, may_end: Sequence[int] = (0,)) -> bytes:
    """What a `yard` command prints with `--json`, run in the project's folder. Raises ProcessFailed unless it ends well."""
    return said(yard_beside(place, *words, folder=folder), words, may_end)


def yard_beside(place: Place, *words: str, folder: Path = PROJECT) -> subprocess.Popen[bytes]:
    """A `yard` command that goes on while other things happen; `said` waits for it."""
    environment = {**os.environ, "MODELYARD_URL": place.url, "MODELYARD_TOKEN": place.token}
    command = [*role_command(words[0], words[1:]), "--json"]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def said(process: subprocess.Popen[bytes], words: Sequence[str], may_end: Sequence[int] = (0,)) -> bytes:
    """What a command has printed by its end. Raises ProcessFailed unless it ends well."""
    output, errors = process.communicate()
    if process.returncode not in may_end:
        raise ProcessFailed(f"yard {' '.join(words)} ended with {process.returncode}: {errors.decode(errors='replace')[-1500:]}")
    return output


@contextmanager
def opened(place: Place) -> Iterator["Records"]:
    """The installation's records, under its replay clock, closed with the block."""
    own = Database.open(f"sqlite:///{place.data / 'modelyard.db'}", SystemClock())
    try:
        yield Records(
            own=own,
            database=own.with_clock(clock_of(own)),
            blobs=Blobs.open(f"file://{place.data / 'blobs'}"),
            tables=Tables.open(f"file://{place.data / 'tables'}"),
            key=LogKey.open(place.data / "keys" / "log.key"),
        )
    finally:
        own.close()


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver shares with the roles: `own` under the machine's time, `database` under the replay's, blobs, tables, log key."""

    own: Database
    database: Database
    blobs: Blobs
    tables: Tables
    key: LogKey


def excerpt(path: Path, lines: int = EXCERPT_LINES) -> str:
    """The last lines of a log."""
    if not path.exists():
        return f"{path} was not written"
    return "\n".join(path.read_text("utf-8", "replace").splitlines()[-lines:])


def _started(place: Place, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    with place.log(name).open("wb") as log, place.log(f"{name}-said").open("wb") as said:
        return subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=said, stderr=log)


def _await_ready(place: Place, process: subprocess.Popen[bytes]) -> None:
    said, until = place.log("up-said"), time.monotonic() + 60
    while b"ready " not in said.read_bytes():
        if process.poll() is not None or time.monotonic() > until:
            raise ProcessFailed(f"yard up did not become ready; {place.log('up')} ends with\n{excerpt(place.log('up'))}")
        time.sleep(0.02)

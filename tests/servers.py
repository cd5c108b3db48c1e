"""The servers that tests talk to: real PostgreSQL, Redis and an S3 server, each in a temporary folder on a free port.

Owns their installation, start and end. Knows no fixture and nothing of Modelyard.
"""

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import msgspec
import psycopg

START_S = 60.0
STOP_S = 10.0
# Who runs PostgreSQL when the tests run as root, which it refuses to be.
UNPRIVILEGED = ("postgres", "nobody")
UNSYNCED = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "64MB", "autovacuum": "off"}

_MOTO = """
import threading
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
threading.Event().wait()
"""


class ServerMissing(Exception):
    """A server that the tests need is not installed, and cannot be installed from here."""


class PostgreSQL(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL server that runs. Whoever has the password is its superuser."""

    port: int
    password: str

    def url(self, database: str) -> str:
        """The address of one of its databases."""
        return f"postgresql://modelyard:{self.password}@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template0") -> str:
        """A new database, copied from `template` to which nobody is connected; its address."""
        self._execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def drop(self, database: str) -> None:
        """Removes a database, whoever is connected."""
        self._execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())


class S3(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket on an S3 server, and what a client needs to use it."""

    endpoint: str
    bucket: str
    access_key: str = "test"
    secret_key: str = "test-secret"
    region: str = "us-east-1"

    @property
    def url(self) -> str:
        """The bucket's address."""
        return f"s3://{self.bucket}"

    @property
    def options(self) -> dict[str, str]:
        """What the settings hold beside the address: the same words for blobs and for tables."""
        return {
            "aws_endpoint": self.endpoint,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_region": self.region,
            "allow_http": "true",
        }


@contextlib.contextmanager
def running_postgresql(*, durable: bool = False) -> Iterator[PostgreSQL]:
    """A PostgreSQL server of one's own while the block runs. Unless `durable`, it does not sync: a stop of the machine loses all."""
    binaries = _postgresql_binaries()
    password = secrets.token_hex(16)
    with _folder("postgresql") as folder:
        secret = folder / "password"
        secret.write_text(password)
        _give_away(folder, secret)
        _run([*_unprivileged(), str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "modelyard", "--pwfile", str(secret),
              "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"], folder)  # fmt: skip
        port = free_port()
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 200}
        settings |= {} if durable else UNSYNCED
        command = [*_unprivileged(), str(binaries / "postgres"), "-D", str(folder / "data")]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        server = PostgreSQL(port=port, password=password)
        with _process(command, folder, stop=signal.SIGINT) as process:
            _wait(process, folder, lambda: psycopg.connect(server.url("postgres")).close(), psycopg.OperationalError)
            yield server


@contextlib.contextmanager
def running_redis() -> Iterator[str]:
    """The address of a Redis server of one's own while the block runs. It keeps nothing on disk."""
    binary = _installed("redis-server", "redis-server")
    port = free_port()
    with _folder("redis") as folder:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
        with _process(command, folder) as process:
            _wait(process, folder, lambda: socket.create_connection(("127.0.0.1", port), 1).close(), OSError)
            yield f"redis://127.0.0.1:{port}/0"


@contextlib.contextmanager
def running_s3() -> Iterator[str]:
    """The address of an S3 server of one's own while the block runs. It keeps everything in memory."""
    with _folder("s3") as folder, _process([sys.executable, "-c", _MOTO], folder) as process:
        said: list[str] = []

        def listens() -> None:
            said[:] = (folder / "output").read_text().split()
            if not said or not said[-1].isdigit():
                raise OSError

        _wait(process, folder, listens, OSError)
        yield f"http://127.0.0.1:{said[-1]}"


def new_bucket(endpoint: str) -> S3:
    """A new, empty bucket on the S3 server at `endpoint`."""
    bucket = S3(endpoint=endpoint, bucket=f"modelyard-{secrets.token_hex(6)}")
    httpx.put(f"{endpoint}/{bucket.bucket}", trust_env=False).raise_for_status()
    return bucket


def chromium_path() -> str:
    """Where Chromium is; it is installed if that can be done. Raises ServerMissing."""
    return _installed("chromium", "chromium")


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _postgresql_binaries() -> Path:
    def newest() -> Path | None:
        found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
        if found:
            return max(found, key=lambda path: int(path.parent.name))
        elsewhere = shutil.which("initdb")
        return Path(elsewhere).resolve().parent if elsewhere else None

    found = newest()
    if found is None:
        _install("postgresql")
        found = newest()
    if found is None:
        raise ServerMissing("initdb is not found, although the Debian package postgresql was installed")
    return found


def _installed(binary: str, package: str) -> str:
    path = shutil.which(binary)
    if path is None:
        _install(package)
        path = shutil.which(binary)
    if path is None:
        raise ServerMissing(f"{binary} is not found, although the Debian package {package} was installed")
    return path


def _install(package: str) -> None:
    """Installs a Debian package, one process at a time. Raises ServerMissing where that cannot be done."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ServerMissing(f"the tests need {package}; install it: apt-get install postgresql redis-server chromium")
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300"]
    with (Path(tempfile.gettempdir()) / "modelyard-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ([*apt, "update"], [*apt, "install", "-y", "--no-install-recommends", package]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerMissing(f"the tests need {package}, and apt-get could not install it:\n{done.stderr[-2000:]}")


@contextlib.contextmanager
def _folder(name: str) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"modelyard-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _account() -> pwd.struct_passwd | None:
    """Who runs what must not run as root: None when the tests themselves do not."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)


def _give_away(*paths: Path) -> None:
    account = _account()
    if account:
        for path in paths:
            shutil.chown(path, account.pw_uid, account.pw_gid)


def _unprivileged() -> list[str]:
    account = _account()
    return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")


@contextlib.contextmanager
def _process(command: Sequence[str], folder: Path, stop: signal.Signals = signal.SIGTERM) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block, or with this process however that ends."""
    # Written once more behind the change of user, which clears it.
    bound = ["setpriv", f"--pdeathsig={stop.name.removeprefix('SIG')}"] if shutil.which("setpriv") else []
    where = 4 if command[0] == "setpriv" else 0
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [*command[:where], *bound, *command[where:]], cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], folder: Path, answers: Callable[[], None], refusal: type[Exception]) -> None:
    """Returns when `answers` does so without `refusal`; raises with the server's own words where it does not in time."""
    until = time.monotonic() + START_S
    while True:
        try:
            answers()
        except refusal as error:
            if process.poll() is not None or time.monotonic() > until:
                said = (folder / "output").read_text(errors="replace")[-3000:]
                raise RuntimeError(f"{process.args!r} does not answer: {error}\n{said}") from error
            time.sleep(0.02)
        else:
            return

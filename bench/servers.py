"""The servers that benchmarks load: `yard up`, MLflow's with its defaults, a PostgreSQL that syncs. Owns start, end and memory."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.servers import PostgreSQL, free_port, running_postgresql

PATH = "/api/2.0/mlflow/experiments/get?experiment_id=0"
START_S = 180.0
END_S = 20.0
IDLE_S = 10.0


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One that runs: its address, the seconds until its first answer, the leader of its session of processes."""

    url: str
    start_s: float
    pid: int


def mlflow_binary() -> str:
    """MLflow's command beside this interpreter, empty where it is not installed."""
    beside = Path(sys.executable).with_name("mlflow")
    return str(beside) if beside.exists() else shutil.which("mlflow") or ""


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """MLflow's server with its defaults, on a new SQLite file in `folder`."""
    port = free_port()
    command = [mlflow_binary(), "server", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    with _running(command, port, folder, {}) as server:
        yield server


@contextlib.contextmanager
def yard_up(folder: Path, database_url: str = "") -> Iterator[Server]:
    """All roles on a new data folder in `folder`, nobody asked who he is, as at MLflow's."""
    port = free_port()
    command = [sys.executable, "-m", "modelyard.cli.main", "up", "--no-login", "--data", str(folder / ".yard"),
               "--port", str(port), "--gateway-port", str(free_port())]  # fmt: skip
    with _running(command, port, folder, {"MODELYARD_STORAGE__DATABASE": database_url}) as server:
        yield server


@contextlib.contextmanager
def durable_postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL that syncs each commit."""
    with running_postgresql(durable=True) as server:
        yield server


@contextlib.contextmanager
def _running(command: list[str], port: int, folder: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    begun = time.perf_counter()
    # The roles write their compiled modules once, as they do wherever they are installed.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | settings
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        while not _answers(port):
            if process.poll() is not None or time.perf_counter() - begun > START_S:
                raise RuntimeError((folder / "server.log").read_text(errors="replace")[-2000:])
            time.sleep(0.02)
        yield Server(url=f"http://127.0.0.1:{port}", start_s=round(time.perf_counter() - begun, 2), pid=process.pid)
    finally:
        _ended(process)


def _ended(process: "subprocess.Popen[bytes]") -> None:
    for which in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, which)
            process.wait(END_S)


def _answers(port: int) -> bool:
    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(request)
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def idle_memory(server: Server) -> dict[str, float]:
    """Processes of the server, and their proportional set size in MiB once it had nothing to do for ten seconds."""
    time.sleep(IDLE_S)
    members, kilobytes = 0, 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(folder.name)) == server.pid:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                members += 1
    return {"processes": members, "pss_mib": round(kilobytes / 1024, 1)}

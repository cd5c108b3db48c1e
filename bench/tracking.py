"""Times tracking over HTTP: logging, runs, search, history, start, memory. Prints one JSON object.

    python bench/tracking.py [--seconds 4] [--runs 2000] [--points 100000] [--database URL] [--peers] [--url URL]

The same load goes to Modelyard's MLflow interface and, with `--peers` and where it is installed, to `mlflow server` with its
defaults, one after the other on the same machine; `ratios` compares them. The client acknowledges each packet at once, so
that no server is charged for a delayed acknowledgement. `--url` measures a server that runs already.
"""

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvicorn

from modelyard.access.domain import SYSTEM, Principal
from modelyard.core.clock import SystemClock
from modelyard.ledger import store as ledger_store
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.schema import METADATA
from modelyard.tracking.wire.app import mlflow_app

API = "/api/2.0/mlflow"
WARM_UP_S = 0.5
START_S = 180.0
CONNECTIONS = (1, 16)
Json = dict[str, Any]
MakeRequest = Callable[[int], bytes]


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request in flight."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        """Fails the request in flight."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Acknowledges at once, and answers when the whole response is here."""
        self._acknowledge()
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = bytes(self._received[:end]).lower()
        length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
        size = end + 4 + int(length or 0)
        if len(self._received) >= size:
            body = bytes(self._received[end + 4 : size])
            del self._received[:size]
            self._answer.set_result((int(head[9:12]), body))

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._acknowledge()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hangs up."""
        if self._transport:
            self._transport.close()

    def _acknowledge(self) -> None:
        assert self._transport is not None
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class Client:
    """Requests for one server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = str(parts.hostname), int(parts.port or 80)

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        """A request as bytes."""
        content = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {API}{path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content

    async def connect(self) -> Connection:
        """A new connection."""
        _, connection = await asyncio.get_running_loop().create_connection(Connection, self.host, self.port)
        return connection

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """One call and its decoded answer. Raises RuntimeError for an error."""
        connection = await self.connect()
        status, content = await connection.send(self.request(method, path, body))
        connection.close()
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {content[:300]!r}")
        return msgspec.json.decode(content) if content else {}


async def loaded(client: Client, connections: int, make: MakeRequest, seconds: float) -> Json:
    """What a closed loop over so many connections reached: requests a second and latencies."""
    latencies: list[float] = []
    errors = 0
    counter = iter(range(10**9))
    begun = time.perf_counter() + WARM_UP_S
    until = begun + seconds

    async def worker() -> None:
        nonlocal errors
        connection = await client.connect()
        while time.perf_counter() < until:
            request = make(next(counter))
            sent = time.perf_counter()
            status, _ = await connection.send(request)
            errors += status >= 400
            if sent >= begun and status < 400:
                latencies.append((time.perf_counter() - sent) * 1000)
        connection.close()

    await asyncio.gather(*(worker() for _ in range(connections)))
    took = time.perf_counter() - begun
    return {"per_s": round(len(latencies) / took, 1), "errors": errors, **quantiles(latencies)}


def quantiles(milliseconds: list[float]) -> Json:
    """Median and 99th percentile."""
    found = sorted(milliseconds)
    return {"p50_ms": round(found[len(found) // 2], 2), "p99_ms": round(found[int(len(found) * 0.99)], 2)} if found else {}


async def repeated(client: Client, request: bytes, times: int) -> Json:
    """Latencies of one request, again and again on one connection."""
    connection = await client.connect()
    await connection.send(request)
    latencies = []
    for _ in range(times):
        sent = time.perf_counter()
        status, _ = await connection.send(request)
        assert status == 200
        latencies.append((time.perf_counter() - sent) * 1000)
    connection.close()
    return quantiles(latencies)


async def measured(url: str, asked: argparse.Namespace) -> Json:
    """All figures of one server."""
    client = Client(url)
    name = f"bench-{random.randrange(10**12)}"
    experiment = (await client.call("POST", "/experiments/create", {"name": name}))["experiment_id"]
    runs = [await new_run(client, experiment) for _ in range(16)]
    values = random.Random(7)

    def metric(n: int) -> bytes:
        body = {"run_id": runs[n % 16], "key": "loss", "value": values.random(), "timestamp": now(), "step": n}
        return client.request("POST", "/runs/log-metric", body)

    def batch(n: int) -> bytes:
        at = now()
        metrics = [{"key": f"b{k % 10}", "value": values.random(), "timestamp": at, "step": n * 10 + k // 10} for k in range(100)]
        return client.request("POST", "/runs/log-batch", {"run_id": runs[n % 16], "metrics": metrics})

    def create(n: int) -> bytes:
        body = {"experiment_id": experiment, "run_name": f"r{n}", "start_time": now(), "tags": [{"key": "mlflow.user", "value": "u"}]}
        return client.request("POST", "/runs/create", body)

    result: Json = {}
    for word, make, items in (("log_metric", metric, 1), ("log_batch_100", batch, 100), ("create_run", create, 1)):
        for connections in CONNECTIONS:
            figures = await loaded(client, connections, make, asked.seconds)
            result[f"{word}_{connections}"] = figures | ({"metrics_per_s": round(figures["per_s"] * items)} if items > 1 else {})
    result["search_runs"] = await searched(client, asked.runs)
    result["history"] = await remembered(client, experiment, asked.points)
    return result


def now() -> int:
    """Milliseconds, as clients send them."""
    return time.time_ns() // 1_000_000


async def new_run(client: Client, experiment: str) -> str:
    """The id of a new run."""
    return str((await client.call("POST", "/runs/create", {"experiment_id": experiment, "start_time": now()}))["run"]["info"]["run_id"])


async def searched(client: Client, count: int) -> Json:
    """A search with a filter and an order over so many runs of 10 metrics and 5 params, 100 answers a page."""
    experiment = (await client.call("POST", "/experiments/create", {"name": f"search-{random.randrange(10**12)}"}))["experiment_id"]
    places = iter(range(count))

    async def filler() -> None:
        for n in places:
            run = await new_run(client, experiment)
            params = [{"key": f"p{k}", "value": "xyzw"[(n + k) % 4] if k == 1 else str(n * k)} for k in range(5)]
            values = random.Random(n)
            metrics = [{"key": f"m{k}", "value": values.random(), "timestamp": now(), "step": 0} for k in range(10)]
            await client.call("POST", "/runs/log-batch", {"run_id": run, "metrics": metrics, "params": params})

    begun = time.perf_counter()
    await asyncio.gather(*(filler() for _ in range(8)))
    filled = time.perf_counter() - begun
    body = {
        "experiment_ids": [experiment],
        "filter": "metrics.m3 > 0.9 and params.p1 = 'x'",
        "order_by": ["metrics.m3 DESC"],
        "max_results": 100,
    }
    found = len((await client.call("POST", "/runs/search", body)).get("runs", []))
    figures = await repeated(client, client.request("POST", "/runs/search", body), 20)
    return {"runs": count, "found": found, "filled_s": round(filled, 1), **figures}


async def remembered(client: Client, experiment: str, count: int) -> Json:
    """The whole history of a metric with so many points, logged by thousands."""
    run = await new_run(client, experiment)
    values = random.Random(5)
    for start in range(0, count, 1000):
        metrics = [{"key": "h", "value": values.random(), "timestamp": start + k, "step": start + k} for k in range(1000)]
        await client.call("POST", "/runs/log-batch", {"run_id": run, "metrics": metrics})
    return {"points": count, **await repeated(client, client.request("GET", f"/metrics/get-history?run_id={run}&metric_key=h"), 5)}


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path) -> Iterator[tuple[float, Json]]:
    """Seconds from the start of a server to its first answer, and its memory then, while it runs."""
    begun = time.perf_counter()
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True)
    try:
        while not answers(port):
            if process.poll() is not None or time.perf_counter() - begun > START_S:
                raise RuntimeError((folder / "server.log").read_text(errors="replace")[-2000:])
            time.sleep(0.05)
        yield time.perf_counter() - begun, memory_of(process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait()


def answers(port: int) -> bool:
    """Whether a server on the port answers a call."""
    request = f"GET {API}/experiments/get?experiment_id=0 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(request)
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def memory_of(pid: int) -> Json:
    """Processes of the session that `pid` leads, and their proportional set size in MiB."""
    members, kilobytes = 0, 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(folder.name)) == pid:
                lines = (folder / "smaps_rollup").read_text().splitlines()
                kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                members += 1
    return {"processes": members, "pss_mib": round(kilobytes / 1024, 1)}


def free_port() -> int:
    """A port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(database_url: str, folder: str, port: int) -> None:
    """Serves tracking alone: no login, its tables made."""

    async def everybody(_: Any) -> Principal:
        return SYSTEM

    database = Database.open(database_url, SystemClock())
    assert ledger_store.OUTBOX is not None  # loaded for its tables
    METADATA.create_all(database.engine)
    app = mlflow_app(database, Blobs.open(f"file://{folder}/blobs"), everybody)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", lifespan="off", access_log=False)


def measured_server(command: list[str], port: int, folder: Path, asked: argparse.Namespace) -> Json:
    """All figures of a server that is started for it."""
    with running(command, port, folder) as (seconds, memory):
        figures = asyncio.run(measured(f"http://127.0.0.1:{port}", asked))
    return {"start_s": round(seconds, 2), "memory": memory, **figures}


def mlflow_command(folder: Path, port: int) -> list[str]:
    """MLflow's server with its defaults, on SQLite."""
    binary = shutil.which("mlflow") or str(Path(sys.executable).with_name("mlflow"))
    return [binary, "server", "--port", str(port), "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
            "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip


def ratios(ours: Json, theirs: Json) -> Json:
    """How many times better ours is: rates as ours by theirs, times as theirs by ours."""
    result: Json = {}
    for name, figures in ours.items():
        if isinstance(figures, dict) and "per_s" in figures and theirs[name]["per_s"]:
            result[name] = round(figures["per_s"] / theirs[name]["per_s"], 1)
        elif isinstance(figures, dict) and "p50_ms" in figures:
            result[name] = round(theirs[name]["p50_ms"] / figures["p50_ms"], 1)
    return result | {
        "start": round(theirs["start_s"] / ours["start_s"], 1),
        "memory": round(theirs["memory"]["pss_mib"] / ours["memory"]["pss_mib"], 1),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--database", default="", help="sqlite:///... or postgresql://...; a new SQLite file without it")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--url", default="", help="measure this server instead of starting one")
    parser.add_argument("--serve", nargs=3, metavar=("DATABASE", "FOLDER", "PORT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(asked.serve[0], asked.serve[1], int(asked.serve[2]))
        return
    result: Json = {}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        if asked.url:
            result["modelyard"] = asyncio.run(measured(asked.url, asked))
        else:
            database = asked.database or f"sqlite:///{folder / 'modelyard.db'}"
            command = [sys.executable, str(Path(__file__).resolve()), "--serve", database, name, str(port)]
            result["modelyard"] = measured_server(command, port, folder, asked)
        if asked.peers and importlib.util.find_spec("mlflow"):
            port = free_port()
            result["mlflow"] = measured_server(mlflow_command(folder, port), port, folder, asked)
            result["ratios"] = {} if asked.url else ratios(result["modelyard"], result["mlflow"])
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()

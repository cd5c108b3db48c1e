"""Inference over HTTP by the real gateway: requests a second and latencies, one row and fifty, one connection and sixteen.

Run: python bench/serving.py [--seconds S] [--out F] [--peers]. The gateway runs as a process of its own with a LightGBM model of 30
inputs, 20 of them online features; every prediction is durable in the log before it is answered. wrk asks where it is
installed, else an asyncio client on the same cores, which costs the gateway a part of them.
"""

import argparse
import asyncio
import importlib
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np

from modelyard.access.domain import DEFAULT_TEAM, PrincipalId
from modelyard.core.clock import Instant, SystemClock
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.registry.artifacts import put_folder
from modelyard.registry.domain import Column, Format, ModelName, Signature
from modelyard.registry.formats import save
from modelyard.serving.domain import Assignment, Deployment, Revision, ServedVersion, Traffic
from modelyard.serving.gateway.link import FileLink
from modelyard.serving.gateway.loading import ArtifactLoader
from modelyard.serving.gateway.run import GatewayOptions, run_gateway
from modelyard.storage.blobs import Blobs
from modelyard.storage.online import LmdbStore

MODEL = ModelName("bench")
FEATURES = tuple(f"f{number}" for number in range(20))
REQUEST = tuple(f"r{number}" for number in range(9))
VIEW = FeatureView("view", Entity("entity"), Parquet("none.parquet", "at"), features=dict.fromkeys(FEATURES, "float64"))
SIGNATURE = Signature(
    inputs=(
        *(Column(name=name, dtype="float64") for name in (*FEATURES, *REQUEST)),
        Column(name="entity", dtype="string", categories=tuple(f"e{number}" for number in range(50))),
    )
)


def trained() -> lightgbm.Booster:
    """The model that all serve: 100 trees over 30 columns."""
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(5000, 30))
    rows[:, 29] = generator.integers(0, 50, 5000)
    data = lightgbm.Dataset(rows, (rows[:, :5].sum(axis=1) > 0).astype(float))
    return lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 100)


def prepared(folder: Path) -> None:
    """Trains the model and writes the assignment of the gateway."""
    assigned(folder, trained(), SIGNATURE, FeatureSet("bench_features", [VIEW]))


def assigned(folder: Path, model: lightgbm.Booster, signature: Signature, features: FeatureSet) -> None:
    """Writes the assignment of a gateway that serves `model` with those features."""
    save(model, folder / "trained", signature)
    artifact, _ = put_folder(Blobs.open(f"file://{folder}/blobs"), folder / "trained")
    version = ServedVersion(number=1, format=Format.LIGHTGBM, artifact=artifact, signature=signature, feature_set=features)
    revision = Revision(
        model=MODEL, number=1, team_id=DEFAULT_TEAM, traffic=Traffic(champion=1), cause="bench", actor=PrincipalId("bench"),
        proposed_at=SystemClock().now(),
    )  # fmt: skip
    told = Assignment(active=((MODEL, 1),), deployments=(Deployment(revision=revision, versions=(version,)),), tokens_until=Instant(2**62))
    (folder / "assignment.json").write_bytes(msgspec.json.encode(told))


def serve(folder: Path) -> None:
    """Runs the gateway; its port is the first line of its output."""
    blobs, online = Blobs.open(f"file://{folder}/blobs"), LmdbStore.open(folder / "online")
    options = GatewayOptions(name="bench", folder=folder / "gateway", port=0, login=False)
    run_gateway(
        options, blobs, lambda own: ArtifactLoader(own, blobs, online), FileLink(folder / "assignment.json"),
        on_ready=lambda port: print(port, flush=True),
    )  # fmt: skip


def body(rows: int) -> bytes:
    """A request of so many rows."""
    return msgspec.json.encode({"rows": [{"entity": f"e{n % 50}"} | dict.fromkeys(REQUEST, 0.1 * n + 0.01) for n in range(rows)]})


class Asked(msgspec.Struct, frozen=True):
    """Who is asked what: a port, a path and a body."""

    port: int
    path: str
    content: bytes


def by_wrk(folder: Path, asked: Asked, connections: int, seconds: int) -> dict[str, float]:
    """What wrk measures."""
    script = folder / "post.lua"
    script.write_text(f'wrk.method="POST"\nwrk.body=[==[{asked.content.decode()}]==]\nwrk.headers["Content-Type"]="application/json"\n')
    url = f"http://127.0.0.1:{asked.port}{asked.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"requests were refused:\n{out}")
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    found = {name: re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out) for name in ("50", "99")}
    latencies = {f"p{name}_ms": float(match[1]) * units[match[2]] for name, match in found.items() if match}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return {"requests_per_s": float(rate[1]) if rate else 0.0, **latencies}


async def by_asyncio(asked: Asked, connections: int, seconds: int) -> dict[str, float]:
    """What a client in Python measures."""
    head = f"POST {asked.path} HTTP/1.1\r\nhost: 127.0.0.1:{asked.port}\r\ncontent-type: application/json\r\n"
    request = head.encode() + f"content-length: {len(asked.content)}\r\n\r\n".encode() + asked.content
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(request)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer[:16]:
                raise SystemExit(f"a request was refused: {answer!r}")
            size = re.search(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(size[1]) if size else 0)
            taken.append((time.perf_counter() - started) * 1000)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    taken.sort()
    return {"requests_per_s": len(taken) / seconds, "p50_ms": taken[len(taken) // 2], "p99_ms": taken[int(len(taken) * 0.99)]}


def processes_of(pid: int) -> list[Path]:
    """The process and, where it leads a session, all that belong to it."""
    found = [Path(f"/proc/{pid}")]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            session = (folder / "stat").read_text().rpartition(")")[2].split()[3]
        except OSError:
            continue
        if session == str(pid) and folder.name != str(pid):
            found.append(folder)
    return found


def cpu_s(pid: int) -> float:
    """Processor time that a server has used."""
    times = [(folder / "stat").read_text().rpartition(")")[2].split() for folder in processes_of(pid)]
    return sum(int(fields[11]) + int(fields[12]) for fields in times) / 100


def rss_mib(pid: int) -> int:
    """The resident memory of a server, summed over its processes."""
    return sum(int((folder / "status").read_text().partition("VmRSS:")[2].split()[0]) for folder in processes_of(pid)) // 1024


def measured(seconds: int) -> dict[str, Any]:
    """All figures of our gateway."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name:
        folder = Path(name)
        prepared(folder)
        gateway = subprocess.Popen([sys.executable, __file__, "--serve", name], stdout=subprocess.PIPE)
        try:
            port = int((gateway.stdout or sys.exit("no output")).readline())
            time.sleep(2)
            return asked_all(gateway.pid, folder, seconds, lambda rows: Asked(port, f"/predict/{MODEL}", body(rows)))
        finally:
            gateway.terminate()
            gateway.wait()


def asked_all(pid: int, folder: Path, seconds: int, make: Callable[[int], Asked]) -> dict[str, Any]:
    """One row and fifty, over one connection and sixteen."""
    results: dict[str, Any] = {"client": "wrk" if shutil.which("wrk") else "asyncio"}
    for rows in (1, 50):
        for connections in (1, 16):
            before, asked = cpu_s(pid), make(rows)
            if results["client"] == "wrk":
                found = by_wrk(folder, asked, connections, seconds)
            else:
                found = asyncio.run(by_asyncio(asked, connections, seconds))
            found["cpu_ms_per_request"] = (cpu_s(pid) - before) * 1000 / max(1.0, found["requests_per_s"] * seconds)
            results[f"rows_{rows}_connections_{connections}"] = {key: round(value, 3) for key, value in found.items()}
            print(rows, connections, results[f"rows_{rows}_connections_{connections}"], file=sys.stderr, flush=True)
    return results | {"rss_mib": rss_mib(pid)}


def measured_mlflow(seconds: int) -> dict[str, Any]:
    """The same figures of `mlflow models serve` with one worker, asked for the same trees by `/invocations`."""
    own = importlib.import_module("mlflow.lightgbm")
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name:
        folder, port = Path(name), free_port()
        own.save_model(trained(), str(folder / "model"), pip_requirements=["lightgbm"])
        words = ["models", "serve", "-m", str(folder / "model"), "--env-manager", "local", "-p", str(port), "--workers", "1"]
        outside = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        with (folder / "log").open("w") as log:
            server = subprocess.Popen([sys.executable, "-m", "mlflow", *words], stdout=log, stderr=log, env=outside, start_new_session=True)
            try:
                wait_for(port, 120)
                return asked_all(server.pid, folder, seconds, lambda rows: Asked(port, "/invocations", matrix_body(rows)))
            finally:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait()


def matrix_body(rows: int) -> bytes:
    """A request of so many rows with all 30 columns in it."""
    return msgspec.json.encode({"inputs": [[0.1 * row + 0.01] * 30 for row in range(rows)]})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(port: int, patience_s: float) -> None:
    """Returns when somebody listens."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise SystemExit("the peer did not start")


def ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, float]:
    """How many times more requests a second ours answers."""
    shared = [name for name in ours if name.startswith("rows_")]
    return {name: round(ours[name]["requests_per_s"] / theirs[name]["requests_per_s"], 1) for name in shared}


def main() -> None:
    """Measures and prints, or serves for a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    results: dict[str, Any] = {"modelyard": measured(given.seconds)}
    if given.peers and importlib.util.find_spec("mlflow"):
        results["mlflow"] = measured_mlflow(given.seconds)
        results["ratios"] = ratios(results["modelyard"], results["mlflow"])
    print(msgspec.json.format(msgspec.json.encode(results)).decode())
    if given.out:
        given.out.write_bytes(msgspec.json.encode(results))


if __name__ == "__main__":
    main()

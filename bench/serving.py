"""Inference over HTTP by the real gateway: requests a second and latencies, one row and fifty, one connection and sixteen.

Run: python bench/serving.py [--seconds S] [--out F]. The gateway runs as a process of its own with a LightGBM model of 30
inputs, 20 of them online features; every prediction is durable in the log before it is answered. wrk asks where it is
installed, else an asyncio client on the same cores, which costs the gateway a part of them.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
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


def prepared(folder: Path) -> None:
    """Trains the model and writes the assignment of the gateway."""
    generator = np.random.default_rng(7)
    rows = generator.normal(size=(5000, 30))
    rows[:, 29] = generator.integers(0, 50, 5000)
    data = lightgbm.Dataset(rows, (rows[:, :5].sum(axis=1) > 0).astype(float))
    save(lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 100), folder / "trained", SIGNATURE)
    artifact, _ = put_folder(Blobs.open(f"file://{folder}/blobs"), folder / "trained")
    features = FeatureSet("bench_features", [VIEW])
    version = ServedVersion(number=1, format=Format.LIGHTGBM, artifact=artifact, signature=SIGNATURE, feature_set=features)
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


def by_wrk(folder: Path, port: int, content: bytes, connections: int, seconds: int) -> dict[str, float]:
    """What wrk measures."""
    script = folder / "post.lua"
    script.write_text(f'wrk.method="POST"\nwrk.body=[==[{content.decode()}]==]\nwrk.headers["Content-Type"]="application/json"\n')
    url = f"http://127.0.0.1:{port}/predict/{MODEL}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"the gateway refused requests:\n{out}")
    units = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    found = {name: re.search(rf"{name}%\s+([\d.]+)(us|ms|s)", out) for name in ("50", "99")}
    latencies = {f"p{name}_ms": float(match[1]) * units[match[2]] for name, match in found.items() if match}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return {"requests_per_s": float(rate[1]) if rate else 0.0, **latencies}


async def by_asyncio(port: int, content: bytes, connections: int, seconds: int) -> dict[str, float]:
    """What a client in Python measures."""
    head = f"POST /predict/{MODEL} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-length: {len(content)}\r\n\r\n".encode()
    taken: list[float] = []
    end = time.perf_counter() + seconds

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            started = time.perf_counter()
            writer.write(head + content)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer[:16]:
                raise SystemExit(f"the gateway refused a request: {answer!r}")
            size = re.search(rb"content-length: (\d+)", answer)
            await reader.readexactly(int(size[1]) if size else 0)
            taken.append((time.perf_counter() - started) * 1000)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    taken.sort()
    return {"requests_per_s": len(taken) / seconds, "p50_ms": taken[len(taken) // 2], "p99_ms": taken[int(len(taken) * 0.99)]}


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def measured(seconds: int) -> dict[str, Any]:
    """All figures."""
    results: dict[str, Any] = {"client": "wrk" if shutil.which("wrk") else "asyncio"}
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name:
        folder = Path(name)
        prepared(folder)
        gateway = subprocess.Popen([sys.executable, __file__, "--serve", name], stdout=subprocess.PIPE)
        try:
            port = int((gateway.stdout or sys.exit("no output")).readline())
            time.sleep(2)
            for rows in (1, 50):
                for connections in (1, 16):
                    before, content = cpu_s(gateway.pid), body(rows)
                    if results["client"] == "wrk":
                        found = by_wrk(folder, port, content, connections, seconds)
                    else:
                        found = asyncio.run(by_asyncio(port, content, connections, seconds))
                    found["cpu_ms_per_request"] = (cpu_s(gateway.pid) - before) * 1000 / max(1.0, found["requests_per_s"] * seconds)
                    results[f"rows_{rows}_connections_{connections}"] = {key: round(value, 3) for key, value in found.items()}
                    print(rows, connections, results[f"rows_{rows}_connections_{connections}"], flush=True)
            status = Path(f"/proc/{gateway.pid}/status").read_text()
            results["rss_mib"] = int(status.partition("VmRSS:")[2].split()[0]) // 1024
        finally:
            gateway.terminate()
            gateway.wait()
    return results


def main() -> None:
    """Measures and prints, or serves for a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    results = measured(given.seconds)
    print(msgspec.json.format(msgspec.json.encode(results)).decode())
    if given.out:
        given.out.write_bytes(msgspec.json.encode(results))


if __name__ == "__main__":
    main()

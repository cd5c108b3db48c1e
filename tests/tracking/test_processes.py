"""Servers as processes: several of them over one database lose nothing, and a killed one loses nothing that it answered."""

import contextlib
import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.tracking.plain import PLAIN

API = "/api/2.0/mlflow/"
WRITERS = 8
ROUNDS = 12
ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def server_process(database_url: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server over the database while the block runs, and its address."""
    command = [sys.executable, "-m", "tests.tracking.serving", database_url, f"file://{folder / 'blobs'}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def client_of(url: str) -> httpx.Client:
    """A client of the server."""
    return httpx.Client(base_url=url, verify=PLAIN, trust_env=False, timeout=60)


def post(client: httpx.Client, path: str, body: Any) -> Any:
    """What a call answers."""
    answer = client.post(API + path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def new_run(client: httpx.Client) -> str:
    """The id of a new run."""
    return str(post(client, "runs/create", {"experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"])


def values(client: httpx.Client, run_id: str, key: str) -> list[float]:
    """The values of a metric."""
    answer = client.get(f"{API}metrics/get-history", params={"run_id": run_id, "metric_key": key})
    return [one["value"] for one in answer.json().get("metrics", [])]


def written(url: str, writer: int, runs: list[str]) -> None:
    """One writer's share: points one by one and in batches, a param of its own, a tag that all of them write."""
    with client_of(url) as client:
        for n in range(ROUNDS):
            value = writer * 1000 + n
            body = {"run_id": runs[n % len(runs)], "key": "shared", "value": value, "timestamp": value, "step": n}
            post(client, "runs/log-metric", body)
            points = [{"key": f"k{k}", "value": value, "timestamp": value, "step": k} for k in range(5)]
            params = [{"key": f"p{writer}", "value": "x"}] if n == 0 else []
            post(
                client,
                "runs/log-batch",
                {"run_id": runs[0], "metrics": points, "params": params, "tags": [{"key": "t", "value": str(value)}]},
            )


def test_writers_through_two_servers_lose_nothing(database_url: str, tmp_path: Path) -> None:
    with server_process(database_url, tmp_path) as (_, one), server_process(database_url, tmp_path) as (_, other), client_of(one) as client:
        runs = [new_run(client) for _ in range(3)]
        with ThreadPoolExecutor(WRITERS) as pool:
            for done in [pool.submit(written, (one, other)[n % 2], n, runs) for n in range(WRITERS)]:
                done.result()
        expected = {float(writer * 1000 + n) for writer in range(WRITERS) for n in range(ROUNDS)}
        assert sorted(itertools.chain.from_iterable(values(client, run, "shared") for run in runs)) == sorted(expected)
        for k in range(5):
            assert sorted(values(client, runs[0], f"k{k}")) == sorted(expected)
        run = client.get(f"{API}runs/get", params={"run_id": runs[0]}).json()["run"]
        latest = {m["key"]: m["value"] for m in run["data"]["metrics"]}
        assert latest["k0"] == max(expected)
        assert {p["key"] for p in run["data"]["params"]} == {f"p{n}" for n in range(WRITERS)}


def test_a_killed_server_loses_no_point_that_it_answered(database_url: str, tmp_path: Path) -> None:
    answered: list[tuple[str, float]] = []
    enough = threading.Event()

    def write_until_it_dies(url: str, run: str, writer: int) -> None:
        with client_of(url) as client, contextlib.suppress(httpx.TransportError):
            for n in itertools.count():
                value = float(writer * 1_000_000 + n)
                metrics = [{"key": f"m{k}", "value": value, "timestamp": n, "step": n} for k in range(3)]
                post(client, "runs/log-batch", {"run_id": run, "metrics": metrics})
                answered.append((run, value))
                if len(answered) >= 120:
                    enough.set()

    with server_process(database_url, tmp_path) as (process, url), client_of(url) as client:
        runs = [new_run(client) for _ in range(2)]
        with ThreadPoolExecutor(WRITERS) as pool:
            writers = [pool.submit(write_until_it_dies, url, runs[n % 2], n) for n in range(WRITERS)]
            enough.wait(60)
            process.kill()
            for writer in writers:
                writer.result()
    with server_process(database_url, tmp_path) as (_, url), client_of(url) as client:
        for run, k in itertools.product(runs, range(3)):
            stored = set(values(client, run, f"m{k}"))
            assert {value for owner, value in answered if owner == run} <= stored

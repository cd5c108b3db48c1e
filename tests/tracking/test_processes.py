"""Servers as processes: sixteen that write to several of them lose and reorder nothing, and a killed one loses nothing that it answered."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.serving.world import until
from tests.tracking.plain import PLAIN
from tests.tracking.writing import API, KEYS

WRITERS = 16
ROUNDS = 12
ENOUGH = 120
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


@contextlib.contextmanager
def writers(urls: Sequence[str], folder: Path, runs: Sequence[str], rounds: int) -> Iterator[None]:
    """Sixteen processes that write through the servers; at the block's end each has done its rounds, or lost its server."""
    script = str(Path(__file__).with_name("writing.py"))
    started = []
    for n in range(WRITERS):
        words = [urls[n % len(urls)], str(n), str(rounds), str(folder / f"acknowledged-{n}"), *runs]
        started.append(subprocess.Popen([sys.executable, "-S", script, *words], stderr=subprocess.PIPE, text=True))
    try:
        yield
        for process in started:
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0, said
    finally:
        for process in started:
            process.kill()


def acknowledged(folder: Path) -> list[float]:
    """Every value of which a writer knows that all its points were taken, as they are ordered in time."""
    known = {n: folder / f"acknowledged-{n}" for n in range(WRITERS)}
    rounds = {n: path.read_text().count("\n") if path.exists() else 0 for n, path in known.items()}
    return [float(writer * 1_000_000 + n) for writer in range(WRITERS) for n in range(rounds[writer])]


def client_of(url: str) -> httpx.Client:
    """A client of the server."""
    return httpx.Client(base_url=url, verify=PLAIN, trust_env=False, timeout=60)


def new_run(client: httpx.Client) -> str:
    """The id of a new run."""
    answer = client.post(API + "runs/create", json={"experiment_id": "0", "start_time": 1})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run"]["info"]["run_id"])


def values(client: httpx.Client, run_id: str, key: str) -> list[Any]:
    """The values of a metric, in the order of its history."""
    answer = client.get(f"{API}metrics/get-history", params={"run_id": run_id, "metric_key": key})
    return [one["value"] for one in answer.json().get("metrics", [])]


def test_sixteen_writers_through_two_servers_lose_and_reorder_nothing(database_url: str, tmp_path: Path) -> None:
    with server_process(database_url, tmp_path) as (_, one), server_process(database_url, tmp_path) as (_, other), client_of(one) as client:
        runs = [new_run(client) for _ in range(3)]
        with writers((one, other), tmp_path, runs, ROUNDS):
            pass
        expected = acknowledged(tmp_path)
        assert len(expected) == WRITERS * ROUNDS
        for place, run in enumerate(runs):
            assert values(client, run, "shared") == [value for value in expected if value % 1_000_000 % len(runs) == place]
        for k in range(KEYS):
            assert values(client, runs[0], f"k{k}") == expected
        run = client.get(f"{API}runs/get", params={"run_id": runs[0]}).json()["run"]
        latest = {m["key"]: m["value"] for m in run["data"]["metrics"]}
        assert latest["k0"] == max(expected)
        assert {p["key"] for p in run["data"]["params"]} == {f"p{n}" for n in range(WRITERS)}


def test_a_server_killed_under_sixteen_writers_loses_no_point_that_it_answered(database_url: str, tmp_path: Path) -> None:
    with server_process(database_url, tmp_path) as (process, url), client_of(url) as client:
        runs = [new_run(client)]
        with writers([url], tmp_path, runs, 10**6):
            until(lambda: len(acknowledged(tmp_path)) >= ENOUGH, 60)
            process.kill()
    answered = acknowledged(tmp_path)
    assert len(answered) >= ENOUGH
    with server_process(database_url, tmp_path) as (_, url), client_of(url) as client:
        for key in ("shared", *(f"k{k}" for k in range(KEYS))):
            stored = values(client, runs[0], key)
            assert set(answered) <= set(stored)
            assert stored == sorted(set(stored))

"""Buckets on a real Ray cluster of two nodes, one of which is killed midway: the answers are those of this process."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from modelyard.features.domain import Aggregate, Entity, FeatureView, Parquet
from modelyard.features.join import Questions
from modelyard.features.stored import Histories, states
from modelyard.features.stored import histories as module
from modelyard.features.stored.answers import BucketTask, bucket_answers
from modelyard.features.stored.cluster import ComputeAway, answered_on_ray
from modelyard.features.stored.wire import VERSION, OtherVersion, answered, packed, unpacked
from modelyard.storage.tables import Tables

pytest.importorskip("ray")
ROWS, ASKED = 20_000, 3_000
SOURCE = Parquet("rows.parquet", "at")
PLAIN = FeatureView("plain", Entity("who", dtype="int64"), SOURCE, features={"x": "float64", "word": "string"}, ttl="2h")
WINDOWS = FeatureView(
    "windows", Entity("who", dtype="int64"), SOURCE, aggregate=[Aggregate("x", ["mean", "max"], dtype="float64")], windows=["10m", "1h"]
)


@pytest.fixture
def nodes() -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the cluster, and loses a node at each line that it is given."""
    words = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    script = Path(__file__).with_name("ray_nodes.py")
    process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=words)
    try:
        yield process
    finally:
        process.communicate()


def test_buckets_on_two_nodes_answer_as_here_though_one_is_killed_midway(
    nodes: "subprocess.Popen[str]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random: np.random.Generator
) -> None:
    monkeypatch.setattr(states, "BUCKET_BYTES", 2**15)
    at = random.integers(0, 86_400_000_000, ROWS)
    rows = pl.DataFrame({"who": random.integers(0, 500, ROWS), "at": at, "x": random.normal(size=ROWS)})
    rows = rows.with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")), word=pl.col("who").cast(pl.String))
    rows.write_parquet(tmp_path / "rows.parquet")
    asked = Questions.of(pl.DataFrame({"who": random.integers(0, 520, ASKED)}), random.integers(0, 86_400_000_000, ASKED))
    tables = Tables.open(f"file://{tmp_path / 'tables'}")
    here = Histories(tables).answered(WINDOWS, list(WINDOWS.names), asked, tmp_path)[0]
    assert nodes.stdin is not None
    assert nodes.stdout is not None
    address = nodes.stdout.readline().strip()
    lost: list[str] = []

    def killing(tasks: Iterable[BucketTask], where: str) -> Iterator[pl.DataFrame]:
        for number, answer in enumerate(answered_on_ray(tasks, where)):
            if number == 1 and not lost:
                nodes.stdin.write("\n")  # type: ignore[union-attr]  # a pipe was asked for
                nodes.stdin.flush()  # type: ignore[union-attr]
                lost.append(nodes.stdout.readline())  # type: ignore[union-attr]
            yield answer

    monkeypatch.setattr(module, "answered_on_ray", killing)
    there = Histories(tables, compute="ray", ray=address)
    assert there.answered(WINDOWS, list(WINDOWS.names), asked, tmp_path)[0].equals(here)
    assert lost == ["lost\n"]


def test_what_travels_is_the_task_and_its_answers(tmp_path: Path) -> None:
    keys = pl.DataFrame({"who": pl.Series([1, None], dtype=pl.Int64)})
    task = BucketTask(PLAIN, {"word": pl.String(), "x": pl.Float64()}, (), keys, np.array([5, 7]), np.array([5, 6]), {"a": "b"})
    found = unpacked(packed(task))
    assert (found.view, found.wanted, found.files, found.options) == (task.view, task.wanted, (), task.options)
    assert found.keys.equals(keys)
    assert (found.at.tolist(), found.seen_at.tolist()) == ([5, 7], [5, 6])
    assert pl.read_ipc(answered(packed(task))).equals(bucket_answers(task))
    with pytest.raises(OtherVersion, match="this node has Modelyard"):
        unpacked(packed(task).replace(VERSION.encode(), b"9.9.9"))


def test_a_cluster_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ComputeAway, match=r"features\.ray is empty"):
        next(answered_on_ray([], ""))
    with pytest.raises(ComputeAway, match=r"127\.0\.0\.1:1 has not answered"):
        next(answered_on_ray([], "127.0.0.1:1"))

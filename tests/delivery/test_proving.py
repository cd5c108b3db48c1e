"""A registered version is proven by real artifacts: equal to its evaluation, alone as in a batch, and in numbers."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lightgbm
import msgspec
import numpy as np
import polars as pl
import pytest

from modelyard.delivery.domain import DeliveryState, Facts, StageName
from modelyard.delivery.machine import Done, Outcome, Stopped
from modelyard.delivery.stages.learning import SCORE, Vector, scored
from modelyard.delivery.stages.proving import MOST_BATCH_DIFFERENCE, stage
from modelyard.delivery.stages.splitting import AS_OF, cut_by_time
from modelyard.delivery.stages.yard import Job, Yard, put_frame
from modelyard.registry.artifacts import put_folder
from modelyard.registry.domain import Column, Output, Signature
from modelyard.registry.formats import save
from tests.delivery.rolling import job_of, with_facts

onnx: Any = pytest.importorskip("onnx")

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
SIGNATURE = Signature(inputs=(Column(name="wind", dtype="float64"), Column(name="distance", dtype="float64")), output=Output())
ROWS = 1000
Node = tuple[str, list[str], str, dict[str, Any]]
MEAN: Node = ("ReduceMean", ["x"], "mean", {"axes": [1]})
OF_ALL: Node = ("ReduceMean", ["mean"], "all", {"axes": [0]})
LESS: Node = ("Sub", ["mean", "all"], "less", {})


def rows() -> pl.DataFrame:
    """Invented rows, one a minute."""
    random, start = np.random.default_rng(1), datetime(2026, 1, 1, tzinfo=UTC)
    at = pl.Series(AS_OF, [start + timedelta(minutes=minute) for minute in range(ROWS)], dtype=pl.Datetime("us", "UTC"))
    return pl.DataFrame({AS_OF: at, "wind": random.gamma(2, 5, ROWS), "distance": random.uniform(80, 2500, ROWS)})


def trees() -> lightgbm.Booster:
    """A small LightGBM model of a quantity in the thousands."""
    matrix = rows().drop(AS_OF).to_numpy()
    data = lightgbm.Dataset(matrix, matrix[:, 0] * matrix[:, 1], params={"verbose": -1})
    return lightgbm.train({"objective": "regression", "verbose": -1, "num_threads": 1}, data, 5)


def graph(*nodes: Node) -> bytes:
    """An ONNX model of these nodes, from `x` of the shape (rows, 2) to `y`."""
    made = [onnx.helper.make_node(kind, given, [gives], **words) for kind, given, gives, words in nodes]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [None, width]) for name, width in (("x", 2), ("y", 1))]
    built = onnx.helper.make_graph(made, "g", ends[:1], ends[1:])
    return bytes(onnx.helper.make_model(built, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8).SerializeToString())


def less_the_batch() -> bytes:
    """A model whose answer to a row depends on the rows beside it."""
    return graph(MEAN, OF_ALL, ("Sub", ["mean", "all"], "y", {}))


def no_number() -> bytes:
    """A model that answers with no number."""
    return graph(MEAN, ("Neg", ["mean"], "less", {}), ("Log", ["less"], "y", {}))


def no_number_alone() -> bytes:
    """A model that answers with no number to a row alone: it divides by what the batch spreads."""
    return graph(MEAN, OF_ALL, LESS, ("ReduceL2", ["less"], "spread", {"axes": [0]}), ("Div", ["mean", "spread"], "y", {}))


def proven(yard: Yard, folder: Path, model: Any, recorded: Callable[[Vector], Vector] = lambda answers: answers) -> Outcome:
    """What the stage says to a saved model; `recorded` makes what the evaluation is said to have found of what it answers."""
    save(model, folder, SIGNATURE)
    artifact, _ = put_folder(yard.blobs, folder)
    file = put_frame(yard.blobs, rows())
    trained: Facts = {"artifact": artifact, "signature": msgspec.to_builtins(SIGNATURE)}
    job = with_facts(job_of(1, {}), {StageName.SNAPSHOT: {"file": file}, StageName.TRAIN: trained})
    _, later = cut_by_time(rows(), job.declaration.holdout)
    scores = pl.DataFrame({SCORE: recorded(scored(yard, job, later))})
    return stage(yard, evaluated_as(yard, job, scores))


def evaluated_as(yard: Yard, job: Job, scores: pl.DataFrame) -> Job:
    """The job with those answers recorded at its evaluation."""
    return with_facts(job, {StageName.EVALUATE: {"scores": put_frame(yard.blobs, scores)}})


def test_a_version_that_answers_as_it_was_evaluated_is_proven(yard: Yard, tmp_path: Path) -> None:
    found = proven(yard, tmp_path / "model", trees())
    assert isinstance(found, Done)
    assert (found.facts["rows"], found.facts["different"], found.facts["largest"], found.facts["from_evaluation"]) == (200, 0, 0.0, 0.0)
    assert found.facts["allowed"] > 1000 * MOST_BATCH_DIFFERENCE


@pytest.mark.parametrize("wrong", [1e-3, float("nan"), float("inf")])
def test_a_version_that_answers_otherwise_than_when_it_was_evaluated_is_refused(yard: Yard, tmp_path: Path, wrong: float) -> None:
    def recorded(answers: Vector) -> Vector:
        return np.where(np.arange(answers.size) == 17, answers * (1 + wrong), answers)

    found = proven(yard, tmp_path / "model", trees(), recorded)
    assert isinstance(found, Stopped)
    assert (found.state, "differ from the evaluation's" in found.reason) == (DeliveryState.REFUSED, True)
    assert found.facts["largest"] == 0.0


def test_a_difference_within_the_bound_is_recorded_and_allowed(yard: Yard, tmp_path: Path) -> None:
    found = proven(yard, tmp_path / "model", trees(), lambda answers: answers * (1 + MOST_BATCH_DIFFERENCE / 2))
    assert isinstance(found, Done)
    assert 0.0 < found.facts["from_evaluation"] <= found.facts["allowed"]


def test_a_version_whose_answer_depends_on_the_rows_beside_it_is_refused(yard: Yard, tmp_path: Path) -> None:
    found = proven(yard, tmp_path / "model", less_the_batch())
    assert isinstance(found, Stopped)
    assert (found.state, "alone and in a batch" in found.reason) == (DeliveryState.REFUSED, True)
    assert found.facts["largest"] > found.facts["allowed"]


@pytest.mark.parametrize("model", [no_number, no_number_alone])
def test_a_version_that_answers_with_no_number_is_refused(yard: Yard, tmp_path: Path, model: Callable[[], bytes]) -> None:
    found = proven(yard, tmp_path / "model", model())
    assert isinstance(found, Stopped)
    assert (found.state, "no number" in found.reason) == (DeliveryState.REFUSED, True)

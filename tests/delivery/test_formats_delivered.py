"""Models of formats other than LightGBM's go through a delivery for real: trained in a child, evaluated, registered, proven."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest
from modelyard.delivery.children import ChildLimits
from modelyard.delivery.domain import DeliveryDetail, StageName, TrainingFailed
from modelyard.delivery.environments import Build, Environment, built_environment, child_words
from modelyard.delivery.sources import own_package
from modelyard.delivery.stages.artifacts import fetched
from modelyard.delivery.stages.splitting import cut_by_time
from modelyard.delivery.stages.yard import get_frame
from modelyard.delivery.training import Lesson, trained
from modelyard.registry.domain import Column, Format, ModelName, Signature
from modelyard.registry.encoding import matrix
from modelyard.registry.formats import FILES, load, parity, read_header, require_parity
from modelyard.registry.service import show_version
from modelyard.server.installation import Installation, opened
from tests.delivery.reproducing import declared, delivered, settings_of, write_project

onnx: Any = pytest.importorskip("onnx")

MODELS = """
import json
import os
import random
import numpy as np
import polars as pl
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from modelyard import Entity, FeatureView, Parquet, model, numbers, rows

airport = Entity("origin")
weather = FeatureView("weather", airport, Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")
shared = dict(owner="ops", risk="minimal", purpose="Warn of late flights.", features=[weather], as_of="2h before scheduled_at",
              rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), label="late")

@model(**shared, request={"distance": pl.Int64})
def forest(rows):
    x = numbers(rows.drop("late"))
    estimator = RandomForestClassifier(n_estimators=20, max_depth=6, random_state=1, n_jobs=1).fit(x, rows["late"].to_numpy())
    found = to_onnx(estimator, x.astype(np.float32), options={id(estimator): {"zipmap": False}})
    told = found.metadata_props.add()
    told.key, told.value = "answered", json.dumps([x.tolist(), estimator.predict_proba(x)[:, 1].tolist()])
    return found

@model(**shared, request={"distance": pl.Int64, "seats": pl.Float64})
def imputed(rows):
    assert rows["seats"].null_count() > 0
    steps = SimpleImputer(add_indicator=True), LogisticRegression(max_iter=1000)
    return make_pipeline(*steps).fit(numbers(rows.drop("late")), rows["late"].to_numpy())

def told(rows):
    words = {name: os.environ.get(name) for name in os.environ}
    drawn = [random.random(), float(np.random.random()), hash("a")]
    raise RuntimeError("told:" + json.dumps({"words": words, "drawn": drawn, "polars": pl.thread_pool_size()}) + ":end")
"""
PACKAGES = ("scikit-learn", "skops", "skl2onnx", "onnxruntime")
MOST_DIFFERENCE = 1e-5
"""How far a converted model may be from the trained one: it answers in float32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder."""
    made = tmp_path_factory.mktemp("mine")
    write_project(made, MODELS, PACKAGES)
    return made


@pytest.fixture(scope="module")
def mine(folder: Path) -> Iterator[Installation]:
    """The project's installation, with its models declared."""
    with opened(settings_of(folder)) as installation:
        declared(installation, folder)
        yield installation


@pytest.mark.parametrize(("name", "kind"), [("forest", Format.ONNX), ("imputed", Format.SKOPS)])
def test_a_model_of_the_format_is_delivered_and_proven(mine: Installation, name: str, kind: Format) -> None:
    found = delivered(mine, name, StageName.STAGE)
    with mine.database.read() as snapshot:
        version = show_version(snapshot, SYSTEM, ModelName(name), 1).version
    assert (version.format, version.artifact) == (kind, found.facts(StageName.TRAIN)["artifact"])
    assert found.facts(StageName.EVALUATE)["metrics"]["roc_auc"] > 0.7
    proof = found.facts(StageName.STAGE)
    assert proof["rows"] == found.facts(StageName.EVALUATE)["rows"] == 400
    assert max(proof["largest"], proof["from_evaluation"]) <= proof["allowed"]
    assert kind is not Format.ONNX or proof["different"] == 0  # trees: the same bits alone and in a batch
    if kind is Format.ONNX:
        check_parity(mine, found)


def check_parity(mine: Installation, found: DeliveryDetail) -> None:
    """The gateway's predictor answers the rows that were learned from as the model did in its training process."""
    learned, _ = cut_by_time(get_frame(mine.blobs, found.facts(StageName.SNAPSHOT)["file"]), 0.2)
    with fetched(mine.blobs, Digest(found.facts(StageName.TRAIN)["artifact"])) as folder:
        signature = read_header(folder).signature
        rows = matrix({name: learned[name] for name in signature.names}, signature)
        (told,) = onnx.load(folder / FILES[Format.ONNX]).metadata_props
        seen, answered = map(np.array, json.loads(told.value))
        assert np.array_equal(seen, rows)

        class Trained:
            def predict(self, matrix: Any) -> Any:
                return answered

        require_parity(parity(Trained(), load(folder), rows), most_difference=MOST_DIFFERENCE)


def asked(environment: Environment, folder: Path, scratch: Path, seed: int, threads: int) -> dict[str, Any]:
    """What a training function says of its process."""
    rows = pl.DataFrame({"distance": [1.0, 2.0], "late": [0, 1]})
    signature = Signature(inputs=(Column(name="distance", dtype="float64"),))
    lesson = Lesson(function="models:told", rows=rows, signature=signature, parameters={}, seed=seed, threads=threads)
    with pytest.raises(TrainingFailed) as caught:
        trained(environment, folder, lesson, scratch / "model", ChildLimits(timeout_s=60.0, beat=lambda: None))
    found: dict[str, Any] = json.loads(caught.value.message.partition("told:")[2].partition(":end")[0])
    return found


def test_training_runs_with_pinned_threads_and_draws_and_without_the_workers_secrets(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = built_environment(Build(root=folder / ".yard" / "environments", beat=lambda: None), folder, own_package())
    for name in ("AWS_SECRET_ACCESS_KEY", "MODELYARD_DATABASE_URL", "PYTHONSTARTUP", "LD_PRELOAD_OF_MINE"):
        monkeypatch.setenv(name, "planted")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    first, again, other = (asked(environment, folder, tmp_path, seed, threads) for seed, threads in ((5, 2), (5, 2), (6, 3)))
    words = first["words"]
    assert "planted" not in words.values()
    pinned = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    assert [words[name] for name in pinned] == ["2"] * 4
    assert (words["PYTHONHASHSEED"], words["OMP_WAIT_POLICY"], first["polars"]) == ("0", "passive", 2)
    assert set(child_words(environment, 2)) <= set(words)
    assert first["drawn"] == again["drawn"]
    assert first["drawn"][:2] != other["drawn"][:2]
    assert (other["words"]["OMP_NUM_THREADS"], other["polars"], other["drawn"][2]) == ("3", 3, first["drawn"][2])

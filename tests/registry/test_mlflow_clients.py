"""Clients of several frameworks and ages: autologging as each framework does it, a client of a year ago, large artifacts both ways."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from uv import find_uv_bin

from modelyard.registry.wire.app import registry_routes
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.app import mlflow_app
from tests.tracking.conftest import authenticate, served

mlflow: Any = pytest.importorskip("mlflow")
LAST_YEARS = "mlflow-skinny==3.6.0"
ROWS = np.random.default_rng(5).normal(size=(80, 3))
LABELS = (ROWS[:, 0] + 0.1 * ROWS[:, 1] > 0).astype(int)

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    # The frameworks and MLflow warn about each other's and their own next releases.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def url(database: Database, tmp_path: Path) -> Iterator[str]:
    """The address of a server with tracking and registry."""
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    app = mlflow_app(database, blobs, authenticate, registry_routes(database, blobs))
    with served(app) as address:
        yield address
    app.close()


@pytest.fixture
def client(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """MLflow set to the server, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT", "1")
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    mlflow.set_experiment("autologged")
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_registry_uri(None)
    mlflow.set_tracking_uri(None)


def autologged(client: Any, flavor: str, train: Any, **settings: Any) -> Any:
    """The one run that a training logs by itself once autologging of its framework is on."""
    module: Any = importlib.import_module(f"mlflow.{flavor}")
    module.autolog(log_models=True, **settings)
    try:
        train()
    finally:
        module.autolog(disable=True)
    (run,) = client.search_runs([mlflow.get_experiment_by_name("autologged").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.outputs.model_outputs, "autologging kept no model"
    version = mlflow.register_model(f"models:/{run.outputs.model_outputs[0].model_id}", f"by {flavor}")
    assert (version.run_id, version.status) == (run.info.run_id, "READY")
    return run


def test_scikit_learn_logs_by_itself(client: Any) -> None:
    linear: Any = pytest.importorskip("sklearn.linear_model")
    run = autologged(client, "sklearn", lambda: linear.LogisticRegression(C=0.5).fit(ROWS, LABELS), serialization_format="skops")
    assert (run.data.params["C"], run.data.tags["estimator_name"]) == ("0.5", "LogisticRegression")
    assert run.data.metrics["training_accuracy_score"] > 0.9
    assert mlflow.sklearn.load_model("models:/by sklearn/1").predict(ROWS).shape == (80,)


def test_lightgbm_logs_by_itself(client: Any) -> None:
    lightgbm: Any = pytest.importorskip("lightgbm")
    data = lightgbm.Dataset(ROWS, LABELS)
    settings = {"objective": "binary", "num_leaves": 4, "verbose": -1, "num_threads": 1}
    run = autologged(client, "lightgbm", lambda: lightgbm.train(settings, data, 5, valid_sets=[data], valid_names=["train"]))
    assert run.data.params["num_leaves"] == "4"
    points = client.get_metric_history(run.info.run_id, "train-binary_logloss")
    assert [point.step for point in points] == list(range(5))
    assert points[-1].value < points[0].value
    assert mlflow.lightgbm.load_model("models:/by lightgbm/1").predict(ROWS).shape == (80,)


def test_xgboost_logs_by_itself(client: Any) -> None:
    xgboost: Any = pytest.importorskip("xgboost")
    data = xgboost.DMatrix(ROWS, LABELS)
    settings = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
    run = autologged(client, "xgboost", lambda: xgboost.train(settings, data, 5, evals=[(data, "train")], verbose_eval=False))
    assert run.data.params["max_depth"] == "2"
    assert len(client.get_metric_history(run.info.run_id, "train-logloss")) == 5
    assert mlflow.xgboost.load_model("models:/by xgboost/1").predict(data).shape == (80,)


def test_lightning_logs_by_itself(client: Any) -> None:
    torch: Any = pytest.importorskip("torch")
    lightning: Any = pytest.importorskip("lightning")

    class Linear(lightning.LightningModule):  # type: ignore[misc] # Lightning is there in some environments only
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch: Any, _: int) -> Any:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(self.layer(batch[0]).squeeze(-1), batch[1])
            self.log("loss", loss, on_epoch=True, on_step=False)
            return loss

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=0.1)

    data = torch.utils.data.TensorDataset(torch.tensor(ROWS, dtype=torch.float32), torch.tensor(LABELS, dtype=torch.float32))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = lightning.Trainer(max_epochs=4, accelerator="cpu", **quiet)
    run = autologged(client, "pytorch", lambda: trainer.fit(Linear(), torch.utils.data.DataLoader(data, batch_size=20)))
    losses = [point.value for point in client.get_metric_history(run.info.run_id, "loss")]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert (run.data.params["epochs"], run.data.params["optimizer_name"]) == ("4", "Adam")


@pytest.fixture(scope="module")
def last_year(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own with the MLflow of a year ago; what was downloaded for it once lies in uv's cache."""
    folder = tmp_path_factory.mktemp("last-year") / "env"
    python = folder / "bin/python"
    for words in (("venv", "--python", sys.executable, folder), ("pip", "install", "--python", python, LAST_YEARS, "numpy", "pandas")):
        done = subprocess.run([find_uv_bin(), *map(str, words), "--quiet"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python


def test_a_client_of_a_year_ago_works_as_it_did(url: str, last_year: Path, tmp_path: Path) -> None:
    seen = tmp_path / "seen.json"
    script = Path(__file__).with_name("last_year.py")
    # MLFLOW_TRACKING_URI and the like are set by the client in this process.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    words = {**inherited, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "GIT_PYTHON_REFRESH": "quiet"}
    done = subprocess.run([last_year, script, url, seen], cwd=tmp_path, env=words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(seen.read_text("utf-8")) == {
        "version": "3.6.0",
        "found": ["parent"],
        "children": ["child"],
        "losses": [1.0, 0.5, 1 / 3, 0.25, 0.2],
        "artifacts": ["config", "data", "notes.txt"],
        "same": True,
        "predicted": [2.0, 5.0],
        "by_number": [6.0],
        "copied": [8.0],
        "versions": [["doubled", "1", "None", {"checked": "yes"}]],
        "aliases": {"champion": "1"},
    }


def test_a_large_artifact_goes_up_and_down_whole(client: Any, tmp_path: Path) -> None:
    size = 64 * 2**20
    up = tmp_path / "weights.bin"
    up.write_bytes(np.random.default_rng(7).bytes(size))
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(up), "model")
        mlflow.log_text("flavors: {}", "model/MLmodel")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "large")
    assert version.status == "READY"
    (down,) = Path(mlflow.artifacts.download_artifacts("models:/large/1", dst_path=str(tmp_path / "down"))).rglob("*.bin")
    assert down.stat().st_size == size
    with up.open("rb") as one, down.open("rb") as other:
        assert all(part == other.read(2**20) for part in iter(lambda: one.read(2**20), b""))

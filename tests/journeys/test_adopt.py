"""From a script that tracks its training to an answer from the gateway: `yard adopt` and `yard ship`, and nothing edited."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.journeys.project import Mine

COUNT = 2000
OURS = """
import polars as pl
from lightgbm import LGBMClassifier
import modelyard

rows = pl.read_parquet("parcels.parquet")
estimator = LGBMClassifier(n_estimators=12, num_leaves=9, verbose=-1)
with modelyard.start(experiment="Late Parcels", quiet=True, tags={"mlflow.note.content": "Warn of parcels that come late."}) as run:
    run.log_dataset(rows, name="parcels", path="parcels.parquet", target="late")
    run.log_estimator(estimator)
    numbers = rows.select("distance", "weekday").to_numpy()
    run.log({"train_accuracy": estimator.fit(numbers, rows["late"].to_numpy()).score(numbers, rows["late"].to_numpy())})
print(run.id)
"""
MLFLOWS = """
import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

mlflow.set_experiment("arrivals")
mlflow.sklearn.autolog(log_datasets=False)
frame = pd.read_csv("parcels.csv")
with mlflow.start_run() as run:
    mlflow.log_input(mlflow.data.from_pandas(frame, source="parcels.csv", targets="late"), context="training")
    make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(frame[["distance", "weekday"]], frame["late"])
print(run.info.run_id)
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mine]:
    """A folder with rows and scripts, and `yard up` on it until the tests end."""
    folder = tmp_path_factory.mktemp("notebooks")
    random = np.random.default_rng(5)
    distance, weekday = random.uniform(1, 900, COUNT), random.integers(1, 8, COUNT)
    late = (random.random(COUNT) < 1 / (1 + np.exp(-(distance - 450) / 120))).astype(int)
    hub = random.choice(["north", "south"], COUNT)
    frame = pl.DataFrame({"distance": distance, "weekday": weekday, "hub": hub, "late": late})
    frame.write_parquet(folder / "parcels.parquet")
    frame.drop("hub").write_csv(folder / "parcels.csv")
    (folder / "ours.py").write_text(OURS)
    (folder / "mlflows.py").write_text(MLFLOWS)
    mine = Mine(folder)
    mine.start()
    yield mine
    mine.stop()


def tracked(mine: Mine, script: str) -> str:
    """The id of the run that a script makes."""
    words = {"MODELYARD_URL": "", "MLFLOW_TRACKING_URI": mine.url, "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1"}
    token = {"MLFLOW_TRACKING_TOKEN": (mine.folder / ".yard" / "keys" / "cli.token").read_text()}
    found = subprocess.run(
        [sys.executable, script], cwd=mine.folder, env={**os.environ, **words, **token}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return next(line for line in reversed(found.stdout.splitlines()) if len(line) == 32)


def adopted(mine: Mine, script: str, *words: str) -> Mine:
    """The project that the script's run is adopted into; its commands find the servers by the folder above."""
    found = mine.yard("adopt", tracked(mine, script), "--risk", "limited", *words)
    assert found["is_complete"], found
    project = Mine(Path(str(found["folder"])))
    project.url, project.gateway = mine.url, mine.gateway
    return project


def check_shipped(project: Mine, name: str) -> None:
    """One command ships the model, as it was written."""
    shipped = project.yard("ship", name, "--until", "roll_out")
    stages = shipped["stages"]
    assert isinstance(stages, list)
    assert {one["state"] for one in stages} == {"done", "skipped"}, shipped


def test_a_script_of_ours_becomes_a_model_that_answers_in_every_way(mine: Mine) -> None:
    project = adopted(mine, "ours.py")
    assert 'purpose="Warn of parcels that come late."' in (project.folder / "models.py").read_text()
    check_shipped(project, "late_parcels")
    near, far = ({"distance": distance, "weekday": 3, "hub": "north"} for distance in (5.0, 880.0))
    with mine.client(mine.gateway) as gateway:
        answer = gateway.post("/predict/late_parcels", json={"rows": [near, far, near]}).json()
        values = [one["value"] for one in answer["predictions"]]
        assert values[0] == values[2] < 0.5 < values[1]
        inputs = [
            {"name": "distance", "shape": [2], "datatype": "FP64", "data": [5.0, 880.0]},
            {"name": "weekday", "shape": [2], "datatype": "INT64", "data": [3, 3]},
            {"name": "hub", "shape": [2], "datatype": "BYTES", "data": ["north", "north"]},
        ]
        assert gateway.post("/v2/models/late_parcels/infer", json={"inputs": inputs}).json()["outputs"][0]["data"] == values[:2]
        assert gateway.post("/invocations/late_parcels", json={"dataframe_records": [near, far]}).json()["predictions"] == values[:2]
        labels = [{"id": one["id"], "value": late} for one, late in zip(answer["predictions"], (0, 1, 0), strict=True)]
        assert gateway.post("/labels/late_parcels", json={"labels": labels}).is_success
        assert gateway.post("/predict/late_parcels", json={"rows": [{"distance": 5.0}]}).status_code == 400
    with mine.client(mine.url) as control:
        pages = (
            "/models/late_parcels",
            "/models/late_parcels/versions/1",
            "/serving/late_parcels",
            "/monitoring/late_parcels",
            "/deliveries",
        )
        assert {path: control.get(path, headers={"Accept": "text/html"}).status_code for path in pages} == dict.fromkeys(pages, 200)
    assert project.yard("trace", f"late_parcels/{answer['predictions'][0]['id']}") or True


def test_a_script_of_mlflows_joins_the_project_and_answers(mine: Mine) -> None:
    project = adopted(mine, "mlflows.py", "--dir", "late_parcels")
    check_shipped(project, "arrivals")
    with mine.client(mine.gateway) as gateway:
        answer = gateway.post(
            "/predict/arrivals", json={"rows": [{"distance": 5.0, "weekday": 3}, {"distance": 880.0, "weekday": 3}]}
        ).json()
    low, high = (one["value"] for one in answer["predictions"])
    assert low < 0.2 < 0.8 < high
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=project.folder, capture_output=True, text=True, check=False
    )
    assert "2 passed" in tests.stdout, tests.stdout
    assert "error" in mine.yard("adopt", tracked(mine, "mlflows.py"), "--dir", "late_parcels", code=1)

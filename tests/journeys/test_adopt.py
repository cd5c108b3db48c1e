"""From a script that tracks its training to an answer from the gateway: `yard adopt` and `yard ship`, and nothing edited."""

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from tests.journeys.project import Mine

pytestmark = pytest.mark.xdist_group("journeys")
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


@pytest.fixture
def notebooks(mine: Mine) -> Mine:
    """The project, with rows and scripts beside it."""
    random = np.random.default_rng(5)
    distance, weekday = random.uniform(1, 900, COUNT), random.integers(1, 8, COUNT)
    late = (random.random(COUNT) < 1 / (1 + np.exp(-(distance - 450) / 120))).astype(int)
    frame = pl.DataFrame({"distance": distance, "weekday": weekday, "hub": random.choice(["north", "south"], COUNT), "late": late})
    frame.write_parquet(mine.folder / "parcels.parquet")
    frame.drop("hub").write_csv(mine.folder / "parcels.csv")
    (mine.folder / "ours.py").write_text(OURS)
    (mine.folder / "mlflows.py").write_text(MLFLOWS)
    return mine


def tracked(mine: Mine, script: str) -> str:
    """The id of the run that a script makes."""
    words = {"MODELYARD_URL": "", "MLFLOW_TRACKING_URI": mine.url, "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1"}
    token = {"MLFLOW_TRACKING_TOKEN": (mine.folder / ".yard" / "keys" / "cli.token").read_text()}
    found = subprocess.run(
        [sys.executable, script], cwd=mine.folder, env={**os.environ, **words, **token}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    return next(line for line in reversed(found.stdout.splitlines()) if len(line) == 32)


def shipped(mine: Mine, script: str, name: str) -> str:
    """Two commands take the script's run to a model that answers, nothing edited; the address of its delivery's page."""
    found = mine.yard("adopt", tracked(mine, script), "--risk", "limited")
    assert (found["is_complete"], found["model"], found["folder"]) == (True, name, str(mine.folder))
    shipped = mine.yard("ship", name, "--until", "roll_out")
    stages = shipped["stages"]
    assert isinstance(stages, list)
    assert {one["state"] for one in stages} == {"done", "skipped"}, shipped
    return f"/deliveries/{stages[0]['delivery']}"


def inputs(**columns: list[object]) -> list[dict[str, object]]:
    """Columns as the open inference protocol sends them."""
    kinds = {float: "FP64", int: "INT64", str: "BYTES"}
    return [{"name": name, "shape": [len(values)], "datatype": kinds[type(values[0])], "data": values} for name, values in columns.items()]


def test_a_script_of_ours_becomes_a_model_that_answers_in_every_way(notebooks: Mine) -> None:
    delivery = shipped(notebooks, "ours.py", "late_parcels")
    assert 'purpose="Warn of parcels that come late."' in (notebooks.folder / "models_late_parcels.py").read_text()
    near, far = ({"distance": distance, "weekday": 3, "hub": "north"} for distance in (5.0, 880.0))
    with notebooks.client(notebooks.gateway) as gateway:
        answer = gateway.post("/predict/late_parcels", json={"rows": [near, far, near]}).json()["predictions"]
        values = [one["value"] for one in answer]
        assert values[0] == values[2] < 0.5 < values[1]
        body = {"inputs": inputs(distance=[5.0, 880.0], weekday=[3, 3], hub=["north", "north"])}
        assert gateway.post("/v2/models/late_parcels/infer", json=body).json()["outputs"][0]["data"] == values[:2]
        assert gateway.post("/invocations/late_parcels", json={"dataframe_records": [near, far]}).json()["predictions"] == values[:2]
        labels = [{"id": one["id"], "value": late} for one, late in zip(answer, (0, 1, 0), strict=True)]
        assert gateway.post("/labels/late_parcels", json={"labels": labels}).is_success
        assert gateway.post("/predict/late_parcels", json={"rows": [{"distance": 5.0}]}).status_code == 400
    with notebooks.client(notebooks.url) as control:
        pages = [f"/{page}/late_parcels" for page in ("models", "serving", "monitoring")]
        found = [
            control.get(page, headers={"Accept": "text/html"}).status_code for page in (*pages, "/models/late_parcels/versions/1", delivery)
        ]
    assert found == [200] * 5
    assert "late_parcels" in str(notebooks.yard("trace", "late_parcels/1")["sentence"])


def test_a_script_of_mlflows_becomes_a_model_that_answers(notebooks: Mine) -> None:
    shipped(notebooks, "mlflows.py", "arrivals")
    with notebooks.client(notebooks.gateway) as gateway:
        rows = [{"distance": distance, "weekday": 3} for distance in (5.0, 880.0)]
        low, high = (one["value"] for one in gateway.post("/predict/arrivals", json={"rows": rows}).json()["predictions"])
    assert low < 0.2 < 0.8 < high

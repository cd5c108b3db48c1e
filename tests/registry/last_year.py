"""What a training script of a year ago does, run by that year's MLflow: prints what it saw as JSON, for the test that started it."""

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

mlflow: Any = importlib.import_module("mlflow")
pyfunc: Any = importlib.import_module("mlflow.pyfunc")


class Doubled(pyfunc.PythonModel):  # type: ignore[misc] # MLflow is not typed
    """A model that needs no framework."""

    def predict(self, context: Any, model_input: list[float], params: Any = None) -> list[float]:
        """Twice what it is given."""
        return [2 * one for one in model_input]


def tracked() -> dict[str, Any]:
    """Runs, nested ones among them, with everything that is logged to one; what a search finds of them."""
    experiment = mlflow.set_experiment("last year")
    with mlflow.start_run(run_name="parent", tags={"kind": "outer"}) as parent:
        mlflow.log_params({"lr": 0.1, "depth": 3})
        for step in range(5):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_metrics({"auc": 0.75, "f1": 0.5})
        mlflow.set_tags({"team": "default"})
        mlflow.log_dict({"a": 1}, "config/a.json")
        mlflow.log_text("words", "notes.txt")
        with mlflow.start_run(run_name="child", nested=True):
            mlflow.log_metric("auc", 0.7)
    client = mlflow.MlflowClient()
    found = client.search_runs([experiment.experiment_id], "metrics.auc > 0.72 and params.lr = '0.1'", order_by=["metrics.auc DESC"])
    children = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{parent.info.run_id}'")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "big.bin").write_bytes(bytes(range(256)) * 4096)
        client.log_artifacts(parent.info.run_id, folder, "data")
        local = mlflow.artifacts.download_artifacts(run_id=parent.info.run_id, artifact_path="data/big.bin", dst_path=folder)
        same = Path(local).read_bytes() == bytes(range(256)) * 4096
    return {
        "found": [run.info.run_name for run in found],
        "children": [run.info.run_name for run in children],
        "losses": [point.value for point in client.get_metric_history(parent.info.run_id, "loss")],
        "artifacts": sorted(one.path for one in client.list_artifacts(parent.info.run_id)),
        "same": same,
    }


def registered() -> dict[str, Any]:
    """A model that is logged, registered, given an alias, found and loaded by it."""
    with mlflow.start_run():
        info = pyfunc.log_model(name="doubled", python_model=Doubled(), pip_requirements=[], registered_model_name="doubled")
    client = mlflow.MlflowClient()
    client.set_registered_model_alias("doubled", "champion", info.registered_model_version)
    client.set_model_version_tag("doubled", "1", "checked", "yes")
    loaded = pyfunc.load_model("models:/doubled@champion")
    versions = client.search_model_versions("name = 'doubled' and tags.checked = 'yes'")
    copied = client.copy_model_version("models:/doubled@champion", "copied")
    return {
        "predicted": loaded.predict([1.0, 2.5]),
        "by_number": pyfunc.load_model("models:/doubled/1").predict([3.0]),
        "copied": pyfunc.load_model(f"models:/copied/{copied.version}").predict([4.0]),
        "versions": [[one.name, str(one.version), one.current_stage, one.tags] for one in versions],
        "aliases": client.get_registered_model("doubled").aliases,
    }


if __name__ == "__main__":
    mlflow.set_tracking_uri(sys.argv[1])
    seen = {"version": mlflow.__version__, **tracked(), **registered()}
    Path(sys.argv[2]).write_text(json.dumps(seen, default=str), encoding="utf-8")

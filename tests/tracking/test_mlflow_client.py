"""The real `mlflow` client against the server: what scripts and autologging call, over HTTP, as users have it installed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

mlflow: Any = pytest.importorskip("mlflow")
requests: Any = pytest.importorskip("requests")
sklearn_linear: Any = pytest.importorskip("sklearn.linear_model")

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    # MLflow and scikit-learn warn about each other's and their own next releases.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """MLflow set to the server, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "false")
    # Requirements are inferred by loading the model in a process of its own, which takes half a minute.
    monkeypatch.setenv("MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT", "1")
    mlflow.set_tracking_uri(server)
    mlflow.set_experiment(experiment_id="0")
    yield mlflow.MlflowClient()
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri(None)
    mlflow.sklearn.autolog(disable=True)


def test_a_script_logs_what_it_likes(client: Any) -> None:
    mlflow.set_experiment("script")
    with mlflow.start_run(run_name="outer", tags={"a": "b"}, description="said") as outer:
        mlflow.log_param("depth", 6)
        mlflow.log_params({"rate": 0.1, "name": "x"})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metrics({"loss": 0.4, "nan": float("nan"), "inf": float("inf")}, step=2)
        mlflow.set_tags({"t": "v", "gone": "x"})
        mlflow.delete_tag("gone")
        with mlflow.start_run(nested=True) as inner:
            mlflow.log_metric("z", 1)
    run = mlflow.get_run(outer.info.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.end_time >= run.info.start_time
    assert run.data.params == {"depth": "6", "rate": "0.1", "name": "x"}
    assert run.data.metrics["loss"] == 0.4
    assert np.isnan(run.data.metrics["nan"])
    assert run.data.metrics["inf"] == np.finfo(float).max
    assert run.data.tags | {"a": "b", "t": "v", "mlflow.runName": "outer", "mlflow.note.content": "said"} == run.data.tags
    assert "gone" not in run.data.tags
    assert mlflow.get_run(inner.info.run_id).data.tags["mlflow.parentRunId"] == outer.info.run_id
    assert [(m.step, m.value) for m in client.get_metric_history(outer.info.run_id, "loss")] == [(1, 0.5), (2, 0.4)]


def test_a_run_that_raises_has_failed(client: Any) -> None:
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        _ = 1 / 0
    assert mlflow.get_run(run.info.run_id).info.status == "FAILED"


def test_a_batch_of_a_thousand_is_logged(client: Any) -> None:
    run = client.create_run("0")
    metrics = [mlflow.entities.Metric("m", n / 7, n, n) for n in range(1000)]
    client.log_batch(run.info.run_id, metrics=metrics)
    history = client.get_metric_history(run.info.run_id, "m")
    assert [(m.timestamp, m.step, m.value) for m in history] == [(n, n, n / 7) for n in range(1000)]


def test_artifacts_go_up_and_come_down(client: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "sub"
    folder.mkdir(parents=True)
    (folder / "ü 100%.bin").write_bytes(bytes(range(256)) * 9000)
    figure_module: Any = pytest.importorskip("matplotlib.figure")
    with mlflow.start_run() as run:
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_dict({"a": 1}, "d.json")
        mlflow.log_figure(figure_module.Figure(), "plot.png")
        mlflow.log_artifact(str(folder / "ü 100%.bin"))
        mlflow.log_artifacts(str(tmp_path / "out"), "tree")
    run_id = run.info.run_id
    assert [one.path for one in client.list_artifacts(run_id)] == ["d.json", "notes", "plot.png", "tree", "ü 100%.bin"]
    assert [(one.path, one.is_dir) for one in client.list_artifacts(run_id, "tree")] == [("tree/sub", True)]
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/notes/a.txt") == "hello"
    assert mlflow.artifacts.load_dict(f"runs:/{run_id}/d.json") == {"a": 1}
    (tmp_path / "down").mkdir()
    down = Path(client.download_artifacts(run_id, "", str(tmp_path / "down")))
    assert (down / "tree" / "sub" / "ü 100%.bin").read_bytes() == (folder / "ü 100%.bin").read_bytes()
    repository: Any = mlflow.store.artifact.artifact_repository_registry.get_artifact_repository(run.info.artifact_uri)
    repository.delete_artifacts("tree")
    assert "tree" not in [one.path for one in client.list_artifacts(run_id)]


def test_runs_are_searched_sorted_and_paged(client: Any) -> None:
    experiment = client.create_experiment("search", tags={"x": "y"})
    for n in range(7):
        run = client.create_run(experiment, run_name=f"r{n}", start_time=n)
        client.log_batch(
            run.info.run_id,
            metrics=[mlflow.entities.Metric("m", n, 1, 0)],
            params=[mlflow.entities.Param("p", str(n % 2))],
            tags=[mlflow.entities.RunTag("t t", "even" if n % 2 == 0 else "odd")],
        )
    frame = mlflow.search_runs([experiment], "metrics.m > 1 AND params.p = '0'", order_by=["metrics.m DESC"])
    assert frame["metrics.m"].tolist() == [6.0, 4.0, 2.0]
    found = client.search_runs([experiment], "tags.`t t` LIKE 'o%'", order_by=["attributes.start_time ASC"], max_results=2)
    assert [run.info.run_name for run in found] == ["r1", "r3"]
    rest = client.search_runs([experiment], "tags.`t t` LIKE 'o%'", order_by=["attributes.start_time ASC"], page_token=found.token)
    assert [run.info.run_name for run in rest] == ["r5"]
    assert rest.token is None or rest.token == ""
    with pytest.raises(mlflow.MlflowException, match="INVALID_PARAMETER_VALUE"):
        client.search_runs([experiment], "nonsense >")
    assert [one.name for one in client.search_experiments(filter_string="name LIKE 'sea%' AND tags.x = 'y'")] == ["search"]


def test_experiments_and_runs_go_into_the_bin_and_back(client: Any) -> None:
    experiment = mlflow.create_experiment("life")
    client.rename_experiment(experiment, "renamed")
    client.set_experiment_tag(experiment, "k", "v")
    run = client.create_run(experiment)
    client.delete_run(run.info.run_id)
    with pytest.raises(mlflow.MlflowException, match="must be in the 'active' state"):
        client.log_metric(run.info.run_id, "m", 1.0)
    client.restore_run(run.info.run_id)
    client.delete_experiment(experiment)
    assert client.get_experiment_by_name("renamed").lifecycle_stage == "deleted"
    client.restore_experiment(experiment)
    assert client.get_experiment(experiment).tags == {"k": "v"}
    assert client.get_experiment_by_name("nope") is None
    client.set_terminated(run.info.run_id, "KILLED", end_time=5)
    client.update_run(run.info.run_id, name="other")
    assert (client.get_run(run.info.run_id).info.status, client.get_run(run.info.run_id).info.run_name) == ("KILLED", "other")


def test_a_changed_param_is_refused_with_mlflows_code(client: Any) -> None:
    run = client.create_run("0")
    client.log_param(run.info.run_id, "p", "1")
    client.log_param(run.info.run_id, "p", "1")
    with pytest.raises(mlflow.MlflowException, match="Changing param values is not allowed") as caught:
        client.log_param(run.info.run_id, "p", "2")
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(mlflow.MlflowException) as caught:
        client.get_run("f" * 32)
    assert caught.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_datasets_are_inputs(client: Any) -> None:
    data = mlflow.data.from_numpy(np.arange(12.0).reshape(4, 3), targets=np.array([0, 1, 0, 1]), name="four rows")
    with mlflow.start_run() as run:
        mlflow.log_input(data, context="training", tags={"a": "b"})
    found = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    assert [(one.dataset.name, one.dataset.digest) for one in found] == [("four rows", data.digest)]
    assert {tag.key: tag.value for tag in found[0].tags} == {"mlflow.data.context": "training", "a": "b"}
    assert len(mlflow.search_runs(["0"], "dataset.name = 'four rows' AND dataset.context = 'training'")) == 1


def trained() -> tuple[Any, Any]:
    """Some data and a model fitted to it."""
    rows = np.random.default_rng(3).normal(size=(60, 3))
    return rows, sklearn_linear.LogisticRegression().fit(rows, rows[:, 0] > 0)


def test_a_fit_logs_itself_and_its_model(client: Any) -> None:
    mlflow.sklearn.autolog(log_models=False)
    rows, _ = trained()
    run = mlflow.last_active_run()
    assert run.info.status == "FINISHED"
    assert run.data.params["C"] == "1.0"
    assert 0.5 < run.data.metrics["training_accuracy_score"] <= 1
    assert [one.dataset.name for one in run.inputs.dataset_inputs] == ["dataset"]
    assert "training_confusion_matrix.png" in [one.path for one in client.list_artifacts(run.info.run_id)]
    assert len(rows) == 60


def test_a_model_is_logged_searched_and_loaded(client: Any) -> None:
    rows, model = trained()
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(
            model, name="clf", pip_requirements=["scikit-learn"], input_example=rows[:2], serialization_format="skops"
        )
        mlflow.log_metric("acc", 0.9, model_id=logged.model_id)
    found = mlflow.get_logged_model(logged.model_id)
    assert (found.name, found.status, found.source_run_id) == ("clf", "READY", run.info.run_id)
    assert [(one.key, one.value) for one in found.metrics] == [("acc", 0.9)]
    assert [one.model_id for one in mlflow.get_run(run.info.run_id).outputs.model_outputs] == [logged.model_id]
    client.set_logged_model_tags(logged.model_id, {"a": "b"})
    assert [one.model_id for one in mlflow.search_logged_models(filter_string="metrics.acc > 0.5", output_format="list")] == [
        logged.model_id
    ]
    loaded = mlflow.sklearn.load_model(f"models:/{logged.model_id}")
    assert loaded.predict(rows).tolist() == model.predict(rows).tolist()
    client.delete_logged_model(logged.model_id)
    with pytest.raises(mlflow.MlflowException, match="not found"):
        mlflow.get_logged_model(logged.model_id)


def test_text_tables_images_and_figures_are_logged_and_read_again(client: Any, tmp_path: Path) -> None:
    with mlflow.start_run() as run:
        run_id = run.info.run_id
        client.log_text(run_id, "hello", "n/a.txt")
        client.log_dict(run_id, {"a": [1, None]}, "d.yaml")
        client.log_table(run_id, {"x": [1, 2], "y": ["a", "b"]}, "t.json")
        client.log_table(run_id, {"x": [3], "y": ["c"]}, "t.json")
        client.log_image(run_id, np.zeros((4, 5, 3), np.uint8), "plain.png")
        mlflow.log_image(np.full((6, 6, 3), 9, np.uint8), key="dog", step=20, timestamp=100, synchronous=True)
        (tmp_path / "file").write_bytes(b"bytes")
        client.log_artifact(run_id, str(tmp_path / "file"), "n")
    assert mlflow.load_table("t.json", run_ids=[run_id])["x"].tolist() == [1, 2, 3]
    assert json.loads(client.get_run(run_id).data.tags["mlflow.loggedArtifacts"]) == [{"path": "t.json", "type": "table"}]
    assert mlflow.artifacts.load_image(f"runs:/{run_id}/plain.png").size == (5, 4)
    images = [one.path for one in client.list_artifacts(run_id, "images")]
    assert {path.rpartition(".")[2] for path in images} == {"png", "webp"}
    assert all(path.startswith("images/dog+step+20+timestamp+100") for path in images)
    for wanted, down in (("", "all"), (".", "dot"), ("n", "folder")):
        (tmp_path / down).mkdir()
        where = Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=wanted, dst_path=str(tmp_path / down)))
        assert (where / ("a.txt" if wanted == "n" else "n/a.txt")).read_text() == "hello"
    assert client.list_artifacts(run_id, "n/a.txt") == []
    with pytest.raises(requests.HTTPError, match="Invalid path"):
        client.list_artifacts(run_id, "../n")


def test_a_large_file_goes_up_in_parts_and_comes_down_whole(client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(20 << 20))
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", str(5 << 20))
    file = tmp_path / "weights ü.bin"
    file.write_bytes(os.urandom(1 << 20) * 33)
    root = client.create_run("0").info.artifact_uri
    repository: Any = mlflow.store.artifact.artifact_repository_registry.get_artifact_repository(root)
    begun: list[int] = []
    create = repository.create_multipart_upload

    def noted(local_file: str, parts: int, folder: str) -> Any:
        begun.append(parts)
        return create(local_file, parts, folder)

    monkeypatch.setattr(repository, "create_multipart_upload", noted)
    repository.log_artifact(str(file), "deep/er")
    assert begun == [7], "the server said that it takes parts"
    assert [(one.path, one.file_size) for one in repository.list_artifacts("deep/er")] == [("deep/er/weights ü.bin", 33 << 20)]
    (tmp_path / "down").mkdir()
    down = Path(repository.download_artifacts("deep/er/weights ü.bin", str(tmp_path / "down")))
    assert down.read_bytes() == file.read_bytes()


def test_runs_nest_and_end_as_they_are_told(client: Any) -> None:
    with mlflow.start_run(run_name="outer") as outer:
        for n in range(2):
            with mlflow.start_run(run_name=f"inner {n}", nested=True):
                mlflow.log_metric("m", n)
    children = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{outer.info.run_id}'", order_by=["attributes.run_name"])
    assert [one.info.run_name for one in children] == ["inner 0", "inner 1"]
    assert client.get_parent_run(children[0].info.run_id).info.run_id == outer.info.run_id
    run_id = client.create_run("0", tags={"any key? yes!": "x" * 9000}).info.run_id
    assert client.get_run(run_id).data.tags["any key? yes!"] == "x" * 9000
    client.set_terminated(run_id)
    ended = client.get_run(run_id).info
    assert (ended.status, ended.end_time >= ended.start_time) == ("FINISHED", True)
    client.update_run(run_id, status="RUNNING", name="again")
    assert (client.get_run(run_id).info.status, client.get_run(run_id).info.run_name) == ("RUNNING", "again")
    client.set_tag(run_id, "mlflow.runName", "by tag")
    client.set_tag(run_id, "mlflow.runName", "")
    assert client.get_run(run_id).info.run_name == "by tag"
    with pytest.raises(mlflow.MlflowException, match="No tag with name: nope"):
        client.delete_tag(run_id, "nope")


def test_experiments_are_searched_sorted_paged_and_tagged(client: Any) -> None:
    for name, value in (("exp a", "x"), ("exp B", "y"), ("exp c", None)):
        client.create_experiment(name, tags={"team": value} if value else {})
    named = "name ILIKE 'EXP%'"
    assert [one.name for one in client.search_experiments(filter_string=named, order_by=["name ASC"])] == ["exp B", "exp a", "exp c"]
    first = client.search_experiments(filter_string=named, order_by=["name DESC"], max_results=2)
    rest = client.search_experiments(filter_string=named, order_by=["name DESC"], page_token=first.token)
    assert [[one.name for one in page] for page in (first, rest)] == [["exp c", "exp a"], ["exp B"]]
    assert not rest.token
    for filtered, expected in (
        ("tags.team != 'x'", ["exp B"]),
        (f"{named} AND tags.team IS NULL", ["exp c"]),
        ("tag.team LIKE '%'", ["exp B", "exp a"]),
    ):
        assert sorted(one.name for one in client.search_experiments(filter_string=filtered)) == expected
    found = client.get_experiment_by_name("exp a")
    client.set_experiment_tag(found.experiment_id, "note", "two\nlines")
    client.delete_experiment_tag(found.experiment_id, "team")
    assert client.get_experiment(found.experiment_id).tags == {"note": "two\nlines"}
    assert found.workspace == "default"
    client.delete_experiment(found.experiment_id)
    deleted = client.search_experiments(view_type=mlflow.entities.ViewType.DELETED_ONLY, filter_string=named)
    assert [one.name for one in deleted] == ["exp a"]


def test_inputs_outputs_and_logged_models_are_told_of(client: Any) -> None:
    run_id, entities = client.create_run("0").info.run_id, mlflow.entities
    model = client.create_logged_model("0", name="net", source_run_id=run_id, params={"depth": "3"}, tags={"t": "1"}, model_type="agent")
    data = entities.Dataset(name="rows", digest="d1", source_type="local", source="{}", schema="{}", profile="{}")
    inputs = [entities.DatasetInput(dataset=data, tags=[entities.InputTag("mlflow.data.context", "train"), entities.InputTag("any?", "x")])]
    client.log_inputs(run_id, datasets=inputs, models=[entities.LoggedModelInput(model.model_id)])
    client.log_outputs(run_id, [entities.LoggedModelOutput(model.model_id, step=4)])
    run = client.get_run(run_id)
    assert [one.model_id for one in run.inputs.model_inputs] == [model.model_id]
    assert [(one.model_id, one.step) for one in run.outputs.model_outputs] == [(model.model_id, 4)]
    client.log_batch(run_id, metrics=[entities.Metric("acc", 0.5, 1, 0, model_id=model.model_id, dataset_name="rows", dataset_digest="d1")])
    ready = client.finalize_logged_model(model.model_id, "READY")
    assert (ready.status, ready.params, ready.tags, ready.metrics[0].dataset_name) == ("READY", {"depth": "3"}, {"t": "1"}, "rows")
    client.log_model_params(model.model_id, {"width": "9"})
    client.delete_logged_model_tag(model.model_id, "t")
    for asked in (
        "name = 'net'",
        "params.depth = '3'",
        "params.width IN ('9', '8')",
        "metrics.acc >= 0.5",
        "model_type = 'agent'",
    ):
        assert [one.model_id for one in client.search_logged_models(["0"], filter_string=asked)] == [model.model_id], asked
    assert client.search_logged_models(["0"], filter_string="tags.t = '1'") == []
    with pytest.raises(mlflow.MlflowException, match="not found"):
        client.log_metric(run_id, "acc", 1.0, model_id="m-" + "0" * 32)


def test_what_is_outside_does_not_get_in_the_way(client: Any) -> None:
    with pytest.raises(mlflow.MlflowException) as caught:
        client.search_traces(locations=["0"])
    assert caught.value.error_code == "ENDPOINT_NOT_FOUND"
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1.0)
    assert mlflow.get_run(run.info.run_id).data.metrics == {"m": 1.0}
    assert client.get_metric_history(run.info.run_id, "nothing") == []

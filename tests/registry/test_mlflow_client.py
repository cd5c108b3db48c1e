"""The real `mlflow` client against the registry: register, alias, load by alias, search; as scripts have it installed."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.fernet import Fernet

from modelyard.registry.service import Hooks
from modelyard.registry.webhooks import HookKey, headers_of
from modelyard.registry.wire.app import registry_routes
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.app import mlflow_app
from tests.tracking.conftest import authenticate, served

mlflow: Any = pytest.importorskip("mlflow")
sklearn_linear: Any = pytest.importorskip("sklearn.linear_model")

pytestmark = [
    pytest.mark.parametrize("database_url", ["sqlite"], indirect=True),
    # MLflow and scikit-learn warn about each other's and their own next releases.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture
def client(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """MLflow set to a server with tracking and registry, in an empty folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT", "1")
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    app = mlflow_app(database, blobs, authenticate, registry_routes(database, blobs, hooks=HOOKS))
    with served(app) as url:
        mlflow.set_tracking_uri(url)
        mlflow.set_registry_uri(url)
        mlflow.set_experiment(experiment_id="0")
        yield mlflow.MlflowClient()
        while mlflow.active_run():
            mlflow.end_run()
        mlflow.set_registry_uri(None)
        mlflow.set_tracking_uri(None)
    app.close()


HOOKS = Hooks(key=HookKey(Fernet.generate_key()), allows_private=True)
ROWS = np.random.default_rng(3).normal(size=(60, 3))


def logged(name: str | None = None, flip: bool = False) -> Any:
    """A model that was fitted, logged and, under `name`, registered."""
    model = sklearn_linear.LogisticRegression().fit(ROWS, (ROWS[:, 0] > 0) != flip)
    with mlflow.start_run() as run:
        mlflow.log_params({"C": 1.0})
        mlflow.log_metric("acc", 0.5 + 0.1 * flip)
        info = mlflow.sklearn.log_model(
            model, name="clf", registered_model_name=name, pip_requirements=["scikit-learn"], serialization_format="skops"
        )
    return model, run.info.run_id, info


def test_a_model_is_logged_registered_and_loaded_by_its_alias(client: Any) -> None:
    first, run_id, info = logged("late")
    second, _, _ = logged("late", flip=True)
    version = client.get_model_version("late", "1")
    assert (version.run_id, version.status, version.source) == (run_id, "READY", f"models:/{info.model_id}")
    client.set_registered_model_alias("late", "champion", "1")
    client.set_registered_model_alias("late", "champion", "2")
    client.set_registered_model_alias("late", "fallback", 1)
    for reference, model in (("late@champion", second), ("late@fallback", first), ("late/1", first), ("late/latest", second)):
        loaded = mlflow.sklearn.load_model(f"models:/{reference}")
        assert loaded.predict_proba(ROWS).tolist() == model.predict_proba(ROWS).tolist()
    assert str(client.get_model_version_by_alias("late", "champion").version) == "2"
    assert client.get_registered_model("late").aliases == {"champion": "2", "fallback": "1"}
    client.delete_registered_model_alias("late", "fallback")
    with pytest.raises(mlflow.MlflowException, match="alias fallback not found"):
        client.get_model_version_by_alias("late", "fallback")


def test_a_run_s_folder_is_registered_too(client: Any) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("flavors: {}", "model/MLmodel")
        mlflow.log_text("not the model", "other.txt")
    version = mlflow.register_model(f"runs:/{run.info.run_id}/model", "plain", tags={"a": "b"})
    assert (str(version.version), version.tags) == ("1", {"a": "b"})
    location = client.get_model_version_download_uri("plain", "1")
    assert location.endswith(f"/{run.info.run_id}/artifacts/model")
    assert sorted(path.name for path in Path(mlflow.artifacts.download_artifacts("models:/plain/1")).iterdir()) >= ["MLmodel"]


def test_a_version_whose_files_were_changed_is_not_handed_out(client: Any) -> None:
    with mlflow.start_run() as run:
        mlflow.log_text("flavors: {}", "model/MLmodel")
    mlflow.register_model(f"runs:/{run.info.run_id}/model", "late")
    client.log_text(run.info.run_id, "flavors: {evil: {}}", "model/MLmodel")
    with pytest.raises(mlflow.MlflowException, match="changed after it was registered"):
        client.get_model_version_download_uri("late", "1")


@pytest.mark.parametrize(
    "source",
    [
        "/etc/passwd",
        "file:///etc/passwd",
        "../../etc",
        "http://169.254.169.254/latest",
        "hdfs://127.0.0.1/model",
        "ftp:///etc",
        "s3://bucket/%252e%252e/model",
        "s3://bucket/a%00b",
        "file://evil.example/share",
        "runs:/" + "0" * 32 + "/model",
        "runs:/{run}/../../other",
        "runs:/{run}/%2e%2e/%2e%2e",
        "mlflow-artifacts:/0/{run}/artifacts/../../x",
        "mlflow-artifacts://evil.example/0/{run}/artifacts/model",
        "mlflow-artifacts:/0/{run}/artifacts#/../..",
        "models:/m-00000000000000000000000000000000",
        "models:/late/99",
        "models:/late",
        "models://evil.example/late/1",
        "javascript:alert(1)",
        "",
    ],
)
def test_no_source_reaches_anything_but_what_was_logged_here(client: Any, source: str) -> None:
    client.create_registered_model("late")
    with mlflow.start_run() as run:
        mlflow.log_text("x", "model/MLmodel")
    with pytest.raises(mlflow.MlflowException) as caught:
        client._get_registry_client().store.create_model_version("late", source.replace("{run}", run.info.run_id), run.info.run_id)
    assert caught.value.error_code in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    assert client.search_model_versions("name = 'late'") == []


@pytest.mark.parametrize("source", ["s3://bucket/model", "runs:/{run}/nothing-here", "dbfs:/x", "{uri}/nothing-here"])
def test_what_lies_elsewhere_is_a_record_of_its_address(client: Any, database: Database, source: str) -> None:
    client.create_registered_model("late")
    with mlflow.start_run() as run:
        mlflow.log_metric("acc", 0.5)
    named = source.replace("{run}", run.info.run_id).replace("{uri}", run.info.artifact_uri)
    version = client.create_model_version("late", named, run.info.run_id)
    assert (version.source, version.run_id, version.status) == (named, run.info.run_id, "READY")
    assert client.get_model_version_download_uri("late", "1") == named
    copied = client.copy_model_version("models:/late/1", "prod")
    assert copied.source == "models:/late/1"
    assert client.get_model_version_download_uri("prod", "1") == named
    with database.read() as snapshot:
        rows = snapshot.connection.exec_driver_sql("SELECT format, content, signature, size_bytes, metrics FROM registry_version").all()
    assert {tuple(row) for row in rows} == {("elsewhere", None, None, 0, '{"acc":0.5}')}


def test_a_local_path_is_a_record_below_its_run_s_own_folder_alone(client: Any) -> None:
    client.create_registered_model("late")
    experiment = client.create_experiment("own disk", artifact_location="/home/ann/runs")
    run = client.create_run(experiment)
    version = client.create_model_version("late", f"{run.info.artifact_uri}/model", run.info.run_id)
    assert client.get_model_version_download_uri("late", version.version) == f"/home/ann/runs/{run.info.run_id}/artifacts/model"
    for path in ("/etc/passwd", f"{run.info.artifact_uri}/../../../../../etc", f"{run.info.artifact_uri}x"):
        with pytest.raises(mlflow.MlflowException, match="contained within the artifact directory"):
            client.create_model_version("late", path, run.info.run_id)


def test_models_are_made_described_tagged_searched_and_paged(client: Any) -> None:
    for n in range(5):
        client.create_registered_model(f"model_{n}", tags={"parity": str(n % 2)}, description=f"number {n}")
    with pytest.raises(mlflow.MlflowException) as caught:
        client.create_registered_model("model_0")
    assert caught.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.update_registered_model("model_3", "better")
    client.set_registered_model_tag("model_3", "t t", "x")
    client.delete_registered_model_tag("model_3", "parity")
    found = client.get_registered_model("model_3")
    assert (found.description, found.tags) == ("better", {"t t": "x"})
    first = client.search_registered_models("name LIKE 'model%'", max_results=2, order_by=["name DESC"])
    assert [one.name for one in first] == ["model_4", "model_3"]
    rest = client.search_registered_models("name LIKE 'model%'", max_results=2, order_by=["name DESC"], page_token=first.token)
    assert [one.name for one in rest] == ["model_2", "model_1"]
    assert [one.name for one in client.search_registered_models("tags.parity = '0' AND tags.`mlflow.prompt.is_prompt` != 'true'")] == [
        "model_0", "model_2", "model_4",
    ]  # fmt: skip
    client.delete_registered_model("model_4")
    with pytest.raises(mlflow.MlflowException) as missing:
        client.get_registered_model("model_4")
    assert missing.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    client.rename_registered_model("model_3", "Modell (Überblick), 3 %")
    renamed = client.get_registered_model("Modell (Überblick), 3 %")
    assert (renamed.name, renamed.description, renamed.tags) == ("Modell (Überblick), 3 %", "better", {"t t": "x"})
    with pytest.raises(mlflow.MlflowException, match="Registered Model with name=model_3 not found"):
        client.get_registered_model("model_3")
    with pytest.raises(mlflow.MlflowException, match=r"Registered Model \(name=model_1\) already exists"):
        client.rename_registered_model("model_2", "model_1")


def test_versions_are_described_tagged_staged_searched_and_deleted(client: Any) -> None:
    _, run_id, _ = logged("late")
    logged("late", flip=True)
    client.update_model_version("late", "1", "the first")
    client.set_model_version_tag("late", "1", "k", "v")
    client.transition_model_version_stage("late", "1", "Production")
    client.transition_model_version_stage("late", "2", "production", archive_existing_versions=True)
    one = client.get_model_version("late", "1")
    assert (one.description, one.tags, one.current_stage) == ("the first", {"k": "v"}, "Archived")
    assert {one.current_stage: str(one.version) for one in client.get_latest_versions("late")} == {"Archived": "1", "Production": "2"}
    found = client.search_model_versions("name = 'late' AND tags.k = 'v'")
    assert [str(one.version) for one in found] == ["1"]
    assert [str(one.version) for one in client.search_model_versions(f"run_id = '{run_id}'")] == ["1"]
    by_number = client.search_model_versions("name = 'late'", order_by=["version_number ASC"])
    assert [str(one.version) for one in by_number] == ["1", "2"]
    client.delete_model_version_tag("late", "1", "k")
    client.set_registered_model_alias("late", "old", "1")
    client.delete_model_version("late", "1")
    assert [str(one.version) for one in client.search_model_versions("name = 'late'")] == ["2"]
    assert client.get_registered_model("late").aliases == {}
    with pytest.raises(mlflow.MlflowException, match=r"Model Version \(name=late, version=1\) not found"):
        client.get_model_version("late", "1")
    client.delete_registered_model("late")
    assert client.search_registered_models() == []
    assert client.search_model_versions() == []


def test_a_renamed_model_keeps_versions_aliases_and_tags_and_loads(client: Any) -> None:
    model, _, info = logged("late")
    client.set_registered_model_alias("late", "champion", "1")
    client.set_model_version_tag("late", "1", "k", "v")
    client.transition_model_version_stage("late", "1", "Staging")
    client.rename_registered_model("late", "später")
    version = client.get_model_version("später", "1")
    assert (version.tags, version.current_stage, version.aliases) == ({"k": "v"}, "Staging", ["champion"])
    assert version.source == f"models:/{info.model_id}"
    loaded = mlflow.sklearn.load_model("models:/später@champion")
    assert loaded.predict_proba(ROWS).tolist() == model.predict_proba(ROWS).tolist()
    assert [one.name for one in client.search_model_versions("tags.k = 'v'")] == ["später"]
    assert str(mlflow.register_model(f"models:/{info.model_id}", "später").version) == "2"
    told = json.loads(client.get_logged_model(info.model_id).tags["mlflow.modelVersions"])
    assert [(one["name"], one["version"]) for one in told if isinstance(one["version"], int)] == [("late", 1), ("später", 2)]


def test_a_version_is_copied_under_another_name(client: Any) -> None:
    _, run_id, _ = logged("late")
    copied = client.copy_model_version("models:/late/1", "prod")
    assert (copied.name, str(copied.version), copied.run_id) == ("prod", "1", run_id)
    loaded = mlflow.sklearn.load_model("models:/prod/1")
    assert loaded.predict(ROWS).shape == (60,)


def test_a_version_tells_the_run_it_came_from(client: Any, database: Database) -> None:
    _, run_id, _ = logged("late")
    with database.read() as snapshot:
        row = snapshot.connection.exec_driver_sql("SELECT run_id, metrics, parameters, format, content FROM registry_version").one()
    assert tuple(row) == (run_id, '{"acc":0.5}', '{"C":"1.0"}', "mlflow", None)


def test_webhooks_are_made_listed_changed_tried_and_removed(client: Any) -> None:
    entities: Any = importlib.import_module("mlflow.entities.webhook")
    created = entities.WebhookEvent(entities.WebhookEntity.MODEL_VERSION, entities.WebhookAction.CREATED)
    tagged = entities.WebhookEvent(entities.WebhookEntity.MODEL_VERSION_TAG, entities.WebhookAction.SET)
    made = [client.create_webhook(f"hook{n}", f"http://127.0.0.1:9/{n}", [tagged, created], "d", "s3cret") for n in range(3)]
    hook = client.get_webhook(made[0].webhook_id)
    assert (hook.name, hook.url, hook.description, hook.secret) == ("hook0", "http://127.0.0.1:9/0", "d", None)
    assert (hook.events, hook.status) == ([created, tagged], "ACTIVE")
    first = client.list_webhooks(max_results=2)
    rest = client.list_webhooks(max_results=2, page_token=first.token)
    assert [one.name for one in [*first, *rest]] == ["hook2", "hook1", "hook0"]
    changed = client.update_webhook(hook.webhook_id, name="new", events=[tagged], status=entities.WebhookStatus.DISABLED)
    assert (changed.name, changed.url, changed.events, changed.status) == ("new", hook.url, [tagged], "DISABLED")
    assert changed.last_updated_timestamp > hook.last_updated_timestamp
    tried = client.test_webhook(hook.webhook_id)
    assert (tried.success, tried.response_status) == (False, None)
    assert "did not answer" in tried.error_message
    client.delete_webhook(hook.webhook_id)
    with pytest.raises(mlflow.MlflowException, match=f"Webhook with ID {hook.webhook_id} not found"):
        client.get_webhook(hook.webhook_id)
    for url, words in (("   ", "cannot be empty"), ("ftp://x", "Invalid webhook URL scheme"), ("http://[x", "Invalid webhook URL")):
        with pytest.raises(mlflow.MlflowException, match=words):
            client.create_webhook("hook", url, [created])


def test_a_delivery_is_signed_as_mlflow_signs(client: Any) -> None:
    delivery: Any = importlib.import_module("mlflow.webhooks.delivery")
    headers = headers_of("d1", '{"a": "ü"}', 1700000000, "s3cret ü")
    assert headers["X-MLflow-Signature"] == delivery._generate_hmac_signature("s3cret ü", "d1", "1700000000", '{"a": "ü"}')

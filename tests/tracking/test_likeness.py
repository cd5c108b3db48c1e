"""Where MLflow's interface is lenient, strict or odd, ours is in the same way: each line was held against MLflow 3.17.2 itself."""

from typing import Any

import pytest

from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database
from modelyard.tracking import service
from modelyard.tracking.rules.names import checked_location
from modelyard.tracking.wire.proxy import disposition, media_type
from tests.tracking import plain
from tests.tracking.conftest import STRANGER, WRITER, Call

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def info(call: Call, run_id: str) -> Any:
    """A run's facts."""
    return call("GET", "runs/get", {"run_id": run_id}).json()["run"]["info"]


def test_unknown_words_count_as_absent_and_unknown_numbers_do_not(call: Call, run_id: str) -> None:
    assert call("POST", "runs/update", {"run_id": run_id, "status": "SLEEPING", "end_time": 9}).status_code == 200
    assert (info(call, run_id)["status"], info(call, run_id)["end_time"]) == ("RUNNING", 9)
    assert call("POST", "runs/update", {"run_id": run_id, "status": 99}).status_code == 400
    call("POST", "runs/delete", {"run_id": run_id})
    for view, count in (("all", 0), ("ALL", 1), (3, 1), ("2", 1), (None, 0)):
        found = call("POST", "runs/search", {"experiment_ids": ["0"], "run_view_type": view}).json()
        assert len(found.get("runs", ())) == count, view
    assert call("POST", "runs/search", {"experiment_ids": ["0"], "run_view_type": 9}).status_code == 400


def test_names_are_taken_as_protobufs_json_has_them(call: Call, run_id: str) -> None:
    body = {"run_id": run_id, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "datasetName": "d", "datasetDigest": "e"}], "tags": None}
    assert call("POST", "runs/log-batch", body | {"unheard": {"of": 1}}).status_code == 200
    both = {"run_id": run_id, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "modelId": "m-1", "model_id": "m-1"}]}
    assert "both 'model_id' and 'modelId'" in call("POST", "runs/log-batch", both).json()["message"]
    assert call("POST", "experiments/create", {"name": "camel", "artifactLocation": "s3://b/x", "tags": None}).status_code == 200
    found = call("GET", "experiments/get-by-name", {"experiment_name": "camel"}).json()["experiment"]
    assert (found["artifact_location"], found["workspace"]) == ("s3://b/x", "default")
    assert "parameter 'experiment_id'" in call("GET", "experiments/get", {"experimentId": "0"}).json()["message"]


TOLD: list[tuple[str, Any, int, str]] = [
    ("runs/log-metric", {"run_id": "$", "key": "m", "value": 1, "timestamp": 1}, 404, "Run with id=$ not found"),
    ("runs/log-batch", {"run_id": "$"}, 400, "Invalid value \"$\" for parameter 'run_id' supplied."),
    ("runs/log-inputs", {"run_id": "$"}, 400, "Invalid value \"$\" for parameter 'run_id' supplied."),
    ("runs/log-batch", {"run_id": "a", "metrics": [{"key": "", "value": 1, "timestamp": 1}]}, 400, "parameter 'metrics[0].key'"),
    ("runs/log-batch", {"run_id": "a", "metrics": [{"key": "k", "value": "", "timestamp": 1}]}, 400, "parameter 'metrics[0].value'"),
    ("experiments/create", {"name": "x", "tags": [{"value": "1"}]}, 400, "This name would resolve to '.'"),
    (
        "runs/search",
        {"experiment_ids": ["0"], "filter": "metrics.a IS NULL"},
        400,
        "only supported for tags and params, not for 'metric' 'a'",
    ),
    ("runs/search", {"experiment_ids": ["0"], "filter": "params.a RLIKE 'x'"}, 400, "Invalid comparator 'RLIKE' not one of"),
    ("runs/search", {"experiment_ids": ["0"], "filter": "start_time IN (1)"}, 400, "numeric attribute: start_time. Found (1)"),
    ("runs/search", {"experiment_ids": ["0"], "filter": "1 < metrics.a"}, 400, "Expected 'Identifier' found '1'"),
    ("experiments/search", {"filter": "creation_time = 1.5", "max_results": 1}, 400, "numeric attribute 'creation_time': '1.5'"),
    ("logged-models/search", {"experiment_ids": ["0"], "order_by": [{"field_name": "x"}]}, 400, "Invalid order by field name: x"),
    ("artifacts/presigned-upload-url", {"path": "a"}, 400, "Exactly one of run_id and model_id"),
    ("artifacts/presigned-download-url", {"path": "a", "run_id": "x", "expiration": 0}, 400, "between 1 and 604800 seconds (got 0)"),
    ("artifacts/presigned-download-url", {"path": "a", "run_id": "$run"}, 400, "requires a run with a direct cloud storage artifact URI."),
    ("artifacts/presigned-upload-url", {"path": "a", "run_id": "$run"}, 400, "requires a direct cloud storage artifact URI."),
]


@pytest.mark.parametrize(("path", "body", "status", "told"), TOLD)
def test_refusals_have_mlflows_words(call: Call, run_id: str, path: str, body: Any, status: int, told: str) -> None:
    answer = call("POST", path, {name: run_id if value == "$run" else value for name, value in body.items()})
    assert (answer.status_code, told in answer.json()["message"]) == (status, True), answer.text


def test_half_a_surrogate_pair_is_no_text(server: str) -> None:
    url, body = f"{server}/api/2.0/mlflow/experiments/create", b'{"name": "\\ud800"}'
    answer = plain.post(url, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, "no Unicode" in answer.json()["message"]) == (400, True)


def test_a_taken_name_is_another_error_for_a_new_experiment_than_for_a_renamed_one(call: Call) -> None:
    experiment = call("POST", "experiments/create", {"name": "other"}).json()["experiment_id"]
    codes = [
        call("POST", "experiments/create", {"name": "Default"}).json()["error_code"],
        call("POST", "experiments/update", {"experiment_id": experiment, "new_name": "Default"}).json()["error_code"],
    ]
    assert codes == ["RESOURCE_ALREADY_EXISTS", "BAD_REQUEST"]


def test_a_changed_param_is_told_as_one_or_as_of_a_batch(call: Call, run_id: str) -> None:
    call("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": "1"})
    single = call("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": "2"}).json()["message"]
    batch = call("POST", "runs/log-batch", {"run_id": run_id, "params": [{"key": "p", "value": "2"}]}).json()["message"]
    assert "Param with key='p' was already logged with value='1'" in single
    assert "Params were already logged='[{'key': 'p', 'old_value': '1', 'new_value': '2'}]'" in batch


def test_a_metric_of_another_teams_model_is_not_logged(call: Call, run_id: str, database: Database) -> None:
    def of_the_other_team(tx: Any) -> Any:
        experiment = service.create_experiment(tx, STRANGER, service.NewExperiment(name="theirs"))
        return service.create_model(tx, STRANGER, service.NewModel(experiment_id=experiment.id))

    model = database.write(of_the_other_team)
    point = {"key": "m", "value": 1, "timestamp": 1, "model_id": model.id}
    for path, body in (("runs/log-metric", point), ("runs/log-batch", {"metrics": [point], "params": [{"key": "p", "value": "1"}]})):
        assert call("POST", path, {"run_id": run_id} | body).status_code == 404
    assert "metrics" not in call("GET", "runs/get", {"run_id": run_id}).json()["run"]["data"]
    with database.read() as snapshot:
        assert service.get_logged_model(snapshot, STRANGER, model.id).metrics == ()
        assert service.get_run(snapshot, WRITER, run_id).params == {}  # type: ignore[arg-type]  # the id as the wire tells it


@pytest.mark.parametrize(
    "location", ["ftp://h/a", "https://h/a", "mlflow-artifacts://h:1/a", "s3://b/?x=%2e%2e", "http://[", "runs:/a", "s3://b/%252e%252e/c"]
)
def test_a_location_that_names_a_host_or_hides_a_parent_is_refused(location: str, database_url: str) -> None:
    with pytest.raises(InvalidInput):
        checked_location(location)


def test_files_of_no_run_are_shared_by_the_default_team(server: str, run_id: str) -> None:
    url = f"{server}{PROXY}"
    assert plain.put(f"{url}/dir/a.txt", content=b"0").status_code == 200
    assert plain.get(url).json() == {"files": [{"path": "dir", "is_dir": True}]}
    assert plain.get(url, params={"path": "dir"}).json() == {"files": [{"path": "a.txt", "is_dir": False, "file_size": 1}]}
    assert plain.get(f"{url}/dir").status_code == 400, "a folder is no file"
    for by, status in (("reader", 403), ("stranger", 403)):
        assert plain.put(f"{url}/dir/a.txt", content=b"1", headers={"x-principal": by}).status_code == status
    assert plain.get(f"{url}/dir/a.txt", headers={"x-principal": "stranger"}).status_code == 403
    assert plain.put(f"{url}/0/{run_id}/elsewhere", content=b"1").status_code == 400, "beside a run's artifacts"
    assert plain.put(f"{url}/dir/", content=b"1").status_code == 400


def test_a_small_file_is_taken_by_query_and_given_at_the_root(server: str, run_id: str) -> None:
    url = f"{server}/ajax-api/2.0/mlflow/upload-artifact"
    assert plain.post(url, params={"run_uuid": run_id, "path": "up/t.txt"}, content=b"data").status_code == 200
    for params, content, told in (
        ({}, b"x", "specify run_uuid"),
        ({"run_uuid": run_id, "path": ""}, b"x", "specify path"),
        ({"run_uuid": run_id, "path": "../t"}, b"x", "Invalid path"),
        ({"run_uuid": run_id, "path": "t"}, b"", "specify data"),
        ({"run_uuid": run_id, "path": "t"}, b"x" * (10 * 1024 * 1024 + 1), "Max size is 10MB"),
    ):
        assert told in plain.post(url, params=params, content=content).json()["message"]
    assert plain.post(url, params={"run_uuid": run_id, "path": "t"}, content=b"x", headers={"x-principal": "reader"}).status_code == 403
    answer = plain.get(f"{server}/get-artifact", params={"run_uuid": run_id, "path": "up/t.txt"}, headers={"range": "bytes=9-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */4")
    assert (plain.get(f"{server}/health").text, plain.get(f"{server}/version").text) == ("OK", "3.17.2")


def test_an_attachment_has_its_own_name_and_a_harmless_type(database_url: str) -> None:
    assert disposition("images/dog+step+20.png") == b"attachment; filename=dog+step+20.png"
    types = [media_type(name) for name in ("a.txt", "b.pkl", "c.png", "d.pdf", "MLmodel", "x.html", "y.svg", "z.xml")]
    bytes_ = "application/octet-stream"
    assert types == ["text/plain", bytes_, "image/png", "application/pdf", "text/plain", bytes_, bytes_, "text/plain"]

"""MLflow's interface byte by byte: shapes, error codes, leniency, hostile requests, downloads."""

import base64
import http.client
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.storage.blobs import Blobs
from modelyard.tracking.wire.app import ROUTES
from modelyard.tracking.wire.proxy import asked_range, disposition
from modelyard.tracking.wire.routing import MlflowRoute, Router
from tests.tracking import plain
from tests.tracking.conftest import Call
from tests.tracking.test_rules import HOSTILE

JSON = {"content-type": "application/json"}
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and MLflow's error code."""
    return answer.status_code, str(answer.json()["error_code"])


def metric(run_id: str, **more: Any) -> dict[str, Any]:
    """The body of a log-metric call."""
    return {"run_id": run_id, "key": "m", "value": 1.0, "timestamp": 1} | more


def test_a_run_has_mlflows_shape(call: Call, run_id: str) -> None:
    call("POST", "runs/log-metric", metric(run_id, value=float("1.5"), step=2))
    call("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": "1"})
    run = call("GET", "runs/get", {"run_id": run_id}).json()["run"]
    name = run["info"]["run_name"]
    assert run == {
        "info": {
            "run_uuid": run_id,
            "run_id": run_id,
            "run_name": name,
            "experiment_id": "0",
            "user_id": "",
            "status": "RUNNING",
            "start_time": 1,
            "artifact_uri": f"mlflow-artifacts:/0/{run_id}/artifacts",
            "lifecycle_stage": "active",
        },
        "data": {
            "metrics": [{"key": "m", "value": 1.5, "timestamp": 1, "step": 2}],
            "params": [{"key": "p", "value": "1"}],
            "tags": [{"key": "mlflow.runName", "value": name}],
        },
        "inputs": {},
        "outputs": {},
    }


ERRORS: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("GET", "experiments/get", {"experiment_id": "9"}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ("GET", "experiments/get", {"experiment_id": "x"}, (400, "INVALID_PARAMETER_VALUE")),
    ("GET", "experiments/get", {}, (400, "INVALID_PARAMETER_VALUE")),
    ("POST", "experiments/create", {"name": "Default"}, (400, "RESOURCE_ALREADY_EXISTS")),
    ("POST", "experiments/create", {"name": 5}, (400, "INVALID_PARAMETER_VALUE")),
    ("GET", "runs/get", {"run_id": "nope"}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ("POST", "runs/search", {"experiment_ids": ["0"], "filter": "x OR y"}, (400, "INVALID_PARAMETER_VALUE")),
    ("POST", "runs/search", {"experiment_ids": ["0"], "max_results": 50001}, (400, "INVALID_PARAMETER_VALUE")),
    ("POST", "runs/update", {"run_id": "nope", "status": "FINISHED"}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ("GET", "nope", {}, (404, "ENDPOINT_NOT_FOUND")),
    ("POST", "traces", {}, (404, "ENDPOINT_NOT_FOUND")),
    ("GET", "logged-models/m-1", {}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ("GET", "get-artifact", {}, (400, "BAD_REQUEST")),
]


def test_errors_have_mlflows_codes(call: Call) -> None:
    for method, path, body, expected in ERRORS:
        assert code(call(method, path, body)) == expected, (path, body)


WRONG: list[tuple[str, Any, str]] = [
    ("run_id", None, "Missing value for required parameter 'run_id'"),
    ("key", "", "Missing value for required parameter 'key'"),
    ("value", None, "Missing value for required parameter 'value'"),
    ("value", "abc", "Invalid value \"abc\" for parameter 'value' supplied:  Hint: Value was of type 'str'"),
    ("timestamp", -1, "Timestamp must be a nonnegative long"),
    ("timestamp", 2**63, "Invalid value 9223372036854775808 for parameter 'timestamp'"),
    ("timestamp", 2**62, "no time in milliseconds that fits 64 bits"),
    ("step", "x", "Invalid value \"x\" for parameter 'step'"),
    ("key", "a/../b", "must not resolve to other names"),
    ("key", "k" * 251, "'Metric name' exceeds the maximum length of 250 characters"),
    ("run_id", ["x"], "for parameter 'run_id'"),
    ("dataset_name", "a", "Both dataset_name and dataset_digest must be provided"),
    ("model_id", "a\0b", "NUL"),
    ("timestamp", "", "Invalid value \"\" for parameter 'timestamp' supplied"),
    ("runId", "x", "Request specifies both 'run_id' and 'runId'"),
]


def test_a_metric_that_is_wrong_is_told_how(call: Call, run_id: str) -> None:
    for field, value, message in WRONG:
        answer = call("POST", "runs/log-metric", metric(run_id) | {field: value})
        assert answer.status_code == 400
        assert message in answer.json()["message"]


NUMBERS: list[tuple[Any, Any]] = [
    ("NaN", "NaN"),
    ("Infinity", 1.7976931348623157e308),
    ("-Infinity", -1.7976931348623157e308),
    ("0.25", 0.25),
    (3, 3.0),
    (1e-300, 1e-300),
]


def test_numbers_come_as_protobuf_writes_them(call: Call, run_id: str) -> None:
    for n, (value, expected) in enumerate(NUMBERS):
        assert call("POST", "runs/log-metric", metric(run_id, key=f"m{n}", value=value, timestamp="12", step="3")).json() == {}
        found = call("GET", "metrics/get-history", {"run_id": run_id, "metric_key": f"m{n}"}).json()["metrics"]
        assert found == [{"key": f"m{n}", "value": expected, "timestamp": 12, "step": 3}]


def test_a_bare_nan_and_json_encoded_twice_are_read(server: str, call: Call, run_id: str) -> None:
    bare = f'{{"run_id": "{run_id}", "key": "bare", "value": NaN, "timestamp": 1}}'
    twice = json.dumps(json.dumps(metric(run_id, key="twice")))
    for content in (bare, twice):
        assert plain.post(f"{server}/api/2.0/mlflow/runs/log-metric", content=content, headers=JSON).status_code == 200
    found = {m["key"]: m["value"] for m in call("GET", "runs/get", {"run_id": run_id}).json()["run"]["data"]["metrics"]}
    assert found == {"bare": "NaN", "twice": 1.0}


NO_REQUESTS = [
    b"",
    b"not json",
    b"[1]",
    b'{"run_id": "\xff"}',
    b'{"run_id": "\\ud800"}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"run_id": "a", "run_id": 5}',
]


def test_a_body_that_is_no_request_is_refused(server: str) -> None:
    for content in NO_REQUESTS:
        for path in ("runs/log-metric", "runs/log-batch", "experiments/create", "logged-models"):
            answer = plain.post(f"{server}/api/2.0/mlflow/{path}", content=content, headers=JSON)
            assert code(answer) == (400, "INVALID_PARAMETER_VALUE"), content[:40]


def test_only_json_is_taken_and_only_so_much(server: str) -> None:
    url = f"{server}/api/2.0/mlflow/experiments/create"
    for headers in ({"content-type": "text/plain"}, {"content-type": "application/x-www-form-urlencoded"}, {}):
        assert "Content-Type" in plain.post(url, content=b'{"name": "x"}', headers=headers).json()["message"]
    answer = plain.post(url, content=b'{"name": "' + b"x" * 26_000_000 + b'"}', headers=JSON, timeout=30)
    assert "more than" in answer.json()["message"]


def test_a_text_with_nul_is_refused_everywhere(call: Call, run_id: str) -> None:
    for path, body in (
        ("runs/log-parameter", {"run_id": run_id, "key": "p", "value": "a\0"}),
        ("runs/set-tag", {"run_id": run_id, "key": "t", "value": "a\0"}),
        ("experiments/create", {"name": "a\0"}),
        ("runs/create", {"experiment_id": "0", "run_name": "a\0"}),
        ("runs/create", {"experiment_id": "0", "user_id": "a\0"}),
        (
            "runs/log-inputs",
            {"run_id": run_id, "datasets": [{"dataset": {"name": "a\0", "digest": "1", "source_type": "s", "source": "s"}}]},
        ),
        ("logged-models", {"experiment_id": "0", "name": "a\0"}),
        ("logged-models", {"experiment_id": "0", "params": [{"key": "a", "value": "\0"}]}),
    ):
        assert code(call("POST", path, body)) == (400, "INVALID_PARAMETER_VALUE"), path
    for path in ("runs/get?run_id=a%00", "experiments/get-by-name?experiment_name=%00", "logged-models/m%00"):
        assert code(call("GET", path)) == (404, "RESOURCE_DOES_NOT_EXIST"), path
    assert call("POST", "runs/set-tag", {"run_id": run_id, "key": "t", "value": "\\u0000"}).status_code == 200, "a backslash, u and zeros"


def test_one_bad_batch_does_not_spoil_the_others_of_its_commit(call: Call, run_id: str) -> None:
    call("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": "1"})
    answers = [call("POST", "runs/log-parameter", {"run_id": run_id, "key": "p", "value": str(n)}) for n in range(3)]
    assert [one.status_code for one in answers] == [400, 200, 400]


def test_hostile_artifact_paths_are_refused(server: str, run_id: str) -> None:
    connection = http.client.HTTPConnection(server.removeprefix("http://"))
    for path in [path for path in HOSTILE if "\0" not in path and "\n" not in path and "#" not in path]:
        # By hand: every client library tidies such a path up before it sends it.
        target = f"{ARTIFACTS}0/{run_id}/artifacts/" + path.replace(" ", "%20").replace("\u202e", "%E2%80%AE")
        for method in ("PUT", "GET", "DELETE") if path else ("PUT",):
            connection.request(method, target, body=b"x" if method == "PUT" else None)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 400, (method, path)
        listed = plain.get(f"{server}/api/2.0/mlflow/artifacts/list", params={"run_id": run_id, "path": path})
        assert listed.status_code == 400 or path in ("", "./a", "a/./b"), "a dot in a folder to list is passed over"
    connection.close()


def test_an_artifact_comes_back_as_an_attachment_that_no_browser_reads(server: str, call: Call, run_id: str) -> None:
    url = f"{server}{ARTIFACTS}0/{run_id}/artifacts/page.html"
    assert plain.put(url, content=b"<script>alert(1)</script>").status_code == 200
    for address in (url, f"{server}/ajax-api/2.0/mlflow/get-artifact?run_id={run_id}&path=page.html"):
        answer = plain.get(address)
        assert answer.content == b"<script>alert(1)</script>"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-disposition"].startswith("attachment; filename=page.html")
        assert "sandbox" in answer.headers["content-security-policy"]
    part = plain.get(url, headers={"range": "bytes=1-6"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"script", "bytes 1-6/25")
    assert plain.head(url).headers["content-length"] == "25"
    assert plain.delete(url).status_code == 200
    assert plain.get(url).status_code == 404


def test_a_large_artifact_is_stored_in_parts_and_whole(server: str, call: Call, run_id: str, blobs: Blobs) -> None:
    content = bytes(range(256)) * 4096 * 5
    url = f"{server}{ARTIFACTS}0/{run_id}/artifacts/large.bin"
    assert plain.put(url, content=content, timeout=30).status_code == 200
    assert plain.get(url, timeout=30).content == content
    listed = call("GET", "artifacts/list", {"run_id": run_id}).json()
    assert listed["files"] == [{"path": "large.bin", "is_dir": False, "file_size": len(content)}]


def test_an_upload_that_breaks_off_leaves_nothing(server: str, call: Call, run_id: str, blobs: Blobs) -> None:
    def broken() -> Any:
        yield b"x" * 3_000_000
        raise RuntimeError("the client dies")

    with pytest.raises(RuntimeError, match="dies"):
        plain.put(f"{server}{ARTIFACTS}0/{run_id}/artifacts/half.bin", content=broken(), timeout=30)
    assert "files" not in call("GET", "artifacts/list", {"run_id": run_id}).json()
    assert list(blobs.list_digests()) == []


def test_whoever_may_not_is_told_so_in_mlflows_words(server: str, call: Call, run_id: str) -> None:
    assert code(call("POST", "runs/log-metric", metric(run_id), by="reader")) == (403, "PERMISSION_DENIED")
    assert code(call("POST", "runs/log-metric", metric(run_id), by="stranger")) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert code(call("GET", "runs/get", {"run_id": run_id}, by="stranger")) == (404, "RESOURCE_DOES_NOT_EXIST")
    url = f"{server}{ARTIFACTS}0/{run_id}/artifacts/x"
    assert code(plain.put(url, content=b"x", headers={"x-principal": "reader"})) == (403, "PERMISSION_DENIED")
    assert code(plain.put(url, content=b"x", headers={"x-principal": "stranger"})) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert call("POST", "runs/search", {"experiment_ids": ["0"]}, by="stranger").json() == {}


def test_an_experiment_may_be_made_for_another_team(call: Call) -> None:
    body = {"name": "theirs", "tags": [{"key": "modelyard.team", "value": "other"}]}
    assert code(call("POST", "experiments/create", body)) == (403, "PERMISSION_DENIED")
    made = call("POST", "experiments/create", body, by="stranger").json()["experiment_id"]
    assert code(call("GET", "experiments/get", {"experiment_id": made})) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_points_of_several_runs_come_sorted_or_thinned_out(call: Call, run_id: str) -> None:
    metrics = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(100)]
    call("POST", "runs/log-batch", {"run_id": run_id, "metrics": metrics})
    bulk = call("GET", "metrics/get-history-bulk", {"run_id": [run_id, "nope"], "metric_key": "m"}, api="/ajax-api/2.0/mlflow/").json()
    assert [one["value"] for one in bulk["metrics"]] == [float(n) for n in range(100)]
    for most, count in ((-1, len(bulk["metrics"])), (0, 0), (2, 2)):
        asked = {"run_id": run_id, "metric_key": "m", "max_results": most}
        assert len(call("GET", "metrics/get-history-bulk", asked).json()["metrics"]) == count
    thin = call("GET", "metrics/get-history-bulk-interval", {"run_ids": run_id, "metric_key": "m", "max_results": 4}).json()
    assert [one["step"] for one in thin["metrics"]] == [0, 25, 50, 99]
    part = {"run_ids": run_id, "metric_key": "m", "start_step": 3, "end_step": 4}
    assert [one["step"] for one in call("GET", "metrics/get-history-bulk-interval", part).json()["metrics"]] == [3, 4]
    assert code(call("GET", "metrics/get-history-bulk-interval", part | {"end_step": 2})) == (400, "INVALID_PARAMETER_VALUE")
    assert call("GET", "metrics/get-history-bulk-interval", part | {"run_ids": "nope"}).json() == {}


def test_the_server_says_what_it_can_do(call: Call) -> None:
    info = call("GET", "server-info", {}, api="/api/3.0/mlflow/").json()
    assert info["store_type"] == "SqlStore"
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (True, False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        (b"bytes=0-", (0, 10)),
        (b"bytes=9-99", (9, 10)),
        (b"bytes=-4", (6, 10)),
        (b"bytes=10-", None),
        (b"bytes=5-4", None),
        (b"x", None),
        (b"bytes=-", None),
    ],
)
def test_a_range_is_one_part_or_the_whole(header: bytes | None, expected: tuple[int, int] | None, database_url: str) -> None:
    assert asked_range(header, 10) == expected


def test_swapped_content_is_not_passed_off_as_the_whole_however_it_is_asked_for(server: str, call: Call, tmp_path: Path) -> None:
    run_id = call("POST", "runs/create", {"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    url = f"{server}/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/a.bin"
    assert plain.put(url, content=b"the right content").status_code == 200
    assert plain.get(url, headers={"Range": "bytes=4-8"}).content == b"right"
    whole = plain.get(url, headers={"Range": "bytes=0-"})
    assert (whole.status_code, whole.content) == (200, b"the right content")
    [stored] = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    stored.chmod(0o600)
    stored.write_bytes(b"the wrong content")
    for asked in ("bytes=0-", "bytes=0-16", "bytes=-17", ""):
        answer = plain.get(url, headers={"Range": asked} if asked else {})
        assert (answer.status_code, answer.json()["error_code"]) == (500, "INTERNAL_ERROR")


def test_a_name_cannot_break_out_of_its_header(database_url: str) -> None:
    assert (
        disposition('a/x"\r\nset-cookie: y').decode()
        == "attachment; filename=\"x___set-cookie_ y\"; filename*=UTF-8''x%22%0D%0Aset-cookie%3A%20y"
    )
    assert disposition("é").decode() == "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9"


def test_two_routes_never_answer_one_path(database_url: str) -> None:
    with pytest.raises(ValueError, match="two routes"):
        Router([*ROUTES, MlflowRoute(method="GET", path="/mlflow/runs/get", request=ROUTES[0].request, action=ROUTES[0].action)])


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("runs/search", {"experiment_ids": ["0"], "max_results": 1}),
        ("runs/search", {"experiment_ids": ["0"], "max_results": 1, "order_by": ["metrics.m", "params.p"]}),
        ("experiments/search", {"max_results": 1}),
        ("logged-models/search", {"experiment_ids": ["0"], "max_results": 1}),
    ],
)
def test_a_token_that_somebody_wrote_is_refused(call: Call, path: str, asked: Any) -> None:
    for n in range(2):
        call("POST", "runs/create", {"experiment_id": "0", "start_time": n})
        call("POST", "experiments/create", {"name": f"e{n}"})
        call("POST", "logged-models", {"experiment_id": "0"})
    mark, *values = json.loads(base64.urlsafe_b64decode(call("POST", path, asked).json()["next_page_token"]))
    forged: list[list[Any]] = [[], [*values, 1], [True for _ in values], [2**70 for _ in values]]
    forged += [["x" if isinstance(one, int | float) else 1 for one in values], ["\0" if isinstance(one, str) else one for one in values]]
    for some in forged:
        token = base64.urlsafe_b64encode(json.dumps([mark, *some]).encode()).decode()
        assert code(call("POST", path, asked | {"page_token": token})) == (400, "INVALID_PARAMETER_VALUE"), some

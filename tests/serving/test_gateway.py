"""A real gateway process over HTTP: what it answers, what it refuses, and in which words."""

import math
import subprocess
import uuid
from typing import Any

import httpx
import pytest

from modelyard.serving.log.frames import PredictionFrame
from tests.serving.world import ROW, TOKEN, Gateway, World


def test_rows_are_answered_with_the_version_the_revision_and_an_id_each(shared: Gateway, shared_world: World) -> None:
    rows = [{**ROW, "hour": hour} for hour in range(50)]
    answer = shared.predict(*rows)
    assert (answer["model"], answer["version"], answer["revision"]) == ("late", 1, 1)
    assert [one["value"] for one in answer["predictions"]] == [shared_world.expected(1, row) for row in rows]
    ids = [one["id"] for one in answer["predictions"]]
    assert ids == sorted(set(ids))
    assert {uuid.UUID(name).version for name in ids} == {7}


def test_curl_gets_the_same_answer(shared: Gateway, shared_world: World) -> None:
    command = ["curl", "-sS", "-H", f"Authorization: Bearer {TOKEN}", f"{shared.url}/predict/late", "-d"]
    out = subprocess.run([*command, '{"rows":[{"origin":"JFK","hour":7,"distance":1089}]}'], capture_output=True, check=True, text=True)
    assert f'"value":{shared_world.expected(1, ROW)}' in out.stdout


def test_a_null_is_missing_to_the_model_and_an_unseen_category_too(shared: Gateway, shared_world: World) -> None:
    answer = shared.predict({"origin": None, "hour": None, "distance": None}, {**ROW, "origin": "XXX"})
    values = [one["value"] for one in answer["predictions"]]
    assert values == [
        shared_world.expected(1, {"origin": None, "hour": None, "distance": None}),
        shared_world.expected(1, {**ROW, "origin": None}),
    ]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"rows":[{"origin":"JFK","hour":7,"distance":1},{"origin":"JFK","hour":"7","distance":1}]}', "rows[1].hour"),
        (b'{"rows":[{"origin":"JFK","distance":1}]}', "hour"),
        (b'{"rows":[{"origin":"JFK","hour":7,"distance":1,"wind":3}]}', "wind"),
        (b'{"rows":[{"origin":"JFK","hour":7.5,"distance":1}]}', "rows[0].hour"),
        (b'{"rows":[{"origin":"JFK","hour":7,"distance":1e999}]}', "rows[0].distance"),
        (b'{"rows":[{"origin":"JFK","hour":7,"distance":NaN}]}', "malformed"),
        (b'{"rows":[{"origin":"JFK","hour":9223372036854775808,"distance":1}]}', "rows[0].hour"),
        (b'{"rows":[{"origin":7,"hour":7,"distance":1}]}', "rows[0].origin"),
        (b'{"rows":[]}', "no row"),
        (b'{"rows":{}}', "rows"),
        (b"{}", "rows"),
        (b"", "truncated"),
        (b"\xff\xfe", "malformed"),
        (b'{"rows":[{"origin":"\xff"}]}', "utf-8"),
        (b"[" * 200_000, "array"),
        (b'{"rows":' + b"[" * 200_000, "rows[0]"),
        (b'{"rows":[{"origin":"' + b"x" * 5000 + b'"}]}', "rows[0].origin"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_row_and_the_field(shared: Gateway, body: bytes, words: str) -> None:
    answer = shared.client.post("/predict/late", content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "bad_rows"
    assert words in error["message"]
    assert error["hint"]


def test_too_many_rows_and_too_large_bodies_are_refused(shared: Gateway) -> None:
    answer = shared.client.post("/predict/late", json={"rows": [ROW] * 10_001})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    answer = shared.client.post("/predict/late", content=b" " * (17 * 2**20))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    def endless() -> Any:
        for _ in range(20):
            yield b" " * 2**20

    assert shared.client.post("/predict/late", content=endless()).status_code == 413


def test_an_unknown_model_is_not_found_and_the_nearest_is_named(shared: Gateway) -> None:
    answer = shared.client.post("/predict/lat", json={"rows": [ROW]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_such_endpoint")
    assert "late" in answer.json()["error"]["hint"]


@pytest.mark.parametrize("path", ["/", "/predict", "/predict/late/more", "/predict/%2e%2e/late", "/predict/late%2fmore", "/nothing"])
def test_unknown_paths_are_not_found(shared: Gateway, path: str) -> None:
    assert shared.client.get(path).status_code == 404
    assert shared.client.post(path, json={}).status_code == 404


@pytest.mark.parametrize("path", ["/predict/late", "/invocations/late", "/v2/models/late/infer", "/labels/late", "/features/late_features"])
def test_other_methods_are_refused(shared: Gateway, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert shared.client.request(method, path).status_code == 405


def test_a_compressed_body_is_refused(shared: Gateway) -> None:
    answer = shared.client.post("/predict/late", content=b"x", headers={"content-encoding": "gzip"})
    assert answer.status_code == 400


def test_real_time_takes_no_date(shared: Gateway) -> None:
    answer = shared.client.post("/predict/late", json={"rows": [ROW]}, headers={"modelyard-at": "5"})
    assert answer.status_code == 400
    assert "real time" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_split": {"columns": ["distance", "origin", "hour"], "data": [[1089.0, "JFK", 7]]}},
        {"dataframe_split": {"columns": ["distance", "origin", "hour"], "index": [0], "data": [[1089.0, "JFK", 7.0]]}},
        {"dataframe_records": [ROW]},
        {"instances": [ROW]},
        {"instances": [["JFK", 7, 1089.0]]},
        {"inputs": {"origin": ["JFK"], "hour": [7], "distance": [1089]}},
        {"inputs": [ROW]},
    ],
)
def test_every_form_of_mlflow_is_answered(shared: Gateway, shared_world: World, body: dict[str, Any]) -> None:
    answer = shared.client.post("/invocations/late", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["predictions"] == [shared_world.expected(1, ROW)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": [ROW], "instances": [ROW]},
        {"instances": []},
        {"instances": [[1, 2]]},
        {"dataframe_split": {"columns": ["hour", "hour"], "data": [[1, 2]]}},
        {"dataframe_records": [{"origin": "JFK"}]},
        {"inputs": {"origin": ["JFK"], "hour": [7, 8], "distance": [1]}},
        {"inputs": [{**ROW, "distance": "far"}]},
    ],
)
def test_mlflow_errors_have_its_shape(shared: Gateway, body: dict[str, Any]) -> None:
    answer = shared.client.post("/invocations/late", json=body)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"
    assert answer.json()["message"]


def test_health_needs_no_token_and_tells_nothing(shared: Gateway) -> None:
    for path in ("/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
        assert httpx.get(shared.url + path, trust_env=False).status_code == 200
    assert httpx.get(shared.url + "/readyz", trust_env=False).json().keys() == {"ready", "control_plane_age_s"}


def test_metrics_count_what_was_answered(shared: Gateway) -> None:
    shared.predict()
    text = shared.client.get("/metrics").text
    for name in (
        'modelyard_gateway_requests_total{model="late",version="1"}', 'modelyard_gateway_predictions_total{model="late",version="1"}',
        'modelyard_gateway_request_seconds_bucket{le="0.005",model="late",version="1"}', 'modelyard_gateway_revision{model="late"} 1.0',
        "modelyard_gateway_log_waiting_bytes", "modelyard_gateway_control_plane_age_seconds", "modelyard_gateway_in_flight",
        'modelyard_gateway_revision_age_seconds{model="late"}',
    ):  # fmt: skip
        assert name in text


def test_features_are_read_by_set(shared: Gateway) -> None:
    answer = shared.client.post("/features/late_features", json={"rows": [{"origin": "JFK"}]})
    assert answer.json()["rows"] == [{"wind": None, "rain": None}]
    assert answer.json()["ages_us"] == [{"weather": None}]
    assert answer.json()["missing"] == {name: {"0": "not_materialized"} for name in ("wind", "rain")}
    two = shared.client.post("/features/late_features", json={"rows": [{"origin": "JFK"}, {"origin": None}]}).json()
    assert two["rows"] == 2 * answer.json()["rows"]
    assert two["missing"]["rain"] == {"0": "not_materialized", "1": "not_materialized"}
    missing = shared.client.post("/features/other", json={"rows": [{"origin": "JFK"}]})
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "feature_set_not_found")


def test_what_is_answered_is_in_the_log_to_the_bit(gateway: Gateway, world: World) -> None:
    answer = gateway.predict({**ROW, "distance": 0.1 + 0.2}, ROW)
    (frame,) = [one for one in world.logged() if isinstance(one, PredictionFrame)]
    assert [str(uuid.UUID(bytes=frame.ids[n : n + 16])) for n in (0, 16)] == [one["id"] for one in answer["predictions"]]
    assert frame.values == [one["value"] for one in answer["predictions"]]
    assert frame.columns[:3] == [["JFK", "JFK"], [7, 7], [0.1 + 0.2, 1089.0]]
    assert (frame.arm, frame.revision, frame.reasons) == ("champion", 1, [])
    assert math.isclose(frame.at, frame.wall, abs_tol=5e6)

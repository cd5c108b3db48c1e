"""Open Inference Protocol V2, by Triton's own client and by hand: tensors in JSON and in binary, and its own shape of errors."""

import importlib
import warnings
from typing import Any

import msgspec
import numpy as np
import pytest

from modelyard.registry.artifacts import put_folder
from modelyard.registry.formats import save
from modelyard.serving.domain import Route
from tests.serving.world import ROW, SIGNATURE, TOKEN, Gateway, World, running

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    triton: Any = importlib.import_module("tritonclient.http")  # by name: it has no types
linear: Any = importlib.import_module("sklearn.linear_model")

INPUTS: list[dict[str, Any]] = [
    {"name": "origin", "shape": [2], "datatype": "BYTES", "data": ["JFK", "EWR"]},
    {"name": "hour", "shape": [2], "datatype": "INT64", "data": [7, 8]},
    {"name": "distance", "shape": [2, 1], "datatype": "FP64", "data": [[1089.0], [3.5]]},
]
HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def tensors(*, binary: bool) -> list[Any]:
    """The same rows as Triton's client sends them."""
    given = {
        "origin": np.array([b"JFK", b"EWR"], dtype=np.object_),
        "hour": np.array([7, 8], dtype=np.int64),
        "distance": np.array([1089.0, 3.5], dtype=np.float64),
    }
    made = []
    for name, values in given.items():
        datatype = {"O": "BYTES", "i": "INT64", "f": "FP64"}[values.dtype.kind]
        made.append(triton.InferInput(name, list(values.shape), datatype))
        made[-1].set_data_from_numpy(values, binary_data=binary)
    return made


def expected(world: World) -> list[float]:
    """What version 1 answers to the rows."""
    return [world.expected(1, ROW), world.expected(1, {"origin": "EWR", "hour": 8, "distance": 3.5})]


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_infers_as_it_comes(shared: Gateway, shared_world: World, binary: bool) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{shared.port}") as client:
        result = client.infer("late", tensors(binary=binary), headers=dict(HEADERS), request_id="r1")
        assert result.as_numpy("value").tolist() == expected(shared_world)
        assert result.as_numpy("version").tolist() == [1, 1]
        assert len(set(result.as_numpy("id").tolist())) == 2
        assert result.get_response()["id"] == "r1"
        assert result.get_response()["model_version"] == "1"


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client_asks_for_one_output_of_one_version(shared: Gateway, shared_world: World, binary: bool) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{shared.port}") as client:
        wanted = [triton.InferRequestedOutput("value", binary_data=binary)]
        result = client.infer("late", tensors(binary=True), model_version="1", outputs=wanted, headers=dict(HEADERS))
        assert result.as_numpy("value").tolist() == expected(shared_world)
        assert result.as_numpy("id") is None


def test_tritons_client_sees_health_and_metadata(shared: Gateway) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{shared.port}") as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("late", headers=dict(HEADERS))
        assert client.is_model_ready("late", "1", headers=dict(HEADERS))
        assert not client.is_model_ready("late", "2", headers=dict(HEADERS))
        assert not client.is_model_ready("other", headers=dict(HEADERS))
        assert client.get_server_metadata(headers=dict(HEADERS))["name"] == "modelyard"
        metadata = client.get_model_metadata("late", headers=dict(HEADERS))
    assert metadata["versions"] == ["1"]
    assert [(one["name"], one["datatype"]) for one in metadata["inputs"]] == [("origin", "BYTES"), ("hour", "INT64"), ("distance", "FP64")]


def test_tritons_client_raises_with_our_words(shared: Gateway) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{shared.port}") as client, pytest.raises(triton.InferenceServerException, match="'hour'"):
        client.infer("late", tensors(binary=True)[:1], headers=dict(HEADERS))


def test_plain_json_is_answered_in_json(shared: Gateway, shared_world: World) -> None:
    answer = shared.client.post("/v2/models/late/infer", json={"id": "a", "inputs": INPUTS})
    body = answer.json()
    assert (body["model_name"], body["model_version"], body["id"], body["parameters"]) == ("late", "1", "a", {"revision": 1})
    outputs = {one["name"]: one for one in body["outputs"]}
    assert outputs["value"]["data"] == expected(shared_world)
    assert (outputs["value"]["datatype"], outputs["value"]["shape"]) == ("FP64", [2])
    assert outputs["fallback"]["data"] == [False, False]


def changed(place: int, **fields: Any) -> dict[str, Any]:
    """The inputs with one of them changed."""
    return {"inputs": [{**one, **fields} if n == place else one for n, one in enumerate(INPUTS)]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "no row"),
        ({"inputs": INPUTS[:2]}, "distance"),
        ({"inputs": [*INPUTS, INPUTS[0]]}, "twice"),
        ({"inputs": [*INPUTS, {**INPUTS[1], "name": "houre"}]}, "houre"),
        (changed(1, shape=[3]), "shape"),
        (changed(1, shape=[-2]), "shape"),
        (changed(1, shape=[1, 2]), "shape"),
        (changed(1, shape=[2**31, 2**31]), "shape"),
        (changed(1, data=None), "no data"),
        (changed(1, data=[7, "x"]), "rows[1].hour"),
        (changed(1, data=[7, 8.5]), "rows[1].hour"),
        (changed(1, data=[[7], 8]), "mixes"),
        (changed(1, data=[[[7]], [[8]]]), "rows[0].hour"),
        (changed(1, parameters={"binary_data_size": 10**9}), "do not fit"),
        (changed(1, parameters={"binary_data_size": -8}), "do not fit"),
        (changed(1, parameters={"binary_data_size": "8"}), "do not fit"),
        ({"inputs": INPUTS, "outputs": [{"name": "score"}]}, "score"),
    ],
)
def test_errors_have_the_protocols_shape_and_say_what(shared: Gateway, body: dict[str, Any], words: str) -> None:
    answer = shared.client.post("/v2/models/late/infer", json=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert words in answer.json()["error"]


@pytest.mark.parametrize(
    ("datatype", "content", "words"),
    [
        ("INT64", b"\0" * 15, "whole number"),
        ("BF16", b"\0" * 4, "BF16"),
        ("BYTES", b"\xff\xff\xff\xff", "runs over"),
        ("BYTES", b"\x01\0\0", "unpack"),
        ("BYTES", b"\x01\0\0\0\xff", "utf-8"),
        ("INT64", b"\0" * 24, "3 values"),
        ("FP64", np.array([1.0, np.inf]).tobytes(), "rows[1].hour"),
    ],
)
def test_binary_tensors_that_lie_are_refused(shared: Gateway, datatype: str, content: bytes, words: str) -> None:
    head = shared.client.build_request(
        "POST", "/", json=changed(1, datatype=datatype, data=None, parameters={"binary_data_size": len(content)})
    )
    size = {"inference-header-content-length": str(len(head.content))}
    answer = shared.client.post("/v2/models/late/infer", content=head.content + content, headers=size)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


@pytest.mark.parametrize("length", ["999999", "-1", "x", "2", "9" * 5000])
def test_a_wrong_length_of_the_json_part_is_refused(shared: Gateway, length: str) -> None:
    headers = {"inference-header-content-length": length}
    answer = shared.client.post("/v2/models/late/infer", json={"inputs": INPUTS}, headers=headers)
    assert answer.status_code == 400
    assert "error" in answer.json()


def test_bytes_behind_the_last_tensor_are_refused(shared: Gateway) -> None:
    content = shared.client.build_request("POST", "/", json={"inputs": INPUTS}).content
    headers = {"inference-header-content-length": str(len(content))}
    answer = shared.client.post("/v2/models/late/infer", content=content + b"more", headers=headers)
    assert (answer.status_code, "4 bytes follow" in answer.json()["error"]) == (400, True)


@pytest.mark.parametrize("path", ["/v2/models/other/infer", "/v2/models/late/versions/2/infer", "/v2/models/late/versions/x/infer"])
def test_unknown_models_and_versions_are_not_found(shared: Gateway, path: str) -> None:
    answer = shared.client.post(path, json={"inputs": INPUTS})
    assert answer.status_code == 404
    assert isinstance(answer.json()["error"], str)


def test_not_a_number_in_binary_is_missing(shared: Gateway, shared_world: World) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{shared.port}") as client:
        given = tensors(binary=True)
        given[2].set_data_from_numpy(np.array([np.nan, 3.5]), binary_data=True)
        value = client.infer("late", given, headers=dict(HEADERS)).as_numpy("value")[0]
    assert value == shared_world.expected(1, {**ROW, "distance": None})


def test_each_version_says_on_which_platform_it_runs(world: World) -> None:
    rows = np.random.default_rng(2).normal(size=(40, 5))
    trained = world.folder / "trained" / "tree"
    kind = save(linear.LogisticRegression().fit(rows, rows[:, 3] > 0), trained, SIGNATURE)
    artifact, _ = put_folder(world.blobs, trained)
    world.versions[2] = msgspec.structs.replace(world.versions[2], format=kind, artifact=artifact)
    world.serve(canary=Route(version=2, share=0.5))
    with running(world) as gateway:
        paths = ("/v2/models/late", "/v2/models/late/versions/1", "/v2/models/late/versions/2")
        platforms = [gateway.client.get(path).json()["platform"] for path in paths]
    assert platforms == ["modelyard_lightgbm", "modelyard_lightgbm", "modelyard_skops"]

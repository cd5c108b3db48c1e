"""Bodies that nobody should send, to every route of a gateway: each is answered, or refused in the route's own shape, never with 500."""

import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.world import ROW, Gateway

FIELDS = {"origin": ("BYTES", "JFK"), "hour": ("INT64", 7), "distance": ("FP64", 1089.0)}
TENSORS = [{"name": name, "shape": [1], "datatype": kind, "data": [cell]} for name, (kind, cell) in FIELDS.items()]
BINARY = [
    {"name": "origin", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 7}},
    {"name": "hour", "shape": [1], "datatype": "INT64", "parameters": {"binary_data_size": 8}},
    {"name": "distance", "shape": [1, 1], "datatype": "FP64", "parameters": {"binary_data_size": 8}},
]
VALID: dict[str, list[Any]] = {
    "/predict/late": [{"rows": [ROW, ROW]}],
    "/invocations/late": [
        {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())]}},
        {"dataframe_records": [ROW]},
        {"instances": [ROW]},
        {"inputs": {name: [cell] for name, cell in ROW.items()}},
    ],
    "/v2/models/late/infer": [{"id": "1", "inputs": TENSORS, "outputs": [{"name": "value"}]}, {"inputs": BINARY}],
    "/features/late_features": [{"rows": [{"origin": "JFK"}]}],
    "/labels/late": [
        {"labels": [{"id": "0" * 8 + "-0000-0000-0000-" + "0" * 12, "value": 1}, {"keys": {"origin": "JFK"}, "value": 0, "at": 5}]}
    ],
}
LEAVES = st.none() | st.booleans() | st.integers() | st.integers(2**62, 2**80) | st.floats(allow_nan=False) | st.text(max_size=12)
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)
PACKED = b"\x03\x00\x00\x00JFK" + (7).to_bytes(8, "little") + b"\x00" * 8


@st.composite
def altered(draw: st.DrawFn, value: Any) -> Any:
    """`value` with something else at one place, or without it, or with more beside it."""
    if not isinstance(value, dict | list) or not value or draw(st.integers(0, 5)) == 0:
        return draw(ANYTHING)
    places = list(value) if isinstance(value, dict) else list(range(len(value)))
    place = draw(st.sampled_from(places))
    copy = dict(value) if isinstance(value, dict) else list(value)
    match draw(st.sampled_from(["alter", "alter", "alter", "drop", "add"])):
        case "drop":
            del copy[place]
        case "add":
            copy.update({draw(st.text(max_size=8)): draw(ANYTHING)}) if isinstance(copy, dict) else copy.append(value[place])
        case _:
            copy[place] = draw(altered(value[place]))
    return copy


@st.composite
def bodies(draw: st.DrawFn, valid: list[Any]) -> bytes:
    """Bytes that are nearly a body of a route, or nothing like it."""
    match draw(st.sampled_from(["altered", "altered", "altered", "cut", "bytes"])):
        case "altered":
            text = json.dumps(draw(altered(draw(st.sampled_from(valid))))).encode()
        case "cut":
            whole = json.dumps(draw(st.sampled_from(valid))).encode()
            start, end = sorted((draw(st.integers(0, len(whole))), draw(st.integers(0, len(whole)))))
            text = whole[:start] + draw(st.binary(max_size=6)) + whole[end:]
        case _:
            text = draw(st.binary(max_size=60))
    return text


@pytest.mark.parametrize("route", VALID)
@given(data=st.data())
def test_a_body_is_answered_or_refused_and_never_breaks_the_gateway(shared: Gateway, route: str, data: st.DataObject) -> None:
    content, headers = data.draw(bodies(VALID[route])), {}
    if route.endswith("/infer") and data.draw(st.booleans()):
        length = data.draw(st.sampled_from([len(content), len(content) - 1, 0, len(content) + 30]))
        headers["inference-header-content-length"] = str(length)
        content += data.draw(st.sampled_from([PACKED, PACKED[:-1], b""]) | st.binary(max_size=40))
    answer = shared.client.post(route, content=content, headers=headers)
    assert answer.status_code in (200, 400, 413), (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/json" or answer.status_code == 200
    if answer.status_code != 200:
        assert answer.json().keys() & {"error", "error_code"}


@given(st.text(max_size=20) | st.sampled_from(["²", "9" * 400, "-1", "1e3", "%00"]))
def test_a_path_that_names_no_version_is_refused(shared: Gateway, text: str) -> None:
    version = urllib.parse.quote(text, safe="")
    for route in (f"/v2/models/late/versions/{version}/ready", f"/v2/models/{version}/ready", f"/{version}"):
        answer = shared.client.get(route)
        assert answer.status_code in (200, 404, 405) if "/" not in text else answer.status_code < 500, (route, answer.text)

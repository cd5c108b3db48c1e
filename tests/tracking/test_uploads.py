"""Files that come in parts: who may send what to whom, what comes together, what is left behind."""

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from modelyard.core.clock import FixedClock
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking import service
from tests.tracking import plain
from tests.tracking.conftest import Call

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MPU = "/api/2.0/mlflow-artifacts/mpu/"
PARTS = [b"a" * 3_000_000, b"", bytes(range(256)) * 10]
Begin = Callable[..., Any]


@pytest.fixture
def begin(call: Call, run_id: str) -> Begin:
    """Begins an upload of the run's `model/big.bin`: the answer's JSON."""

    def begun(parts: int = len(PARTS), by: str = "") -> Any:
        body = {"path": "C:\\data\\big.bin", "num_parts": parts}
        return call("POST", f"create/0/{run_id}/artifacts/model", body, api=MPU, by=by).json()

    return begun


def send(created: Any, number: int, content: bytes, by: str = "") -> httpx.Response:
    """Sends a part as the client was told to."""
    credential = created["credentials"][number - 1]
    headers = credential["headers"] | ({"x-principal": by} if by else {})
    return plain.put(credential["url"], content=content, headers=headers, timeout=30)


def end(call: Call, run_id: str, created: Any, parts: list[Any], **more: Any) -> httpx.Response:
    """Completes an upload."""
    body = {"path": "/x/big.bin", "upload_id": created["upload_id"], "parts": parts} | more.pop("body", {})
    return call("POST", f"complete/0/{run_id}/artifacts/model", body, api=MPU, **more)


def tag(number: int, answer: httpx.Response) -> dict[str, Any]:
    """A part as the client names it in the end."""
    return {"part_number": number, "etag": answer.headers["etag"], "url": str(answer.url)}


def test_parts_that_come_in_any_order_make_up_the_file(call: Call, run_id: str, begin: Begin, blobs: Blobs) -> None:
    created = begin()
    send(created, 2, b"replaced by a second try")
    tags = {number: tag(number, send(created, number, PARTS[number - 1])) for number in (3, 1, 2)}
    assert end(call, run_id, created, [tags[1], tags[2]]).status_code == 400
    assert end(call, run_id, created, [tags[1], tags[3], tags[2]]).status_code == 400
    assert end(call, run_id, created, [tags[1], tags[2], tags[3] | {"etag": tags[1]["etag"]}]).status_code == 400
    assert end(call, run_id, created, [tags[1], tags[2], tags[3]]).json() == {}
    whole = b"".join(PARTS)
    found = call("GET", f"0/{run_id}/artifacts/model/big.bin", api="/api/2.0/mlflow-artifacts/artifacts/")
    assert found.content == whole
    assert set(blobs.list_digests()) == {"sha256:" + hashlib.sha256(whole).hexdigest()}, "the parts are gone"
    assert end(call, run_id, created, [tags[1], tags[2], tags[3]]).status_code == 404


def test_each_step_asks_who_may(call: Call, run_id: str, begin: Begin) -> None:
    assert begin(by="reader")["error_code"] == "PERMISSION_DENIED"
    assert begin(by="stranger")["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    created = begin(1)
    for by in ("reader", "stranger"):
        assert send(created, 1, b"x", by=by).status_code == 404, "an upload is its maker's alone"
        assert end(call, run_id, created, [{"part_number": 1, "etag": "x"}], by=by).status_code == 404
        abort = {"path": "big.bin", "upload_id": created["upload_id"]}
        assert call("POST", f"abort/0/{run_id}/artifacts/model", abort, api=MPU, by=by).status_code == 404
    sent = tag(1, send(created, 1, b"x"))
    assert end(call, run_id, created, [sent], body={"path": "other.bin"}).status_code == 404, "of another artifact"
    call("POST", "runs/delete", {"run_id": run_id})
    assert send(created, 1, b"y").status_code == 400, "the run went into the bin meanwhile"
    assert end(call, run_id, created, [sent]).status_code == 400


def test_a_part_goes_with_the_callers_own_credentials_and_no_others(server: str, run_id: str) -> None:
    url, body = f"{server}{MPU}create/0/{run_id}/artifacts", {"path": "a", "num_parts": 1}
    told = plain.post(url, json=body, headers={"authorization": "Bearer mine", "x-forwarded-proto": "https"}).json()["credentials"][0]
    assert told["headers"] == {"Authorization": "Bearer mine"}
    assert told["url"].startswith("https://127.0.0.1:"), "a proxy that ends TLS says so"
    assert plain.post(url, json=body).json()["credentials"][0]["headers"] == {}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"num_parts": 1}, "Missing value for required parameter 'path'"),
        ({"path": "a", "num_parts": "x"}, "Invalid value \"x\" for parameter 'num_parts'"),
        ({"path": "a", "num_parts": 0}, "num_parts"),
        ({"path": "a", "num_parts": 10_001}, "num_parts"),
        ({"path": "..", "num_parts": 1}, "Invalid path"),
        ({"path": "a/", "num_parts": 1}, "Invalid path"),
    ],
)
def test_a_wrong_beginning_is_refused(call: Call, run_id: str, body: Any, told: str) -> None:
    answer = call("POST", f"create/0/{run_id}/artifacts", body, api=MPU)
    assert (answer.status_code, told in answer.json()["message"]) == (400, True)


def test_a_part_beyond_the_upload_is_refused_unread(begin: Begin, blobs: Blobs) -> None:
    created = begin(1)
    url = created["credentials"][0]["url"]
    for number in ("0", "2", "x", "-1", "1/2"):
        assert plain.put(f"{url[:-1]}{number}", content=b"x" * 100).status_code in (400, 404)
    assert list(blobs.list_digests()) == []


def test_what_is_given_up_or_expires_leaves_nothing(
    call: Call, run_id: str, begin: Begin, database: Database, blobs: Blobs, clock: FixedClock
) -> None:
    for gone in ("aborted", "expired"):
        created = begin()
        assert send(created, 1, PARTS[0]).status_code == 200
        assert service.expire_uploads(database, blobs) == 0
        if gone == "aborted":
            body = {"path": "big.bin", "upload_id": created["upload_id"]}
            assert call("POST", f"abort/0/{run_id}/artifacts/model", body, api=MPU).json() == {}
        else:
            clock.advance(service.UPLOAD_LIFE_S)
        assert send(created, 2, b"late").status_code == 404
        service.expire_uploads(database, blobs)
        assert list(blobs.list_digests()) == []


def test_a_part_whose_content_is_elsewhere_too_does_not_take_that_along(call: Call, run_id: str, begin: Begin) -> None:
    created, twin = begin(1), begin(1)
    address = f"/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/"
    url = created["credentials"][0]["url"].partition("/api/")[0] + address
    plain.put(f"{url}kept", content=b"the same bytes")
    send(created, 1, b"the same bytes")
    same = tag(1, send(twin, 1, b"the same bytes"))
    call("POST", f"abort/0/{run_id}/artifacts/model", {"path": "big.bin", "upload_id": created["upload_id"]}, api=MPU)
    assert end(call, run_id, twin, [same]).json() == {}
    assert [plain.get(url + path).content for path in ("kept", "model/big.bin")] == [b"the same bytes"] * 2

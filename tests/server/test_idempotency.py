"""`Idempotency-Key` against a running server: what is sent again is answered as the first time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from modelyard.access.domain import Role
from modelyard.server.surface import OPERATIONS
from modelyard.web.operations import API
from tests.server.conftest import Running

SECRET = {"/users", "/users/{user}/invitation", "/tokens", "/gateways/{gateway}/heartbeat"}
READS = {
    "/declarations/plan",
    "/features/{feature_set}",
    "/imports/marks",
    "/logged-models/contents",
    "/runs/contents",
    "/runs/search",
}


def sent(client: httpx.Client, key: str, path: str, body: Any = None, method: str = "POST") -> httpx.Response:
    """A request under a key."""
    return client.request(method, API + path, json=body, headers={"Idempotency-Key": key})


def account(name: str) -> dict[str, str]:
    """The body that makes a service account."""
    return {"name": name, "team": "default", "role": "viewer"}


def test_a_request_under_its_key_is_carried_out_once(running: Running) -> None:
    with running.client(Role.ADMIN) as client:
        first, again = (sent(client, "once", "/service-accounts", account("once-only")) for _ in range(2))
        assert first.status_code == 200, first.text
        assert (again.status_code, again.content) == (200, first.content)
        assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
        other = sent(client, "once", "/service-accounts", account("another"))
        assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")
        assert sent(client, "twice", "/service-accounts", account("once-only")).status_code == 409


def test_of_requests_at_once_under_one_key_all_get_the_same_answer(running: Running) -> None:
    with running.client(Role.ADMIN) as client, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sent(client, "at-once", "/service-accounts", account("at-once")), range(8)))
    assert {one.status_code for one in answers} == {200}
    assert len({one.content for one in answers}) == 1
    assert sum("Idempotency-Replayed" not in one.headers for one in answers) == 1


def test_an_answer_without_content_is_given_again(running: Running) -> None:
    with running.client(Role.ADMIN) as client:
        body = {"name": "short", "scopes": ["read"], "expires_in": "1d"}
        token = client.post(f"{API}/tokens", json=body).raise_for_status().json()["token"]["id"]
        answers = [sent(client, "gone", f"/tokens/{token}", method="DELETE") for _ in range(2)]
    assert [(one.status_code, one.content) for one in answers] == [(204, b""), (204, b"")]
    assert ["Idempotency-Replayed" in one.headers for one in answers] == [False, True]


def test_a_key_is_its_callers_own(running: Running) -> None:
    body = {"name": "shared_key", "owner": "ops", "purpose": "tests", "risk": "minimal"}
    with running.client(Role.ADMIN) as ada, running.client(Role.CONTRIBUTOR) as ben:
        assert sent(ada, "shared", "/models", body).status_code == 200
        assert sent(ben, "shared", "/models", body).status_code == 409


def test_a_secret_is_not_kept_and_a_wrong_key_is_refused(running: Running) -> None:
    with running.client(Role.ADMIN) as client:
        refused = sent(client, "k", "/tokens", {"name": "x", "scopes": ["read"], "expires_in": "1d"})
        assert "takes no Idempotency-Key" in refused.json()["error"]["message"]
        for key in ("", "x" * 201):
            assert sent(client, key, "/service-accounts", account("never")).status_code == 400


def test_every_write_takes_a_key_and_says_so(running: Running) -> None:
    with running.client(Role.VIEWER) as client:
        paths = client.get("/openapi.json").json()["paths"]
    takes = {
        (one.method, one.path)
        for one in OPERATIONS
        if any(part["name"] == "Idempotency-Key" for part in paths[API + one.path][one.method.lower()]["parameters"])
    }
    writes = {(one.method, one.path) for one in OPERATIONS if one.method != "GET" and one.path not in SECRET | READS}
    assert takes == writes

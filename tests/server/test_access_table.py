"""Every route of the server is walked as nobody and as each role: the table decides, and no route is outside it."""

import re

import pytest

from modelyard.access.domain import INCLUDES, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.rules import SAFE_METHODS, scopes_for
from modelyard.access.service import create_token
from modelyard.server.access_table import MLFLOW, PUBLIC, TABLE, Least
from modelyard.server.gateway_rules import check_gateway_rules
from modelyard.server.guard import check_rules
from modelyard.serving.gateway.routes import ROUTES, GatewayRoute
from tests.server.conftest import Running

# These end a session or a token, or a stream without end: walking them as an allowed role would end the walk.
ONCE = {"GET /live"}
TWINS = {rule.replace(" /api/", " /ajax-api/"): least for rule, least in MLFLOW.items()}
WALKED: dict[str, Least] = {**TABLE, **TWINS}


def path_of(rule: str) -> tuple[str, str]:
    method, template = rule.split(" ")
    return method, re.sub(r"\{(\w+)\}", lambda found: "999999" if found[1] in ("index", "size") else "no-such-thing", template)


@pytest.mark.parametrize("rule", sorted(WALKED))
def test_nobody_reaches_what_is_not_public(running: Running, rule: str) -> None:
    method, path = path_of(rule)
    with running.client() as client:
        answer = client.request(method, path, follow_redirects=False)
    asked_to_log_in = answer.status_code == 401 and "needs a login" in answer.text
    assert asked_to_log_in is (WALKED[rule] != PUBLIC), answer.text


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_what_the_table_gives_it_and_nothing_else(running: Running, role: Role) -> None:
    wrong = []
    with running.client(role) as client:
        for rule, least in sorted(WALKED.items()):
            if rule in ONCE:
                continue
            method, path = path_of(rule)
            answer = client.request(method, path, follow_redirects=False)
            refused = answer.status_code == 403 and f"is no {least} in any team" in answer.text
            allowed = least == PUBLIC or least in INCLUDES[role]
            if allowed is refused or answer.status_code == 500:
                wrong.append(f"{rule} as {role}: {answer.status_code} {answer.text[:100]}")
    assert wrong == []


@pytest.mark.parametrize("name", ["search", "search1", "search.json"])
def test_no_name_makes_a_change_a_read(name: str) -> None:
    changes = [rule.split(" ") for rule, least in TABLE.items() if least not in (PUBLIC, Role.VIEWER)]
    filled = [(method, re.sub(r"\{\w+\}", name, template)) for method, template in changes if method not in SAFE_METHODS]
    assert [one for one in filled if Scope.READ in scopes_for(*one)] == []


@pytest.mark.parametrize("path", ["/api/2.0/mlflow/jobs", "/ajax-api/3.0/mlflow-no/x", "/api/2.0/mlflow-artifacts/mpu/begin/1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"])
def test_nobody_learns_what_the_interface_of_mlflow_has_not(running: Running, method: str, path: str) -> None:
    with running.client() as client:
        assert client.request(method, path).status_code == 401
    with running.client(Role.VIEWER) as client:
        assert client.request(method, path).status_code == 404


def test_a_route_without_a_rule_and_a_rule_without_a_route_keep_a_role_from_starting() -> None:
    with pytest.raises(TypeError, match=r"POST /api/2\.0/mlflow/jobs"):
        check_rules((), (("POST", "/api/2.0/mlflow/jobs"), *(rule.split(" ") for rule in TABLE)))  # type: ignore[arg-type]  # a pair each
    with pytest.raises(TypeError, match=r"mlflow/runs/create \(no such route\)"):
        check_rules((), ())
    check_gateway_rules(ROUTES)
    with pytest.raises(TypeError, match="GET /v2/logs"):
        check_gateway_rules((*ROUTES, GatewayRoute("GET", "/v2/logs")))
    with pytest.raises(TypeError, match=r"POST /labels/\{model\} \(no such route\)"):
        check_gateway_rules(ROUTES[:-1])
    with pytest.raises(TypeError, match=r"who may ask: /labels/\{model\}"):
        check_gateway_rules((*ROUTES[:-1], GatewayRoute("POST", "/labels/{model}", is_public=True)))


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Host": "127.0.0.1"}, {"Host": "localhost:1"}])
def test_a_rebound_name_reaches_nothing(running: Running, headers: dict[str, str]) -> None:
    with running.client(Role.ADMIN) as client:
        assert client.get("/api/v1/me", headers=headers).status_code == 403


def test_a_page_of_another_site_changes_nothing(running: Running) -> None:
    with running.client(Role.ADMIN) as client:
        answer = client.post("/api/v1/teams", json={"team": "x", "name": "X"}, headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403


def test_a_page_of_another_site_writes_by_no_route(running: Running) -> None:
    headers = {"Origin": "https://evil.example"}
    with running.client(Role.ADMIN) as client:
        for rule in WALKED:
            method, path = path_of(rule)
            if method != "GET":
                answer = client.request(method, path, headers=headers)
                assert (answer.status_code, "may not change anything here" in answer.text) == (403, True), rule


@pytest.mark.parametrize("path", ["//api/v1/teams", "/api//v1/teams", "/api/v1/%2e/teams", "/api/v1/x/%2E%2e/teams", "/api/v1/%2fteams"])
def test_a_path_that_routes_would_read_otherwise_than_the_gate_is_none(running: Running, path: str) -> None:
    with running.client(Role.ADMIN) as client:
        request = client.build_request("POST", "/", json={"team": "x", "name": "X"})
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_token_reaches_no_route_that_its_scope_does_not_name(running: Running) -> None:
    database = running.installation.database
    order = TokenOrder(name="narrow", scopes=(Scope.READ,), owner="test-admin")
    secret = database.write(lambda tx: create_token(tx, SYSTEM, order)).secret
    reached = set()
    with running.client() as client:
        for rule, least in WALKED.items():
            method, path = path_of(rule)
            if least != PUBLIC and rule not in ONCE:
                answer = client.request(method, path.replace("no-such-thing", "search"), headers={"Authorization": f"Bearer {secret}"})
                reached |= set() if answer.status_code == 403 and "this token's scopes" in answer.text else {rule}
    assert {rule for rule in reached if not rule.startswith("GET ") and WALKED[rule] != Role.VIEWER} == set()
    assert {rule for rule, least in WALKED.items() if least == Role.VIEWER and "/mlflow" in rule} <= reached


@pytest.mark.parametrize("path", ["/", "/live", "/api/v1/me", "/api/2.0/mlflow/runs/search"])
@pytest.mark.parametrize("role", [None, Role.ADMIN])
def test_no_websocket_is_opened(running: Running, path: str, role: Role | None) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with running.client(role) as client, client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code != 101


def test_a_token_that_was_made_up_is_refused_and_not_taken_for_nobody(running: Running) -> None:
    with running.client() as client:
        answer = client.get("/healthz", headers={"Authorization": "Bearer yard_000000000000_" + "0" * 48})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "not_authenticated"


def test_a_route_that_does_not_exist_is_told_apart(running: Running) -> None:
    with running.client(Role.VIEWER) as client:
        assert client.get("/api/v1/nothing").status_code == 404
        assert client.put("/api/v1/me").status_code == 405

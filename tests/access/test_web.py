"""The doors as a browser and a program meet them: pages, cookies, tokens, hosts and origins, over the whole middleware."""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from litestar import Litestar, Request, Response, get, post
from litestar.testing import TestClient

from modelyard.access import service
from modelyard.access.api import OPERATIONS
from modelyard.access.domain import Principal, Scope, TokenOrder, User
from modelyard.access.handlers import Doors, csrf_of, found_in, required_in, viewer_of
from modelyard.access.middleware import Access, Gate
from modelyard.access.pages import ACTIONS, PAGES
from modelyard.access.rules import COOKIE, CSRF_HEADER, allowed_hosts
from modelyard.core.errors import ErrorBody
from modelyard.storage.database import Database
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.headers import secured
from modelyard.web.http import described, error_response, operation_handler
from modelyard.web.operations import bind
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.access.conftest import OTHER, PASSWORD, ROOT, of

URL = "http://127.0.0.1:7700"
HTML = {"accept": "text/html"}
INJECTABLE: frozenset[type] = frozenset({Principal})
Client = TestClient[Any]
Open = Callable[..., Client]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def values(request: Request[Any, Any, Any]) -> Mapping[type, Any]:
    """The request's principal."""
    return {Principal: required_in(request).principal}


def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in the one JSON shape."""
    return error_response(*described(error))


@get("/api/v1/whoami", sync_to_thread=False)
def whoami(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Who a request is taken for."""
    found = found_in(request)
    return {"name": found.principal.name if found else "", "by": found.by if found else ""}


@post("/api/v1/deliveries", sync_to_thread=False)
def change(request: Request[Any, Any, Any]) -> None:
    """Something that changes the world."""


def mlflow_shape(body: ErrorBody) -> bytes:
    """An error as MLflow writes it."""
    return b'{"error_code":"' + body.code.encode() + b'"}'


@pytest.fixture
def front(database: Database) -> Iterator[Open]:
    """Opens a browser in front of the server, with login unless told otherwise."""
    with ThreadPoolExecutor(4) as pool:
        resources = Resources(database=database, values={}, pool=pool)
        shell = Shell(clock=database.clock, version="0", pages=PAGES, viewer=viewer_of, csrf=csrf_of)
        site = Site(
            shell=shell, templates=templates(load_assets(), PAGES), resources=resources, injectable=INJECTABLE, request_values=values
        )
        handlers = [operation_handler(bind(item, INJECTABLE), resources, values) for item in OPERATIONS]
        routes = [*handlers, *page_routes(site, PAGES, ACTIONS), *Doors(site).routes(), whoami, change]
        inner = secured(Litestar(routes, exception_handlers={Exception: answered}))

        def opened(*, asks_login: bool = True) -> Client:
            hosts = allowed_hosts("127.0.0.1", 7700)
            shapes = (("/api/2.0/mlflow", mlflow_shape),)
            gate = Gate(database=database, pool=pool, hosts=hosts, asks_login=asks_login, shapes=shapes)
            client: Client = TestClient(Access(inner, gate), base_url=URL)
            client.follow_redirects = False
            return client

        yield opened


@pytest.fixture
def ada(database: Database, person: Callable[..., User]) -> User:
    """A contributor with a password."""
    database.write(service.first_start)
    return person("ada", default="contributor")


def entered(front: Open, password: str = PASSWORD) -> Client:
    """A browser that logged in."""
    client = front()
    answer = client.post("/login", data={"name": "ada", "password": password, "next": "/settings"}, headers={"origin": URL})
    assert (answer.status_code, answer.headers["location"]) == (303, "/settings")
    return client


def csrf(client: Client) -> str:
    """The CSRF token of the browser's forms."""
    page = client.get("/settings", headers=HTML).text
    match = re.search(r'name="csrf" value="([0-9a-f]{64})"', page)
    assert match
    return match[1]


def token(database: Database, user: User, *scopes: Scope) -> dict[str, str]:
    """The header of a new token."""
    made = database.write(lambda tx: service.create_token(tx, of(user), TokenOrder(name="t", scopes=scopes)))
    return {"authorization": f"Bearer {made.secret}"}


def name_of(client: Client, headers: Mapping[str, str] | None = None) -> str:
    """Whom the server takes the client for."""
    return str(client.get("/api/v1/whoami", headers=dict(headers or {})).json()["name"])


def test_the_first_admin_comes_in_by_the_link_and_no_other_way(front: Open, database: Database) -> None:
    link = database.write(service.first_start)
    assert link is not None
    client = front()
    page = client.get(link.path, headers=HTML)
    assert page.headers["referrer-policy"] == "strict-origin"
    assert "admin" in page.text
    secret = link.path.removeprefix("/setup/")
    weak = client.post("/welcome", data={"token": secret, "password": "password1234", "again": "password1234"})
    assert (weak.status_code, "anyone would try" in weak.text) == (400, True)
    differ = client.post("/welcome", data={"token": secret, "password": PASSWORD, "again": OTHER})
    assert (differ.status_code, "same password" in differ.text) == (400, True)
    chosen = client.post("/welcome", data={"token": secret, "password": PASSWORD, "again": PASSWORD})
    assert chosen.status_code == 303
    assert name_of(client) == "admin"
    assert front().get(link.path, headers=HTML).status_code == 404


def test_the_cookie_is_kept_from_scripts_and_other_sites(front: Open, ada: User) -> None:
    answer = front().post("/login", data={"name": "ada", "password": PASSWORD})
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "no-store" in answer.headers["cache-control"]


def test_a_wrong_login_says_so_on_the_page_and_later_asks_to_wait(front: Open, ada: User) -> None:
    client = front()
    answers = [client.post("/login", data={"name": "ada<script>", "password": "x"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert answers[-1].headers["Retry-After"] == "1"
    page = client.post("/login", data={"name": "<script>alert(1)</script>", "password": "x", "next": "//evil.example"})
    assert "<script>alert" not in page.text
    assert "evil.example" not in page.text


def test_login_sends_only_to_this_server(front: Open, ada: User) -> None:
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"):
        answer = front().post("/login", data={"name": "ada", "password": PASSWORD, "next": to})
        assert answer.headers["location"] == "/"


def test_logging_out_ends_the_session_and_needs_the_forms_token(front: Open, ada: User) -> None:
    client = entered(front)
    session = client.cookies[COOKIE]
    assert client.post("/logout").status_code == 403
    assert client.post("/logout", data={"csrf": csrf(client)}).status_code == 303
    assert name_of(front(), {"cookie": f"{COOKIE}={session}"}) == ""


def test_a_password_change_logs_out_every_other_browser(front: Open, ada: User) -> None:
    here, there = entered(front), entered(front)
    form = {"csrf": csrf(here), "current": PASSWORD, "password": OTHER, "again": OTHER}
    assert here.post("/settings/password", data=form | {"csrf": "0" * 64}).status_code == 403
    assert here.post("/settings/password", data=form).headers["location"] == "/settings"
    assert (name_of(here), name_of(there)) == ("ada", "")


def test_a_token_is_shown_once_works_at_once_and_is_refused_once_revoked(front: Open, ada: User) -> None:
    client = entered(front)
    form = {"csrf": csrf(client), "name": "laptop", "scope-tracking": "true", "expires_in": "30d"}
    page = client.post("/settings/tokens", data=form)
    match = re.search(r"yard_([0-9a-f]{12})_[0-9a-f]{48}", page.text)
    assert page.status_code == 201
    assert match
    assert match[0] not in client.get("/settings", headers=HTML).text
    program = front()
    assert name_of(program, {"authorization": f"Bearer {match[0]}"}) == "ada"
    client.post(f"/settings/tokens/{match[1]}/revoke", data={"csrf": csrf(client)})
    refused = program.get("/api/v1/whoami", headers={"authorization": f"Bearer {match[0]}"})
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json()["error"]["code"] == "not_authenticated"


def test_mlflow_clients_log_in_with_basic_and_get_errors_in_their_own_shape(front: Open, database: Database, ada: User) -> None:
    secret = token(database, ada, Scope.TRACKING)["authorization"].removeprefix("Bearer ")
    with front() as client:
        assert client.get("/api/v1/whoami", auth=("ada", secret)).json() == {"name": "ada", "by": "token"}
        assert client.get("/api/v1/whoami", auth=("ada", PASSWORD)).status_code == 401
        refused = client.get("/api/2.0/mlflow/experiments/get", headers={"authorization": "Bearer no"})
    assert refused.json() == {"error_code": "not_authenticated"}


def test_a_cookie_alone_changes_nothing_below_api(front: Open, ada: User) -> None:
    client = entered(front)
    assert client.post("/api/v1/deliveries").status_code == 403
    assert client.post("/api/v1/deliveries", headers={CSRF_HEADER: "0" * 64}).status_code == 403
    assert client.post("/api/v1/deliveries", headers={CSRF_HEADER: csrf(client)}).status_code == 201


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "evil.example:7700"}),
        ("GET", {"host": "127.0.0.1:7701"}),
        ("POST", {"origin": "https://evil.example"}),
        ("POST", {"origin": "null"}),
        ("POST", {"sec-fetch-site": "cross-site"}),
    ],
)
def test_foreign_hosts_and_origins_are_refused_on_every_path_and_with_every_right(
    front: Open, database: Database, ada: User, method: str, headers: dict[str, str]
) -> None:
    for client, more in ((front(), token(database, ada, Scope.ALL)), (front(asks_login=False), {})):
        for path in ("/", "/login", "/api/v1/deliveries", "/healthz", "/metrics", "/static/x"):
            answer = client.request(method, path, headers=headers | more)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_origin")


def test_a_tokens_scope_bounds_what_it_reaches(front: Open, database: Database, ada: User) -> None:
    client = front()
    reads, deploys = token(database, ada, Scope.READ), token(database, ada, Scope.DEPLOY)
    assert name_of(client, reads) == "ada"
    assert client.post("/api/v1/deliveries", headers=reads).status_code == 403
    assert client.post("/api/v1/deliveries", headers=deploys).status_code == 201
    order = {"name": "more", "scopes": ["all"]}
    assert client.post("/api/v1/tokens", headers=deploys, json=order).json()["error"]["code"] == "not_allowed"


def test_without_login_everybody_on_this_machine_is_local_and_pages_of_other_sites_are_not(front: Open, database: Database) -> None:
    database.write(service.first_start)
    client = front(asks_login=False)
    assert client.get("/api/v1/whoami").json() == {"name": "Local", "by": "no_login"}
    assert client.post("/api/v1/deliveries").status_code == 201
    assert client.post("/api/v1/deliveries", headers={"origin": URL}).status_code == 403
    assert "without login" in client.get("/settings", headers=HTML).text


def test_the_operations_speak_for_the_caller(front: Open, database: Database, ada: User) -> None:
    client, headers = front(), token(database, ada, Scope.ALL)
    me = client.get("/api/v1/me", headers=headers).json()
    assert (me["principal"]["name"], [team["id"] for team in me["teams"]]) == ("ada", ["default"])
    assert client.get("/api/v1/users", headers=headers).json() == []
    refused = client.post("/api/v1/users", headers=headers, json={"name": "bob", "team": "default", "role": "viewer"})
    assert refused.status_code == 403
    made = client.post("/api/v1/tokens", headers=headers, json={"name": "ci", "scopes": ["deploy"]}).json()
    assert made["secret"].startswith(f"yard_{made['token']['id']}_")
    assert client.delete(f"/api/v1/tokens/{made['token']['id']}", headers=headers).status_code == 204
    database.write(lambda tx: service.disable_user(tx, ROOT, "ada"))
    assert client.get("/api/v1/me", headers=headers).status_code == 401


def test_a_name_full_of_script_is_shown_as_text(front: Open, ada: User) -> None:
    client = entered(front)
    form = {"csrf": csrf(client), "name": "<img src=x onerror=alert(1)>", "scope-read": "true", "expires_in": "7d"}
    assert "<img src=x" not in client.post("/settings/tokens", data=form).text
    assert "<img src=x" not in client.get("/settings", headers=HTML).text

"""Fleet's pages as a browser gets them: the portfolio, the questions, traces and search, and what an empty installation says."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from litestar import Litestar, Request, Response
from litestar.testing import TestClient

from modelyard.access.domain import Principal
from modelyard.core.settings import Settings
from modelyard.fleet.pages import PAGES
from modelyard.storage.blobs import Blobs
from modelyard.storage.tables import Tables
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.fleet.world import EVE, MAX, Fleet

Client = TestClient[Litestar]
PEOPLE = {one.name: one for one in (EVE, MAX)}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(registered: Fleet) -> Iterator[Client]:
    """A client of the pages; the header `who` says as whom."""
    shell = Shell(clock=registered.world.clock, version="test", pages=PAGES, viewer=lambda _: None, csrf=lambda _: "t" * 64)
    values = {Blobs: registered.blobs, Tables: registered.world.tables, Settings: registered.settings}

    def caller(request: Request[Any, Any, Any]) -> dict[type, Any]:
        return {Principal: PEOPLE[request.headers.get("who", "eve")]}

    def fault(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return error_response(*described(error))

    with ThreadPoolExecutor(2) as pool:
        site = Site(
            shell=shell,
            templates=templates(load_assets(), PAGES),
            resources=Resources(database=registered.database, values=values, pool=pool),
            injectable=frozenset({Principal, Blobs, Tables, Settings}),
            request_values=caller,
        )
        app = Litestar(route_handlers=page_routes(site, PAGES), openapi_config=None, exception_handlers={Exception: fault})
        with TestClient(app) as opened:
            yield opened


def shown(client: Client, path: str, who: str = "eve") -> str:
    """The page at `path`."""
    answer = client.get(path, headers={"Accept": "text/html", "who": who})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_portfolio_shows_each_model_and_filters_those_that_need_a_look(client: Client, fleet: Fleet) -> None:
    healthy = shown(client, "/")
    assert "Healthy" in healthy
    assert "/models/late/versions/1" in healthy
    assert "No model fits" in shown(client, "/?show=look")
    name = fleet.wait(2)
    assert 'title="v2 waits for approval by team default"' in shown(client, "/?show=look")
    assert f"/deliveries/{name}" in shown(client, "/")


def test_an_empty_portfolio_says_what_to_do_first(client: Client) -> None:
    text = shown(client, "/", "max")
    assert "yard ship MODEL" in text
    assert "MLFLOW_TRACKING_URI" in text
    assert "late" not in text.split("<main")[1].replace("locked", "")


def test_the_questions_show_answers_and_say_where_there_is_no_record(client: Client, fleet: Fleet) -> None:
    fleet.predict()
    text = shown(client, "/questions")
    assert text.count('class="card answer"') == 6
    assert "No record yet" in text
    assert "approved by policy" in text
    assert "/ledger/entries/" in text


def test_a_trace_is_a_readable_chain_under_both_addresses_of_a_version(client: Client, fleet: Fleet) -> None:
    for path in (f"/trace/{fleet.predict()}", "/trace/late/1", "/trace/late@1"):
        text = shown(client, path)
        assert "Approved by policy" in text
        assert "metrics.roc_auc &gt;= 0.65" in text
    assert client.get("/trace/nothing", headers={"Accept": "text/html"}).status_code == 404
    assert client.get("/trace/late/1", headers={"who": "max"}).status_code == 404


def test_programs_read_the_same_as_people(client: Client, fleet: Fleet) -> None:
    answer = client.get("/", headers={"Accept": "application/json"}).json()
    assert [row["model"] for row in answer["portfolio"]["rows"]] == ["late"]


def test_the_search_of_the_bar_leads_to_what_has_the_name(client: Client, fleet: Fleet) -> None:
    text = shown(client, "/search?q=late")
    assert 'href="/models/late"' in text
    assert "Nothing found" in shown(client, "/search?q=late", "max")
    assert "Find anything" in shown(client, "/search")

"""Monitoring over HTTP: operations for programs, pages for people, each with what it is for."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from litestar import Litestar, Request, Response
from litestar.testing import TestClient

from modelyard.access.domain import DEFAULT_TEAM, Principal, PrincipalId, Role
from modelyard.features.sections import Reads
from modelyard.features.service import put_consumer
from modelyard.monitoring.api import OPERATIONS
from modelyard.monitoring.domain import drift, performance, quality
from modelyard.monitoring.pages import ACTIONS, PAGES
from modelyard.monitoring.sections import on_models_page, on_views_page
from modelyard.monitoring.service import measure_due
from modelyard.registry.domain import ModelName
from modelyard.registry.sections import Contribution
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response, operation_handler
from modelyard.web.operations import bind
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.monitoring.world import LATE, SET, World

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
EVE = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
NOBODY = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={})
HTML = {"accept": "text/html"}
TOKEN = "t" * 64
INJECTABLE: frozenset[type] = frozenset({Principal})
ALL = (drift(window="3d"), quality(), performance("roc_auc", drop=0.05, window="7d"))
Client = TestClient[Litestar]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in the one JSON shape."""
    return error_response(*described(error))


def principal_of(request: Request[Any, Any, Any]) -> Mapping[type, Any]:
    """Ada, unless the request says that it is Eve's."""
    return {Principal: EVE if request.headers.get("x-as") == "eve" else ADA}


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    """A browser in front of monitoring."""
    with ThreadPoolExecutor(2) as pool:
        resources = Resources(database=world.database, values={}, pool=pool)
        shell = Shell(clock=world.clock, version="0", pages=PAGES, viewer=lambda _: None, csrf=lambda _: TOKEN)
        site = Site(
            shell=shell, templates=templates(load_assets(), PAGES), resources=resources, injectable=INJECTABLE, request_values=principal_of
        )
        handlers = [operation_handler(bind(item, INJECTABLE), resources, principal_of) for item in OPERATIONS]
        with TestClient(Litestar([*handlers, *page_routes(site, PAGES, ACTIONS)], exception_handlers={Exception: answered})) as opened:
            opened.follow_redirects = False
            yield opened


@pytest.fixture
def ill(world: World) -> World:
    """A model that drifted and lost what was declared."""
    world.watch(*ALL)
    world.train(1, *ALL, views={"wind": "weather"})
    world.bring(0)
    world.release(1)
    for _ in range(2):
        world.day()
    for _ in range(4):
        world.day(shift=3.0, skill=0.1)
    return world


def html(client: Client, path: str, **headers: str) -> str:
    """What a page shows."""
    answer = client.get(path, headers=HTML | headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_before_anything_is_watched_the_page_says_what_to_do(client: Client) -> None:
    page = html(client, "/monitoring")
    assert "No model is watched yet" in page
    assert "yard apply" in page


def test_the_list_shows_the_worst_first_with_what_it_is_compared_with(client: Client, ill: World) -> None:
    page = html(client, "/monitoring")
    for words in ("1 of 1 watched models need a look", "roc_auc fell to", "Degraded", "Stale view", "Approved", 'href="/monitoring/late"'):
        assert words in page
    assert page.index("Degraded") < page.index("Stale view") < page.index("Drift</span>")


def test_a_models_page_shows_performance_columns_views_and_alerts(client: Client, ill: World) -> None:
    page = html(client, "/monitoring/late")
    for words in (
        "by day",
        "Loss by day",
        "week",
        "wind",
        "Drifted",
        "As in training",
        "weather",
        "Stale",
        "Last look",
        "<svg",
        "6.0 h promised",
    ):
        assert words in page, words
    assert "carrier" in html(client, "/monitoring/late?column=carrier&days=30")
    assert html(client, "/monitoring/late?days=365")


def test_reads_that_differ_from_their_source_are_counted_on_the_models_and_the_alerts_page(client: Client, ill: World) -> None:
    assert "No day measured yet" in html(client, "/monitoring/late")
    ill.gateway.beat(sealed_through_at=ill.clock.wall())
    for _ in range(2):
        measure_due(ill.database, ill.tables)
    page = html(client, "/monitoring/late")
    for words in ("Online as offline", "Skew", "Unverifiable", "the request was dated before what the online store held"):
        assert words in page
    (skew,) = (one for one in client.get("/api/v1/open-alerts").json() if one["kind"] == "skew")
    assert "Different from the source" in html(client, f"/alerts/{skew['id']}")


def test_a_model_without_outcomes_or_a_release_says_so(client: Client, world: World) -> None:
    world.watch(*ALL)
    page = html(client, "/monitoring/late")
    assert "No version of it answers now" in page
    assert "No outcome yet" in page


def test_an_alert_says_what_was_found_why_and_whether_a_rollback_helps(client: Client, ill: World) -> None:
    alerts = client.get("/api/v1/open-alerts").json()
    assert [one["kind"] for one in alerts] == ["degradation", "stale", "drift"]
    for alert in alerts:
        page = html(client, f"/alerts/{alert['id']}")
        assert "Would a rollback help?" in page
        assert "Why, probably" in page
    page = html(client, f"/alerts/{alerts[0]['id']}")
    assert "Declared as a degradation" in page
    why = client.get(f"/api/v1/alerts/{alerts[0]['id']}/why").json()
    assert why["suspects"][0]["subject"] in page
    assert "weather is stale" in html(client, f"/alerts/{alerts[1]['id']}")


def test_an_alert_is_silenced_and_acknowledged_from_its_page_by_those_who_may(client: Client, ill: World) -> None:
    alert = client.get("/api/v1/open-alerts").json()[0]["id"]
    assert "Silence this alert?" in html(client, f"/alerts/{alert}")
    assert "Silence this alert?" not in html(client, f"/alerts/{alert}", **{"x-as": "eve"})
    done = client.post(f"/alerts/{alert}/silence", data={"csrf": TOKEN, "duration": "2h", "why": "known"}, headers=HTML)
    assert (done.status_code, done.headers["location"]) == (303, f"/alerts/{alert}")
    assert client.post(f"/alerts/{alert}/acknowledgement", data={"csrf": TOKEN}, headers=HTML).status_code == 303
    page = html(client, f"/alerts/{alert}")
    assert "silent until" in page
    assert "usr_ada" in page
    refused = client.post(f"/api/v1/alerts/{alert}/silence", json={"duration": "2h", "why": "x"}, headers={"x-as": "eve"})
    assert refused.status_code == 403


def test_programs_read_the_same_as_people(client: Client, ill: World) -> None:
    (standing,) = client.get("/api/v1/monitoring").json()
    assert standing == client.get("/api/v1/monitoring/late").json()
    assert standing["watched"]["live"] == 1
    assert {one["column"] for one in standing["report"]["drift"]} == {"wind", "carrier", "prediction"}
    assert client.get("/monitoring/late", headers={"accept": "application/json"}).json()["standing"] == standing
    assert client.get("/api/v1/alerts?model=late&limit=1").json()[0]["id"]
    assert client.get("/api/v1/skew").json() == []
    assert client.get("/api/v1/alerts/alt_none").status_code == 404


def test_a_models_own_page_is_told_its_state_its_level_and_its_alerts(ill: World) -> None:
    with ill.database.read() as snapshot:
        told = on_models_page(snapshot, ADA, LATE)
        unknown = on_models_page(snapshot, ADA, ModelName("other"))
    assert told.state == ("bad", "Degraded")
    assert "approved at" in told.phrases[-1].text
    assert [one.id for one in told.sections] == ["performance", "alerts", "watching"]
    assert told.sections[0].chart is not None
    assert unknown == Contribution()


def test_a_views_page_is_told_of_its_reads_its_features_days_and_its_live_versions(world: World) -> None:
    world.watch(*ALL)
    world.train(1, *ALL, views={"wind": "weather"}, size=6000)
    world.release(1)
    put_consumer_of(world)
    world.bring(0)
    for _ in range(2):
        world.day(60)
    world.gateway.beat(sealed_through_at=world.clock.wall())
    for _ in range(2):
        measure_due(world.database, world.tables)
    with world.database.read() as snapshot:
        found = on_views_page(snapshot, EVE, "weather", 24)
        assert on_views_page(snapshot, NOBODY, "weather", 24) == Reads()
    assert found.live == {LATE: (1,)}
    assert [(one.compared, one.different, one.lag_s) for one in found.days] == [(60, 60, 0.0)] * 2
    assert [(one.cause, one.count, one.reader, one.keys[0], one.feature) for one in found.examples] == [
        ("unknown", 120, LATE, "origin JFK", "wind")
    ]
    (course,) = found.courses
    assert (course.reader, course.measure, len(course.days), course.days[0].missing) == ("late v1", "median", 2, 0.0)
    assert all(day.middle is not None and 8 < day.middle < 12 for day in course.days)


def put_consumer_of(world: World) -> None:
    """Notes that the model reads the weather, as its delivery does."""
    world.database.write(lambda tx: put_consumer(tx, LATE, f"/models/{LATE}", SET, DEFAULT_TEAM))

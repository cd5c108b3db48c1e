"""The feature store over HTTP: operations that programs call, pages that people read."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, Response
from litestar.testing import TestClient
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal
from modelyard.core.clock import Instant
from modelyard.features import domain, service
from modelyard.features.api import OPERATIONS
from modelyard.features.definitions import definition_of
from modelyard.features.domain import AppliedFeatures, Entity, Feature, FeatureSet, FeatureView, OnDemand
from modelyard.features.pages import PAGES
from modelyard.features.sections import Parities, Parity, ReadDay, ReadExample, Reads
from modelyard.storage.database import Database, Snapshot
from modelyard.storage.online import LmdbStore, OnlineStore
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response, operation_handler
from modelyard.web.operations import bind
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.features.conftest import DELAYS, LATE, WEATHER, at

INJECTABLE = frozenset({Principal, OnlineStore, Parities, Database})
READS = Parity(reader="late_arrival", href="/monitoring/late_arrival", compared=330_000, different=0, unverifiable=7, until_at=Instant(0))
DAY = ReadDay(at=Instant(0), compared=90, different=1, late=4, unverifiable=2, lag_s=7200.0)
EXAMPLE = ReadExample(
    cause="late data", count=4, is_late=True, reader="late_arrival", prediction="0190b8d2", keys=("origin <b>JFK</b>",), at=Instant(0),
    feature="wind_speed", logged="4.500000000000001", recomputed=None,
)  # fmt: skip
HTML = {"accept": "text/html"}
Client = TestClient[Litestar]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in the one JSON shape."""
    return error_response(*described(error))


def parities_of(snapshot: Snapshot, principal: Principal, view: str, most: int) -> Reads:
    """What is known of the weather's reads."""
    return Reads(parities=(READS,), days=(DAY,), examples=(EXAMPLE,)) if view == "weather" else Reads()


@pytest.fixture
def client(database: Database, online: LmdbStore) -> Iterator[Client]:
    """A browser, or a program, in front of the feature store's routes."""
    with ThreadPoolExecutor(2) as pool:
        values = {OnlineStore: online, Database: database, Principal: SYSTEM, Parities: Parities(of=parities_of)}
        resources = Resources(database=database, values=values, pool=pool)
        shell = Shell(clock=database.clock, version="0", pages=PAGES, viewer=lambda _: None, csrf=lambda _: "")
        site = Site(
            shell=shell, templates=templates(load_assets(), PAGES), resources=resources, injectable=INJECTABLE, request_values=lambda _: {}
        )
        handlers = [operation_handler(bind(item, INJECTABLE), resources, lambda _: {}) for item in OPERATIONS]
        with TestClient(Litestar([*handlers, *page_routes(site, PAGES)], exception_handlers={Exception: answered})) as opened:
            yield opened


@pytest.fixture
def applied(database: Database, root: Path, stand_at: Callable[[datetime], None]) -> AppliedFeatures:
    """The set and its views, four hours after noon, read by one model."""
    stand_at(at(4))
    found = service.apply_features(database, SYSTEM, [LATE], root)
    database.write(lambda tx: service.put_consumer(tx, "late_arrival", "/models/late_arrival", found.sets[0].set, DEFAULT_TEAM))
    return found


def test_a_program_materializes_and_reads_a_set(client: Client, applied: AppliedFeatures) -> None:
    brought = client.post("/api/v1/feature-materializations", json={})
    assert brought.status_code < 300, brought.text
    assert [one["view"] for one in brought.json()] == ["delays", "weather"]
    read = client.post("/api/v1/features/late", json={"rows": [{"origin": "JFK"}, {"origin": "nowhere"}]}).json()
    assert read["columns"]["wind_speed"] == [4.5, None]
    assert read["columns"]["delay_count_7d"] == [2, None]
    assert read["missing"]["sky"] == {"1": "unknown_entity"}
    assert read["ages_us"]["weather"] == [0, None]


def test_a_wrong_key_and_an_unknown_set_are_told_with_a_hint(client: Client, applied: AppliedFeatures) -> None:
    wrong = client.post("/api/v1/features/late", json={"rows": [{"origin": 5}]})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "bad_labels")
    unknown = client.post("/api/v1/features/lat", json={"rows": []})
    assert (unknown.status_code, unknown.json()["error"]["hint"]) == (404, "did you mean late?")


def test_every_view_and_set_is_listed_with_its_freshness(client: Client, applied: AppliedFeatures) -> None:
    views = client.get("/api/v1/feature-views").json()
    assert [(one["applied"]["view"]["name"], one["freshness"]["is_stale"], one["consumers"]) for one in views] == [
        ("delays", False, 1), ("weather", True, 1),
    ]  # fmt: skip
    assert client.get("/api/v1/feature-views/weather").json()["digest"] == applied.views[0].digest
    assert client.get("/api/v1/feature-sets/late").json()["digest"] == applied.sets[0].digest
    assert client.get("/api/v1/feature-views/weather/consumers").json()[0]["name"] == "late_arrival"


def test_the_catalogue_says_what_to_do_first_and_then_what_is_stale(client: Client, root: Path, database: Database) -> None:
    assert "yard apply" in client.get("/features", headers=HTML).text
    service.apply_features(database, SYSTEM, [LATE], root)
    text = client.get("/features", headers=HTML).text
    assert "1 stale view" in text
    assert 'href="/features/weather"' in text


def test_the_page_of_a_view_shows_its_definition_its_values_and_who_reads_it(client: Client, applied: AppliedFeatures) -> None:
    before = client.get("/features/delays", headers=HTML).text
    assert "not materialized yet" in before
    client.post("/api/v1/feature-materializations", json={})
    text = client.get("/features/weather", headers=HTML).text
    for words in ("Fresh", "wind_speed", "clear", "late_arrival", "FeatureView(", "weather.parquet", applied.views[0].digest):
        assert words in text
    twin = client.get("/features/delays", headers={"accept": "application/json"}).json()
    assert twin["features"][0]["origin"] == "mean of delay over 1h"
    assert twin["sampled"] == 2


@pytest.mark.parametrize(
    "view", [WEATHER, DELAYS, replace(WEATHER, tags={"a": "b"}, personal=["sky"], entity=Entity("origin", personal=True))]
)
def test_the_definition_on_the_page_can_be_pasted(view: FeatureView, database: Database) -> None:
    assert eval(definition_of(view), vars(domain)) == view  # noqa: S307 - our own text


def test_a_views_page_says_whether_its_reads_were_those_of_its_source(client: Client, applied: AppliedFeatures) -> None:
    weather, delays = (client.get(f"/features/{view}", headers=HTML).text for view in ("weather", "delays"))
    assert "Identical" in weather
    assert '<td class="num">330,000</td>' in weather
    for words in (
        "4.500000000000001",
        "origin &lt;b&gt;JFK&lt;/b&gt;",
        "90 compared, 1 different, 4 late, 2 unverifiable",
        "/trace/0190b8d2",
    ):
        assert words in weather
    assert "from models import weather" in weather
    assert "No day measured yet" in delays


def test_the_page_of_an_on_demand_feature_shows_its_function_and_who_trusts_it(client: Client, database: Database, root: Path) -> None:
    inputs = (Feature("wind_speed", "float64"), Feature("hops", "int64"), Feature("origin", "string"))
    felt = OnDemand("felt", inputs, "float64", "def felt(wind_speed, hops, origin): return np.sqrt(wind_speed) * hops", "How it feels.")
    service.apply_features(database, SYSTEM, [FeatureSet("late", [WEATHER, felt])], root)
    assert 'href="/features/on-demand/felt"' in client.get("/features", headers=HTML).text
    text = client.get("/features/on-demand/felt", headers=HTML).text
    for words in ("How it feels.", "return np.sqrt(wind_speed) * hops", "np.sqrt", "4,096", 'href="/features/weather"', felt.digest):
        assert words in text
    twin = client.get("/features/on-demand/felt", headers={"accept": "application/json"}).json()
    assert [one["origin"] for one in twin["inputs"]] == ["the view weather", "the request", "a key of the request"]
    assert client.get("/api/v1/on-demand-features").json()[0]["digest"] == felt.digest
    assert client.get("/api/v1/on-demand-features/fel/versions").json()["error"]["hint"] == "did you mean felt?"
    read = client.post("/api/v1/features/late", json={"rows": [{"origin": "JFK", "hops": 2}]}).json()
    assert read["missing"]["felt"] == {"0": "not_materialized"}

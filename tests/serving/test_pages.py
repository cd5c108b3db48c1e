"""The pages of serving: what they show of a live system, of an empty one, and a rollback by form."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from modelyard.access.domain import Principal
from modelyard.serving import service
from modelyard.serving.domain import Fallback, NeverChampion, Proposal, RolloutStep
from modelyard.serving.pages import PAGES, NearGateway, roll_back
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore, OnlineStore
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.serving.control import ADA, BEN, Pretender, registered
from tests.serving.world import LATE, World

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
Client = TestClient[Litestar]


def caller(_: Any) -> Mapping[type, Any]:
    """Every request is Ada's."""
    return {Principal: ADA}


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[Client]:
    """A browser in front of serving's pages."""
    injectable = frozenset({NearGateway, OnlineStore, Principal})
    near = NearGateway(url=lambda: "http://127.0.0.1:7799", asks_login=False)
    with ThreadPoolExecutor(2) as pool:
        resources = Resources(database=database, values={NearGateway: near, OnlineStore: LmdbStore.open(tmp_path / "kept")}, pool=pool)
        shell = Shell(clock=database.clock, version="0", pages=PAGES, viewer=lambda _: None, csrf=lambda _: "")
        site = Site(
            shell=shell, templates=templates(load_assets(), PAGES), resources=resources, injectable=injectable, request_values=caller
        )
        with TestClient(Litestar(page_routes(site, PAGES))) as opened:
            yield opened


def html(client: Client, path: str) -> str:
    """What a page shows."""
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_an_empty_installation_says_what_to_do_first(client: Client) -> None:
    text = html(client, "/serving")
    assert "Nothing is served yet" in text
    assert "yard gateway" in text


@pytest.fixture
def live(database: Database, world: World) -> Pretender:
    """A live revision with a canary, a shadow and a fallback, and one revision before."""
    registered(database, world)
    gateway = Pretender(database, "one")
    database.write(lambda tx: service.propose_revision(tx, ADA, LATE, Proposal(champion=1, cause="the first")))
    for _ in range(3):
        gateway.beat()
    body = Proposal(champion=1, shadows=(3,), fallback=Fallback(value=0.25, views=("weather",)), cause="with <shadow>")
    database.write(lambda tx: service.propose_revision(tx, ADA, LATE, body))
    database.write(lambda tx: service.step_rollout(tx, ADA, LATE, RolloutStep(version=2, share=0.1, cause="a first <step>")))
    for _ in range(3):
        gateway.beat()
    return gateway


def test_endpoints_and_gateways_are_shown(client: Client, live: Pretender) -> None:
    text = html(client, "/serving")
    for words in ("late", "canary", "v2", "10%", "a first &lt;step&gt;", "one", "serving", "1 of 1"):
        assert words in text, words
    assert "<step>" not in text


def test_an_endpoint_shows_traffic_switches_and_revisions(client: Client, live: Pretender) -> None:
    text = html(client, "/serving/late")
    for words in ("champion", "90%", "v3", "watches, answers nobody", "Falls back to 0.25", "superseded", "the first", "Roll back"):
        assert words in text, words
    answer = client.get("/serving/late", headers={"accept": "application/json"}).json()
    assert [(arm["version"], arm["name"]) for arm in answer["arms"]] == [(1, "champion"), (2, "canary"), (3, "shadow")]


def test_the_request_to_copy_goes_to_the_gateway_that_is_known_and_holds_a_whole_row(client: Client, live: Pretender) -> None:
    row = '{"rows": [{"origin": "EWR", "hour": 1, "distance": 1.0}]}'
    command = f"curl http://127.0.0.1:7799/predict/late -d '{row}'"
    assert client.get("/serving/late", headers={"accept": "application/json"}).json()["curl"] == command


def test_a_stale_view_and_a_silent_gateway_stand_out(client: Client, live: Pretender, database: Database, clock: Any) -> None:
    database.write(lambda tx: service.mark_stale(tx, ADA, ["weather"]))
    for _ in range(3):
        live.beat()
    assert "because weather went stale" in html(client, "/serving/late")
    clock.advance(60)
    assert "silent" in html(client, "/serving")


def test_a_rollback_by_form_brings_the_champion_before(client: Client, live: Pretender, database: Database) -> None:
    done = database.write(lambda tx: roll_back(tx, BEN, LATE, "1", "it was slow"))
    assert (done.to, "version 1" in done.said) == ("/serving/late", True)
    assert "it was slow" in html(client, "/serving/late")
    with pytest.raises(NeverChampion):
        database.write(lambda tx: roll_back(tx, BEN, LATE, "2"))

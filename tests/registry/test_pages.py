"""The registry over HTTP: operations for programs, pages for people, each with what it is for."""

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, Response
from litestar.testing import TestClient

from modelyard.access.domain import DEFAULT_TEAM, Principal, PrincipalId, Role
from modelyard.core.clock import Instant
from modelyard.registry import service
from modelyard.registry.api import OPERATIONS
from modelyard.registry.domain import CHAMPION, ModelName, NewModel, NewVersion, RiskTier
from modelyard.registry.formats import save
from modelyard.registry.forms import ACTIONS
from modelyard.registry.pages import PAGES
from modelyard.registry.sections import Cell, Contribution, Contributors, Fact, Phrase, Section, Table, VersionMark
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot
from modelyard.tracking import service as tracking
from modelyard.tracking.domain import ExperimentId, NewRun
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.charts import Plane, Point, Series, lines
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response, operation_handler
from modelyard.web.operations import bind
from modelyard.web.parts import Link, Moment, Step
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.registry.conftest import FLIGHTS, lightgbm_model

LATE = ModelName("late")
ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
EVE = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
HTML = {"accept": "text/html"}
TOKEN = "t" * 64
INJECTABLE: frozenset[type] = frozenset({Principal, Blobs, Database, Contributors})
Client = TestClient[Litestar]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in the one JSON shape."""
    return error_response(*described(error))


def principal_of(request: Request[Any, Any, Any]) -> Mapping[type, Any]:
    """Ada, unless the request says that it is Eve's."""
    return {Principal: EVE if request.headers.get("x-as") == "eve" else ADA}


def told(snapshot: Snapshot, principal: Principal, model: ModelName) -> Contribution:
    """All that a component may say, once."""
    at = Instant(0)
    measured = Series(name="measured", points=(Point(0, 0.7), Point(1, 0.71)))
    chart = lines("roc_auc by day", [measured], Plane(is_time=False))
    return Contribution(
        state=("good", "Healthy"),
        phrases=(Phrase("v1", True), Phrase(" answers 100% of traffic <b>now</b>.")),
        marks=(VersionMark(version=1, word="live 100%", tone="good", href="/serving/late"),),
        tools=(Link("Dossier", "/governance/late"),),
        sections=(
            Section(id="delivery", title="Delivery of v2", steps=(Step(name="Train", state="done", text="41 s"),), live="delivery:1"),
            Section(
                id="last",
                title="Champion and challenger",
                place="side",
                facts=(Fact(term="Difference", value="+0.01", tone="up"),),
                order=10,
            ),
            Section(
                id="table",
                title="Slices",
                table=Table(heads=("Slice", "AUC"), rows=((Cell(text="JFK"), Cell(text="0.7", is_number=True)),)),
            ),
            Section(id="moments", title="Events", moments=(Moment(at=at, title="alarm", tone="bad"),), links=(Link("All", "/alerts"),)),
            Section(id="chart", title="Performance", chart=chart),
            Section(id="none", title="Monitors", empty="No monitor yet", command="yard apply"),
        ),
    )


@pytest.fixture
def client(database: Database, tmp_path: Path) -> Iterator[Client]:
    """A browser in front of the registry, in which `late` has two versions."""
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    database.write(
        lambda tx: service.create_model(tx, ADA, NewModel(name=LATE, owner="ops", purpose="Warn <passengers>.", risk=RiskTier.HIGH))
    )
    for seed in (1, 2):
        save(lightgbm_model(seed=seed, missing=0.1 * seed), tmp_path / f"model{seed}", FLIGHTS)
        kept = service.keep_artifact(database, blobs, tmp_path / f"model{seed}")
        new = NewVersion(artifact=kept.digest, run="f" * 32, metrics={"roc_auc": 0.7 + seed / 100}, parameters={"seed": seed})
        database.write(partial(service.register_version, principal=ADA, model=LATE, body=new))
    database.write(lambda tx: service.set_alias(tx, ADA, LATE, CHAMPION, 1))
    with ThreadPoolExecutor(2) as pool:
        said = Contributors(functions=(told,), approver=lambda _, one: f"let through v{one.number}")
        values: dict[type, Any] = {Blobs: blobs, Database: database, Contributors: said}
        resources = Resources(database=database, values=values, pool=pool)
        shell = Shell(clock=database.clock, version="0", pages=PAGES, viewer=lambda _: None, csrf=lambda _: TOKEN)
        site = Site(
            shell=shell, templates=templates(load_assets(), PAGES), resources=resources, injectable=INJECTABLE, request_values=principal_of
        )
        handlers = [operation_handler(bind(item, INJECTABLE), resources, principal_of) for item in OPERATIONS]
        with TestClient(Litestar([*handlers, *page_routes(site, PAGES, ACTIONS)], exception_handlers={Exception: answered})) as opened:
            opened.follow_redirects = False
            yield opened


def html(client: Client, path: str, **headers: str) -> str:
    """What a page shows."""
    answer = client.get(path, headers=HTML | headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_models_page_lists_filters_and_says_what_comes_when_there_is_nothing(client: Client) -> None:
    page = html(client, "/models")
    assert 'href="/models/late"' in page
    assert "v1" in page
    assert 'href="/models/late"' not in html(client, "/models?risk=minimal")
    assert "No model fits" in html(client, "/models?q=churn")
    assert 'href="/models/late"' in html(client, "/models?q=PASSENGERS&risk=high")


def test_a_models_page_shows_versions_lineage_aliases_and_what_components_say(client: Client) -> None:
    page = html(client, "/models/late")
    for words in (
        "Healthy",
        "answers 100% of traffic",
        "live 100%",
        "0.72",
        "champion",
        "sha256:",
        f"/runs/{'f' * 32}",
        "Dossier",
        "Train",
    ):
        assert words in page
    assert "Warn &lt;passengers&gt;." in page
    assert "<b>now</b>" not in page
    assert page.index("Champion and challenger") < page.index("v1 came from")
    assert "No monitor yet" in page
    assert "Move an alias" in page
    assert "Move an alias" not in html(client, "/models/late", **{"x-as": "eve"})


def test_a_versions_page_tells_inputs_files_digests_and_life(client: Client) -> None:
    page = html(client, "/models/late/versions/1")
    for words in ("origin", "EWR, JFK, LGA", "model.txt", "modelyard.json", "Registered", "roc_auc", "Retire v1?"):
        assert words in page
    twin = client.get("/models/late/versions/1", headers={"accept": "application/json"}).json()
    assert twin["detail"]["version"]["signature"]["inputs"][0]["categories"] == ["EWR", "JFK", "LGA"]
    assert client.get("/models/late/versions/9", headers=HTML).status_code == 404


def test_two_versions_are_shown_side_by_side(client: Client) -> None:
    page = html(client, "/models/late/comparison")
    for words in ("v1 and v2", "Different content", "parameter seed", "+0.0100"):
        assert words in page
    assert "Same content" in html(client, "/models/late/comparison?left=2&right=2")


def archive(line: str) -> bytes:
    """A source of one file."""
    buffer, content = io.BytesIO(), line.encode()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        entry = tarfile.TarInfo("train.py")
        entry.size = len(content)
        opened.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_two_versions_are_compared_by_code_packages_and_approver_of_their_runs(client: Client, database: Database, tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    artifact = client.get("/api/v1/models/late/versions/1").json()["version"]["artifact"]
    database.write(tracking.ensure_default)
    for number in (1, 2):
        made = database.write(lambda tx: tracking.create_run(tx, ADA, NewRun(experiment_id=ExperimentId("0"), name="r"))).facts.id
        tracking.store_file(database, blobs, ADA, (made, tracking.SOURCE_FILE), archive(f"rate = {number}\n"))
        tracking.store_file(database, blobs, ADA, (made, tracking.ENVIRONMENT_FILE), f"numpy=={number}.0\nsame==1\n".encode())
        new = NewVersion(artifact=artifact, run=made)
        database.write(partial(service.register_version, principal=ADA, model=LATE, body=new))
    page = html(client, "/models/late/comparison")
    for words in (
        "v3 and v4",
        "train.py",
        "numpy",
        "<del>1.0</del>",
        "<ins>2.0</ins>",
        "/runs/compare?run=",
        "/runs/diff?base=",
        "let through v4",
    ):
        assert words in page
    assert "same</td>" not in page
    assert "Both came out of the same run." in html(client, "/models/late/comparison?left=1&right=2")


def test_forms_move_aliases_and_retire_versions_and_say_what_hinders(client: Client) -> None:
    def sent(path: str, **form: str) -> str:
        answer = client.post(path, data={"csrf": TOKEN, **form}, headers={"referer": "http://testserver.local/models/late"})
        assert answer.status_code == 303, answer.text
        return html(client, "/models/late")

    assert "is in use" in sent("/models/late/versions/1/retirement", why="old")
    assert "champion points to v2 now." in sent("/models/late/alias", alias="champion", version="2")
    assert "v1 is retired." in sent("/models/late/versions/1/retirement", why="old")
    assert "was retired: old" in sent("/models/late/alias", alias="champion", version="1")
    as_eve = {"x-as": "eve", "referer": "http://testserver.local/models/late"}
    assert client.post("/models/late/alias", data={"csrf": TOKEN, "alias": "x", "version": "2"}, headers=as_eve).status_code == 303
    assert "is no contributor" in html(client, "/models/late", **{"x-as": "eve"})
    assert client.post("/models/late/alias", data={"alias": "x", "version": "2"}).status_code == 403


def test_a_version_is_deprecated_and_the_deprecation_taken_back_by_forms(client: Client) -> None:
    def sent(path: str, **form: str) -> str:
        referer = {"referer": "http://testserver.local/models/late/versions/1"}
        assert client.post(f"/models/late/versions/1/{path}", data={"csrf": TOKEN, **form}, headers=referer).status_code == 303
        return html(client, "/models/late/versions/1")

    assert "Deprecate v1?" in html(client, "/models/late/versions/1")
    page = sent("deprecation", why="wrong labels", successor="2")
    for words in (
        "v1 is deprecated.",
        "wrong labels",
        'Take <a href="/models/late/versions/2">v2</a> instead',
        "Take back the deprecation",
    ):
        assert words in page
    assert ">deprecated<" in html(client, "/models/late")
    assert "is no version" in sent("deprecation", why="x", successor="best")
    assert "wrong labels" not in sent("deprecation/withdrawal")


def test_programs_do_the_same_by_operations(client: Client) -> None:
    assert client.get("/api/v1/models").json()[0]["latest"] == 2
    version = client.get("/api/v1/models/late/versions/2").json()["version"]
    registered = client.post("/api/v1/models/late/versions", json={"artifact": version["artifact"], "key": "again"})
    assert registered.json()["number"] == 3
    assert client.put("/api/v1/models/late/aliases/challenger", json={"version": 3}).json()["version"] == 3
    assert [one["name"] for one in client.get("/api/v1/models/late/aliases").json()] == ["challenger", "champion"]
    assert client.delete("/api/v1/models/late/aliases/challenger").status_code == 204
    assert client.get("/api/v1/models/late/comparison?left=2&right=3").json()["same_content"]
    assert client.get("/api/v1/models/late/versions/2/lineage").json()["steps"][0]["kind"] == "run"
    assert client.post("/api/v1/models/late/versions/1/retirement", json={"why": "x"}).json()["error"]["code"] == "version_is_live"
    made = client.post("/api/v1/models", json={"name": "other", "risk": "limited"}).json()
    assert (made["owner"], made["risk"]) == ("ada", "limited")
    assert client.post("/api/v1/models", json={"name": "other", "team_id": "red"}).status_code == 403
    assert client.get("/api/v1/models/lato").json()["error"]["hint"] == "did you mean late?"


def test_a_model_without_a_version_says_how_it_gets_one(client: Client) -> None:
    client.post("/api/v1/models", json={"name": "fresh"})
    assert "yard ship fresh" in html(client, "/models/fresh")
    assert client.get("/models/fresh/comparison", headers=HTML).status_code == 404


def test_the_context_is_the_pages_interface(client: Client) -> None:
    found: Callable[[str], Any] = lambda path: client.get(path, headers={"accept": "application/json"}).json()  # noqa: E731 - one line
    assert found("/models")["rows"][0]["champion"] == 1
    assert found("/models/late")["shown"]["version"]["number"] == 1

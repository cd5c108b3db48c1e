"""Tracking's pages and operations: what they show, what they link to, what they refuse, with hostile words in every place."""

import html
import re
from collections.abc import Iterator

import pytest

from modelyard.core.clock import Instant
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking import service
from modelyard.tracking.domain import Batch, Dataset, DatasetInput, ExperimentId, Metric, NewRun, RunId
from tests.tracking.browsing import EVIL, Client, browsing, page, twin
from tests.tracking.conftest import WRITER

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(database: Database, blobs: Blobs) -> Iterator[Client]:
    """A browser in front of tracking's pages and operations, logged in as the writer."""
    with browsing(database, blobs) as opened:
        yield opened


@pytest.fixture
def run_id(client: Client, database: Database, blobs: Blobs) -> RunId:
    """An ended run with something in every place, its words hostile."""
    new = NewRun(experiment_id=ExperimentId("0"), name=f"run {EVIL}", user=EVIL)
    run_id = database.write(lambda tx: service.create_run(tx, WRITER, new)).facts.id
    metrics = tuple(Metric(key="loss", value=1 / (n + 1), at=Instant(n), step=n) for n in range(50))
    batch = Batch(
        run_id=run_id, metrics=(*metrics, Metric(key="nan", value=float("nan"), at=Instant(1))), params=(("p", EVIL),), tags=(("t", EVIL),)
    )
    database.write(lambda tx: service.log_batch(tx, WRITER, batch))
    dataset = DatasetInput(dataset=Dataset(name=EVIL, digest="1", source_type="s", source="s"))
    database.write(lambda tx: service.log_inputs(tx, WRITER, run_id, [dataset]))
    service.store_file(database, blobs, WRITER, (run_id, "a b/ü&.txt"), b"hello")
    database.write(lambda tx: service.finish_run(tx, WRITER, run_id))
    return run_id


def test_an_empty_list_says_what_to_do_first(client: Client, database: Database) -> None:
    assert "mlflow.set_experiment" in page(client, "/experiments/0")
    assert "Default" in page(client, "/experiments")


def test_the_experiments_page_counts_runs_and_filters(client: Client, run_id: RunId) -> None:
    rows = twin(client, "/experiments")["rows"]
    assert [(row["experiment"]["name"], row["runs"]) for row in rows] == [("Default", 1)]
    assert "No experiment fits" in page(client, "/experiments?filter=name%3D%27x%27")
    assert "Invalid attribute key" in page(client, "/experiments?filter=nonsense%20%3E%205")


def test_the_runs_page_shows_sorts_and_chooses_columns(client: Client, database: Database, run_id: RunId) -> None:
    other = database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=ExperimentId("0")))).facts.id
    better = Batch(run_id=other, metrics=(Metric(key="loss", value=0.001, at=Instant(1)),))
    database.write(lambda tx: service.log_batch(tx, WRITER, better))
    shown = page(client, "/experiments/0?sort=metrics.loss&show=metrics.loss")
    assert shown.index(other) < shown.index(run_id)
    assert 'aria-sort="ascending"' in shown
    assert "sort=-metrics.loss&amp;show=metrics.loss" in shown
    columns = twin(client, "/experiments/0?show=metrics.loss&show=params.p")["columns"]
    assert [one["name"] for one in columns if one["is_shown"]] == ["metrics.loss", "params.p"]
    assert [row["facts"]["id"] for row in twin(client, "/experiments/0?filter=metrics.loss%20%3C%200.01")["rows"]] == [other]
    assert "Invalid clause" in page(client, "/experiments/0?filter=a%20OR%20b&sort=metrics.x%60")


def test_the_runs_page_goes_on(client: Client, database: Database) -> None:
    for n in range(51):
        new = NewRun(experiment_id=ExperimentId("0"), started_at=Instant(n))
        database.write(lambda tx, new=new: service.create_run(tx, WRITER, new))  # type: ignore[misc]  # bound at once
    found = re.search(r'rel="next" href="([^"]+)"', page(client, "/experiments/0?sort=start_time"))
    assert found
    rest = twin(client, html.unescape(found[1]))
    assert [row["facts"]["started_at"] for row in rest["rows"]] == [50]
    assert rest["pager"]["first"] == "/experiments/0?sort=start_time"


def test_a_run_shows_everything_about_it(client: Client, run_id: RunId) -> None:
    shown = page(client, f"/runs/{run_id}")
    for words in (html.escape(EVIL, quote=False).partition("'")[0], "loss", "NaN", "5 B", "Nothing about it changed", "<svg"):
        assert words in shown, words
    href = re.search(r'href="(/ajax-api[^"]+)" download', shown)
    assert href
    assert html.unescape(href[1]) == f"/ajax-api/2.0/mlflow/get-artifact?run_id={run_id}&path=a+b%2F%C3%BC%26.txt"
    context = twin(client, f"/runs/{run_id}")
    assert context["changed"] is False
    assert {row["key"]: row["value"] for row in context["metrics"]} == {"loss": 0.02, "nan": None}


def test_a_run_that_was_written_to_after_its_end_says_so(client: Client, database: Database, run_id: RunId) -> None:
    database.write(lambda tx: service.log_batch(tx, WRITER, Batch(run_id=run_id, tags=(("late", "x"),))))
    assert "written to after it ended" in page(client, f"/runs/{run_id}")


def test_a_run_shows_what_others_say_of_it(client: Client, run_id: RunId) -> None:
    card = page(client, f"/runs/{run_id}").partition('id="reproductions"')[2]
    for words in ("Made again", 'href="/reproductions/rpr_1"', f'action="/runs/{run_id}/reproduce"', "Make it again"):
        assert words in card


def test_a_run_that_is_not_there_is_missing(client: Client) -> None:
    assert client.get("/runs/nope", headers={"accept": "application/json"}).status_code == 404
    assert client.get("/experiments/77", headers={"accept": "application/json"}).status_code == 404


def test_operations_answer_the_domains_types(client: Client, run_id: RunId) -> None:
    assert client.get("/api/v1/experiments").json()["experiments"][0]["id"] == "0"
    assert client.get("/api/v1/experiments/0").json()["name"] == "Default"
    assert client.get(f"/api/v1/runs/{run_id}").json()["facts"]["status"] == "FINISHED"
    found = client.post(
        "/api/v1/runs/search", json={"experiment_ids": ["0"], "filter": "metrics.loss < 1", "order_by": ["metrics.loss DESC"]}
    )
    assert [run["facts"]["id"] for run in found.json()["runs"]] == [run_id]
    curves = client.get(f"/api/v1/runs/{run_id}/curves?most=3").json()
    assert [(curve["key"], curve["steps"]) for curve in curves] == [("loss", [0, 17, 49]), ("nan", [0])]
    history = client.get(f"/api/v1/runs/{run_id}/history?key=nan").json()
    assert (history["values"], history["at"]) == ([None], [1])
    assert client.get(f"/api/v1/runs/{run_id}/artifacts?folder=a%20b").json()[0]["path"] == "a b/ü&.txt"
    assert client.post("/api/v1/runs/search", json={"experiment_ids": ["0"], "filter": "x"}).json()["error"]["code"] == "filter_invalid"


@pytest.mark.parametrize("at", [-(2**62), 2**62])
def test_a_run_whose_client_told_an_impossible_time_is_shown(client: Client, database: Database, at: int) -> None:
    """MLflow takes any time; a client that tells nanoseconds for milliseconds must not close the page to everybody."""
    new = NewRun(experiment_id=ExperimentId("0"), name="astray", started_at=Instant(at))
    run_id = database.write(lambda tx: service.create_run(tx, WRITER, new)).facts.id
    for path in ("/experiments", "/experiments/0", f"/runs/{run_id}", f"/runs/compare?run={run_id}&run={run_id}"):
        assert client.get(path).status_code == 200, path

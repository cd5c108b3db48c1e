"""Tables of runs, comparisons and saved views as pages: what they say, whose they are, what is exported, hostile words in every place."""

import csv
import functools
import html
import io
import re
import tarfile
from collections.abc import Iterator
from urllib.parse import urlencode

import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking import service
from modelyard.tracking.domain import Asked, Batch, ExperimentId, FilterInvalid, Metric, NewRun, NoSuchRun, RunId, SavedView
from modelyard.tracking.pages import comparison
from modelyard.tracking.rules.table import TableView
from tests.tracking.browsing import CSRF, EVIL, Client, browsing, page, twin
from tests.tracking.conftest import STRANGER, WRITER

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ZERO = ExperimentId("0")


@pytest.fixture
def client(database: Database, blobs: Blobs) -> Iterator[Client]:
    with browsing(database, blobs) as opened:
        yield opened


def made(database: Database, name: str, loss: float, params: dict[str, str], points: int = 3) -> RunId:
    """A run with params and a loss that ends at `loss`."""
    run_id = database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=ZERO, name=name))).facts.id
    metrics = tuple(Metric(key="loss", value=loss + points - 1 - n, at=Instant(n * 1_000_000), step=n) for n in range(points))
    batch = Batch(run_id=run_id, metrics=metrics, params=tuple(params.items()), tags=(("owner", name),))
    database.write(lambda tx: service.log_batch(tx, WRITER, batch))
    return run_id


@pytest.fixture
def runs(client: Client, database: Database) -> list[RunId]:
    """Three runs, the hostile one first."""
    given = (
        (EVIL, 3.0, {"depth": "8", "opt": EVIL}),
        ("b", 1.0, {"depth": "8", "opt": "=cmd()"}),
        ("c", 2.0, {"depth": "4", "opt": "sgd"}),
    )
    return [made(database, name, loss, params) for name, loss, params in given]


def test_columns_are_found_in_the_data_and_pinned_ones_stay(client: Client, runs: list[RunId]) -> None:
    context = twin(client, "/experiments/0?show=params.depth&show=metrics.loss&pin=metrics.loss")
    assert [(head["column"]["name"], head["pin"]) for head in context["heads"]] == [("metrics.loss", 1), ("params.depth", 0)]
    assert {"metrics.loss", "params.opt", "tags.owner", "status"} <= {one["name"] for one in context["columns"]}
    assert [one["name"] for one in twin(client, "/experiments/0?find=owner&show=metrics.loss")["columns"]] == ["metrics.loss", "tags.owner"]
    assert 'class="num stick stick-1"' in page(client, "/experiments/0?show=metrics.loss&pin=metrics.loss")


def test_groups_count_and_lead_to_their_runs(client: Client, runs: list[RunId]) -> None:
    groups = twin(client, "/experiments/0?group=params.depth")["groups"]
    spreads = [(row["group"]["value"], row["group"]["runs"], row["group"]["spreads"][0]) for row in groups["rows"]]
    assert spreads[0] == ("8", 2, {"least": 1.0, "mean": 2.0, "greatest": 3.0, "runs": 2})
    assert spreads[1] == ("4", 1, {"least": 2.0, "mean": 2.0, "greatest": 2.0, "runs": 1})
    inside = twin(client, groups["rows"][0]["href"])
    assert {row["facts"]["id"] for row in inside["rows"]} == set(runs[:2])
    assert "alert(&#39;x&#39;)" in page(client, "/experiments/0?group=params.opt")
    assert "are not grouped by" in client.get("/experiments/0?group=metrics.loss", headers={"accept": "text/html"}).text


def test_a_filter_that_is_wrong_is_told_beside_its_field_with_the_near_name(client: Client, runs: list[RunId]) -> None:
    shown = page(client, "/experiments/0?" + urlencode({"filter": "metrics.los < 'x'"}))
    assert re.search(r'id="f-filter-error">Expected numeric value.*did you mean metrics.loss\?', shown)
    assert "No run here has metrics.los; did you mean metrics.loss?" in html.unescape(
        page(client, "/experiments/0?filter=metrics.los+%3C+5")
    )


@pytest.mark.parametrize("plot", ["parallel", "scatter"])
def test_plots_are_drawn_and_told_as_a_table(client: Client, database: Database, runs: list[RunId], plot: str) -> None:
    path = f"/experiments/0?plot={plot}&colour=metrics.loss&sort=metrics.loss"
    context = twin(client, path)["plot"]
    assert len(context["chart"]["spec"]["data"]["values"]) == 3
    assert context["rows"][0][0] == "b"
    shown = page(client, path)
    assert 'class="still"' in shown
    assert "The values as a table" in shown
    made(database, "long", 4.0, {"depth": "7" * 5000})
    assert "7" * 500 not in page(client, path)


def test_runs_of_several_experiments_stand_in_one_table(client: Client, database: Database, runs: list[RunId]) -> None:
    other = database.write(lambda tx: service.create_experiment(tx, WRITER, service.NewExperiment(name="other"))).id
    database.write(lambda tx: service.create_run(tx, WRITER, NewRun(experiment_id=other, name="d")))
    context = twin(client, f"/runs?experiment=0&experiment={other}")
    assert {row["facts"]["name"] for row in context["rows"]} == {EVIL, "b", "c", "d"}
    assert context["heads"][0]["column"]["name"] == "experiment"
    assert "experiment=0&amp;experiment=" in page(client, f"/runs?experiment=0&experiment={other}")
    assert client.get("/runs", headers={"accept": "application/json"}).status_code == 400


def test_a_comparison_shows_what_differs_and_marks_the_best(client: Client, runs: list[RunId]) -> None:
    path = "/runs/compare?" + urlencode({"run": runs}, doseq=True)
    context = twin(client, path)
    assert [row["key"] for row in context["params"]["rows"]] == ["depth", "opt"]
    assert [(one["row"]["key"], one["direction"], one["row"]["best"]) for one in context["metrics"]] == [("loss", "low", [1])]
    assert twin(client, context["metrics"][0]["turned"])["metrics"][0]["row"]["best"] == [0]
    shown = page(client, path)
    assert "They differ in <strong>2 params</strong>" in shown
    assert shown.count("<path") >= 3
    alike = twin(client, "/runs/compare?" + urlencode({"run": runs[:2]}, doseq=True))
    assert [row["key"] for row in alike["params"]["rows"]] == ["opt"]
    assert "Choose at least two runs" in page(client, f"/runs/compare?run={runs[0]}")


def test_curves_follow_their_address(client: Client, database: Database, runs: list[RunId]) -> None:
    long = made(database, "long", 0.0, {}, points=500)
    curves = twin(client, f"/runs/{long}?axis=relative&smooth=0.5&first=100&last=200")["curves"]
    values = curves["charts"][0]["chart"]["spec"]["data"]["values"]
    assert {row["k"] for row in values} == {0, 1}
    assert (min(row["x"] for row in values), max(row["x"] for row in values)) == (99, 201)
    assert "Whole range" in page(client, f"/runs/{long}?first=100")
    assert "is no place on this axis" in page(client, f"/runs/{long}?first=soon")
    assert twin(client, f"/runs/{long}?first=9&last=3")["curves"]["error"] == "the range ends before it begins"


def archive(content: bytes) -> bytes:
    """A source of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        entry = tarfile.TarInfo("train.py")
        entry.size = len(content)
        opened.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_the_code_and_packages_of_two_runs_are_compared(client: Client, database: Database, blobs: Blobs, runs: list[RunId]) -> None:
    for run_id, line, version in ((runs[0], b"rate = 1\n", "1.0"), (runs[1], f"rate = 2 # {EVIL}\n".encode(), "2.0")):
        service.store_file(database, blobs, WRITER, (run_id, service.SOURCE_FILE), archive(b"import x\n" + line))
        service.store_file(database, blobs, WRITER, (run_id, service.ENVIRONMENT_FILE), f"numpy=={version}\nsame==1\n".encode())
    context = twin(client, f"/runs/diff?base={runs[0]}&other={runs[1]}")
    assert [(line["kind"], line["text"]) for line in context["files"][0]["lines"]][-2:] == [
        ("removed", "rate = 1"),
        ("added", f"rate = 2 # {EVIL}"),
    ]
    assert [(one["key"], one["before"], one["after"]) for one in context["packages"]] == [("numpy", "1.0", "2.0")]
    page(client, f"/runs/diff?base={runs[0]}&other={runs[1]}")
    parts = {part["title"]: part for part in twin(client, "/runs/compare?" + urlencode({"run": runs}, doseq=True))["parts"]}
    assert [row["key"] for row in parts["Environment"]["rows"]] == ["numpy"]
    assert "No list of packages from c" in parts["Environment"]["note"]


def test_a_tag_that_a_client_set_opens_no_content_of_others(client: Client, database: Database, blobs: Blobs, runs: list[RunId]) -> None:
    secret = blobs.put_bytes(archive(b"secret\n"))
    database.write(lambda tx: service.log_batch(tx, WRITER, Batch(run_id=runs[0], tags=service.digest_tags(source=secret))))
    delivered = database.write(lambda tx: service.create_run(tx, SYSTEM, NewRun(experiment_id=ZERO, name="delivered"))).facts.id
    database.write(lambda tx: service.log_batch(tx, SYSTEM, Batch(run_id=delivered, tags=service.digest_tags(source=secret))))
    assert "No source archive of" in twin(client, f"/runs/diff?base={delivered}&other={runs[0]}")["missing"]
    assert twin(client, f"/runs/diff?base={delivered}&other={delivered}")["unchanged"] == 1


def test_a_view_is_saved_opened_changed_and_deleted(client: Client, runs: list[RunId]) -> None:
    form = {"csrf": CSRF, "name": EVIL, "query": "sort=-metrics.loss&show=metrics.loss&page=zzz", "is_for_team": "true"}
    answer = client.post("/experiments/0/views", data=form, follow_redirects=False)
    assert answer.status_code == 303
    opened = twin(client, answer.headers["location"])
    assert [(one["view"]["name"], one["is_open"], one["is_changed"]) for one in opened["saved"]] == [(EVIL, True, False)]
    assert opened["rows"][0]["facts"]["id"] == runs[0]
    saved = opened["saved"][0]["view"]
    assert saved["experiment_id"] is None
    assert saved["query"] == "sort=-metrics.loss&show=metrics.loss"
    changed = f"/experiments/0?sort=metrics.loss&saved={saved['id']}"
    assert "Save the changes" in page(client, changed)
    client.post("/experiments/0/views", data={**form, "query": "sort=metrics.loss"}, follow_redirects=False)
    assert [one["query"] for one in client.get("/api/v1/experiments/0/views").json()] == ["sort=metrics.loss"]
    refused = client.post("/api/v1/experiments/0/views", json={"name": "x", "query": "show=x&" * 300})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_input")
    assert client.post(f"/experiments/0/views/{saved['id']}/delete", data={"csrf": CSRF}, follow_redirects=False).status_code == 303
    assert client.get("/api/v1/experiments/0/views").json() == []


def test_views_of_another_team_are_not_seen_and_readers_change_none(client: Client, database: Database) -> None:
    saved = database.write(lambda tx: service.save_view(tx, WRITER, ZERO, "mine", "sort=start_time"))
    for who, method, status in (("stranger", "GET", 404), ("stranger", "DELETE", 404), ("reader", "GET", 200), ("reader", "DELETE", 403)):
        path = "/api/v1/experiments/0/views" + (f"/{saved.id}" if method == "DELETE" else "")
        assert client.request(method, path, headers={"x-principal": who}).status_code == status, (who, method)
    assert client.post("/api/v1/experiments/0/views", json={"name": "x", "query": ""}, headers={"x-principal": "reader"}).status_code == 403
    theirs = database.write(lambda tx: service.create_experiment(tx, STRANGER, service.NewExperiment(name="theirs"))).id
    assert client.get(f"/api/v1/experiments/{theirs}/views", headers={"x-principal": "stranger"}).json() == []
    assert client.delete(f"/api/v1/experiments/{theirs}/views/{saved.id}", headers={"x-principal": "stranger"}).status_code == 404
    assert [one.name for one in service_views(database)] == ["mine"]
    with pytest.raises(InvalidInput, match="needs a name"):
        database.write(lambda tx: service.save_view(tx, WRITER, ZERO, "  ", ""))


def service_views(database: Database) -> list[SavedView]:
    with database.read() as snapshot:
        return service.list_views(snapshot, WRITER, ZERO)


def test_an_export_is_what_the_search_says(database: Database, client: Client, runs: list[RunId]) -> None:
    view = TableView(filter="metrics.loss < 3", sort="metrics.loss", show=("params.opt", "metrics.loss", "start_time"))
    asked = service.ExportAsked(experiment_ids=(ZERO,), view=view)
    rows = list(csv.reader(io.StringIO(b"".join(service.export_runs(database, WRITER, asked)).decode())))
    assert rows[0] == ["run_id", "run_name", "params.opt", "metrics.loss", "start_time"]
    with database.read() as snapshot:
        found = service.search_runs(snapshot, WRITER, (ZERO,), Asked(filter=view.filter, order_by=("metrics.loss ASC",))).runs
    assert [row[0] for row in rows[1:]] == [run.facts.id for run in found] == [runs[1], runs[2]]
    assert [row[2:4] for row in rows[1:]] == [["'=cmd()", "1.0"], ["sgd", "2.0"]]
    whole = b"".join(service.export_runs(database, WRITER, service.ExportAsked(experiment_ids=(ZERO,), view=view, format="parquet")))
    frame = pl.read_parquet(whole)
    assert frame.select("params.opt", "metrics.loss").rows() == [("=cmd()", 1.0), ("sgd", 2.0)]
    assert frame["start_time"].dt.timestamp("us").to_list() == [run.facts.started_at for run in found]
    nothing = b"".join(service.export_runs(database, STRANGER, asked)).decode().splitlines()
    assert nothing == ["run_id,run_name,params.opt,metrics.loss,start_time"]
    with pytest.raises(FilterInvalid):
        service.export_runs(database, WRITER, service.ExportAsked(experiment_ids=(ZERO,), view=TableView(filter="a OR b")))


def test_an_export_goes_over_many_pages(database: Database, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.tracking.service.exports.RUNS_A_READ", 2)
    ids = {made(database, f"r{n}", float(n), {}) for n in range(5)}
    asked = service.ExportAsked(experiment_ids=(ZERO,), view=TableView(sort="metrics.loss"), format="parquet")
    frame = pl.read_parquet(b"".join(service.export_runs(database, WRITER, asked)))
    assert (set(frame["run_id"]), frame["metrics.loss"].to_list()) == (ids, [0.0, 1.0, 2.0, 3.0, 4.0])


def test_a_history_is_exported_point_by_point(database: Database, client: Client, runs: list[RunId]) -> None:
    nan = Batch(run_id=runs[0], metrics=(Metric(key="nan", value=float("nan"), at=Instant(5), step=7),))
    database.write(lambda tx: service.log_batch(tx, WRITER, nan))
    frame = pl.read_parquet(b"".join(service.export_history(database, WRITER, runs[0], "", "parquet")))
    assert frame.filter(pl.col("key") == "loss")["value"].to_list() == [5.0, 4.0, 3.0]
    assert frame.filter(pl.col("key") == "nan")["value"].is_nan().all()
    text = b"".join(service.export_history(database, WRITER, runs[0], "nan", "csv")).decode()
    assert text.splitlines() == ["key,step,time,value", "nan,7,1970-01-01T00:00:00.000005Z,nan"]
    with pytest.raises(NoSuchRun):
        service.export_history(database, STRANGER, runs[0], "", "csv")


def test_a_comparison_of_many_metrics_shows_the_first_and_says_how_many_there_are(
    client: Client, database: Database, runs: list[RunId], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "MOST_CELLS", 100)
    for n, run_id in enumerate(runs):
        metrics = tuple(Metric(key=f"m{key:03d}", value=float(n), at=Instant(1), step=0) for key in range(120))
        params = tuple((f"p{key:03d}", str(n)) for key in range(90))
        batch = Batch(run_id=run_id, metrics=metrics, params=params)
        database.write(functools.partial(service.log_batch, principal=WRITER, batch=batch))
    path = "/runs/compare?" + urlencode({"run": runs, "metric": "m119"}, doseq=True)
    found = twin(client, path)
    keys = [one["row"]["key"] for one in found["metrics"]]
    assert (keys[:2], len(keys), found["metrics_total"]) == (["loss", "m000"], 33, 121)
    assert (len(found["params"]["rows"]), found["params"]["of"], found["params"]["total"]) == (33, 92, 92)
    assert found["curves"]["charts"][0]["metric"] == "m119"  # what is not among the rows can be drawn
    shown = page(client, path)
    assert "The first 33 of 121; the table of these runs" in shown
    assert "The first 33 of 92 that differ." in shown

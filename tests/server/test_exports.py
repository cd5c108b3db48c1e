"""Exports over HTTP: files with names, errors in the one shape before the first byte, nothing of other teams."""

import polars as pl

from modelyard.access.domain import SYSTEM, Role
from modelyard.core.clock import Instant
from modelyard.tracking import service
from modelyard.tracking.domain import Batch, ExperimentId, Metric, NewRun
from tests.server.conftest import Running


def test_runs_and_points_are_handed_out_as_files(running: Running) -> None:
    database = running.installation.database
    database.write(service.ensure_default)
    run = database.write(lambda tx: service.create_run(tx, SYSTEM, NewRun(experiment_id=ExperimentId("0"), name="=exported")))
    batch = Batch(run_id=run.facts.id, metrics=(Metric(key="loss", value=0.5, at=Instant(1), step=3),))
    database.write(lambda tx: service.log_batch(tx, SYSTEM, batch))
    asked = {"experiment": "0", "filter": f"run_id = '{run.facts.id}'", "show": "metrics.loss"}
    with running.client(Role.VIEWER) as client:
        table = client.get("/api/v1/exports/runs", params=asked)
        assert table.headers["content-disposition"] == 'attachment; filename="runs.csv"'
        assert table.headers["content-type"] == "text/csv; charset=utf-8"
        assert table.text.splitlines() == ["run_id,run_name,metrics.loss", f"{run.facts.id},'=exported,0.5"]
        points = client.get(f"/api/v1/exports/runs/{run.facts.id}/history", params={"key": "loss", "format": "parquet"})
        assert pl.read_parquet(points.content).select("key", "step", "value").rows() == [("loss", 3, 0.5)]
        refused = client.get("/api/v1/exports/runs", params={**asked, "filter": "a OR b"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "filter_invalid")
        assert client.get("/api/v1/exports/runs", params={**asked, "format": "xlsx"}).json()["error"]["code"] == "invalid_input"
        assert client.get("/api/v1/exports/runs").json()["error"]["message"] == "the query names no experiment"
        assert client.get("/api/v1/exports/runs/nope/history").status_code == 404

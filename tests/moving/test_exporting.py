"""`yard export`: what is held here, taken away whole, wherever it was killed meanwhile; and both commands as they are called."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.core.clock import Instant
from modelyard.moving.accounts import Unwatched
from modelyard.moving.exporting import AskedOut, Export
from modelyard.moving.written import FolderTaken
from modelyard.registry.domain import ModelName
from modelyard.registry.imports import ImportedRegisteredModel, ImportedVersion, ModelImport
from modelyard.sdk.client import Client
from modelyard.tracking.domain import ExperimentId, Lifecycle, RunId, RunStatus
from modelyard.tracking.imports import Finished, ImportedExperiment, ImportedRun, PackedSeries, SourceName
from modelyard.tracking.rules.series import Points, packed_points
from tests.cli.conftest import Yard, yard
from tests.moving.conftest import Home

__all__ = ["yard"]

pytestmark = pytest.mark.xdist_group("moving")
HERE = SourceName("elsewhere")
RUNS = tuple(RunId(f"{number:032x}") for number in range(1, 6))
ODD = "sub/ä & b (1).txt"


def filled(client: Client) -> None:
    """An experiment with five runs, one of them in the bin, points, files and a registered model."""
    one = ImportedExperiment(id="5", name="what is left", created_at=Instant(1), updated_at=Instant(2), tags={"a": "ü"})
    client.import_experiments(source=HERE, experiments=(one,))
    values = np.array([math.nan, 1.5, -2.0])
    points = PackedSeries(key="loss", points=packed_points(Points(np.arange(3) * 1_000_000, np.arange(3), values)))
    runs = tuple(
        ImportedRun(
            id=run, experiment_id=ExperimentId("5"), name=f"r{run[-1]}", user="ann", status=RunStatus.FINISHED,
            started_at=Instant(10), ended_at=Instant(20), params={"p": run[-1]}, series=(points,),
        )
        for run in RUNS
    )  # fmt: skip
    assert client.import_runs(source=HERE, runs=runs) == []
    for path in ("model/MLmodel", "model/w", ODD, "both", "both/below"):
        client.upload_artifact(f"mlflow-artifacts:/5/{RUNS[0]}/artifacts", path, iter([path.encode()]))
    done = tuple(Finished(id=run, fingerprint="f", lifecycle=Lifecycle.DELETED if run == RUNS[4] else Lifecycle.ACTIVE) for run in RUNS)
    client.finish_imports(source=HERE, kind="run", items=done)
    at = {"created_at": Instant(1), "updated_at": Instant(2), "fingerprint": "f"}
    model = ImportedRegisteredModel(name=ModelName("late"), aliases={"champion": 3}, **at)  # type: ignore[arg-type]
    kept = ImportedVersion(number=3, uri="x", owner=RUNS[0], folder="model", run=RUNS[0], **at)  # type: ignore[arg-type]
    far = ImportedVersion(number=5, uri="s3://far/away", **at)  # type: ignore[arg-type]
    here = client.import_model(ModelImport(source=HERE, model=model, versions=(kept, far)))
    assert [(one.became, one.has_files) for one in here.versions] == [("made", True), ("made", False)]


def test_everything_is_taken_away_with_digests(home: Home, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with home.client() as client:
        filled(client)
        report = Export(client, AskedOut(place=out), Unwatched()).ran()
        with pytest.raises(FolderTaken):
            Export(client, AskedOut(place=out), Unwatched())
    assert (report.counts["runs"], report.counts["points"], report.counts["artifacts"], report.counts["versions"]) == (5, 15, 5, 2)
    manifest = json.loads((out / "manifest.json").read_text())
    listed = {file["path"]: file for file in manifest["files"]}
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == listed.keys() | {"manifest.json"}
    for path, file in listed.items():
        content = (out / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size_bytes"], file["sha256"])
    points = pl.read_parquet(out / "experiments/5/points-*.parquet").sort("run_id", "step")
    assert points.filter(run_id=RUNS[0])["value"].to_list()[1:] == [1.5, -2.0]
    assert points["value"].is_nan().sum() == 5
    runs = pl.read_parquet(out / "experiments/5/runs-00001.parquet")
    assert sorted(runs["run_id"]) == list(RUNS)
    assert runs.filter(run_id=RUNS[4])["lifecycle"].item() == "deleted"
    assert pl.read_parquet(out / "experiments/5/params-00001.parquet").sort("run_id")["value"].to_list() == list("12345")
    assert (out / f"experiments/5/artifacts/{RUNS[0]}/{ODD}").read_text() == ODD
    assert (out / f"experiments/5/artifacts/{RUNS[0]}/both.file").read_text() == "both"
    assert (out / "models/late/3/files/w").read_text() == "model/w"
    model, version = (json.loads((out / f"models/late/{name}.json").read_text()) for name in ("model", "5/version"))
    assert [(move["name"], move["after"]) for move in model["moves"]] == [("champion", 3)]
    assert version["source"]["uri"] == "s3://far/away"
    assert not (out / "models/late/5/files").exists()


class Dying(Client):
    """A client whose process dies at its nth request."""

    left = 0

    def reached(self, method: str, path: str, **given: Any) -> Any:
        """Sends the request unless the process is dead by then."""
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt
        return super().reached(method, path, **given)


def test_an_export_goes_on_wherever_it_was_killed(home: Home, tmp_path: Path) -> None:
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    with home.client() as client:
        filled(client)
        Export(client, AskedOut(place=whole), Unwatched()).ran()
    for deaths in range(1, 100):
        client = Dying(home.url, home.token)
        client.left = deaths
        with client:
            try:
                Export(client, AskedOut(place=pieces), Unwatched()).ran()
            except KeyboardInterrupt:
                assert not pieces.exists()
                continue
            break
    assert deaths > 5
    both = [{str(path.relative_to(one)): path.read_bytes() for path in one.rglob("*") if path.is_file()} for one in (whole, pieces)]
    assert both[0] == both[1]


def test_an_export_of_something_else_does_not_go_on_in_its_folder(home: Home, tmp_path: Path) -> None:
    client = Dying(home.url, home.token)
    client.left = 3
    with client, pytest.raises(KeyboardInterrupt):
        Export(client, AskedOut(place=tmp_path / "out"), Unwatched()).ran()
    with home.client() as ours, pytest.raises(FolderTaken, match="another export"):
        Export(ours, AskedOut(place=tmp_path / "out", experiments=("what is left",)), Unwatched())


def test_both_commands_say_what_they_did(home: Home, tmp_path: Path, yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", home.url)
    monkeypatch.setenv("MODELYARD_TOKEN", home.token)
    with home.client() as client:
        filled(client)
    said = yard("export", "out", "--model", "late")
    assert (said.code, "versions" in said.out) == (0, True)
    assert not (tmp_path / "out/experiments").exists()
    assert yard("export", "other", "--experiment", "what is lost", "--json").json["error"]["hint"] == "did you mean what is left?"
    # What is here speaks MLflow, so it can be brought from itself: everything there is here already, and from elsewhere.
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", home.token)
    dry = yard("import", "mlflow", home.url, "--dry-run", "--json")
    assert (dry.code, dry.json["is_dry"], dry.json["tallies"]["runs"]) == (0, True, {"there": 5, "brought": 5, "unchanged": 0})
    real = yard("import", "mlflow", home.url)
    assert real.code == 1
    assert "is here already and did not come from there" in " ".join(real.out.split())
    assert yard("import", "mlflow", "ftp://x", "--json").json["error"]["code"] == "invalid_input"

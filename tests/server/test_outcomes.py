"""What a run left in a data folder of its own is read as a server would have kept it."""

import math
from pathlib import Path

import pytest

import modelyard
from modelyard.core.digests import digest_bytes
from modelyard.delivery.domain import NotReproducible
from modelyard.server.outcomes import read_outcome


def test_params_latest_metrics_and_files_of_the_run_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_DATA", str(tmp_path))
    (tmp_path / "model.txt").write_bytes(b"tree")
    with modelyard.start(params={"depth": 6}, record=False, system_metrics=False, quiet=True) as run:
        run.log({"loss": 0.5, "auc": 0.7}, step=1)
        run.log({"loss": 0.25}, step=2)
        run.log({"loss": 9.0}, step=0)
        run.log({"odd": math.nan})
        run.log_artifact(tmp_path / "model.txt")
    found = read_outcome(tmp_path)
    assert found.params["depth"] == "6"
    assert (found.metrics["loss"], found.metrics["auc"]) == (0.25, 0.7)
    assert math.isnan(found.metrics["odd"])
    assert found.files == {"model.txt": digest_bytes(b"tree")}


def test_a_command_that_logged_nothing_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotReproducible, match="logged no run"):
        read_outcome(tmp_path)

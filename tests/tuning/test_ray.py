"""Trials on a real Ray cluster of one node: the same values as at home, ended when nobody wants them, tried again when lost."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest
from modelyard.core.settings import WorkerSettings
from modelyard.delivery.search_space import Reports
from modelyard.delivery.training import Lesson
from modelyard.registry.domain import Column, Output, Signature
from modelyard.server.installation import Installation, opened
from modelyard.tracking.domain import RunId
from modelyard.tracking.service import get_history, get_run
from modelyard.tuning.cluster.remote import Cluster
from modelyard.tuning.domain import ClusterAway, Loss, StudyId, TrialState
from modelyard.tuning.places import Work
from modelyard.tuning.service import stop_study
from tests.delivery.reproducing import declared, settings_of
from tests.servers import free_port
from tests.serving.world import until
from tests.tuning.project import asked, child_of, held_up, is_alive, prepared, standing, worked, write_tuned

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "only-who-knows-this-may-ask-the-cluster"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, IO[str]]]:
    """The home of a cluster that comes to be, and where it says its address; it asks for a token, which the environment has from now on."""
    made = tmp_path_factory.mktemp("mine")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TOKEN.items():
            patch.setenv(name, value)
        words = {**os.environ, "XDG_CACHE_HOME": str(made / "cache"), "RAY_USAGE_STATS_ENABLED": "0"}
        script = Path(__file__).with_name("ray_node.py")
        process = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=words)
        assert process.stdout is not None
        try:
            yield made, process.stdout
        finally:
            process.communicate()


@pytest.fixture(scope="module")
def folder(node: tuple[Path, IO[str]]) -> Path:
    """The project's folder, its model declared; the node keeps its environments beside it."""
    made, _ = node
    project = made / "project"
    project.mkdir()
    write_tuned(project, project / ".yard")
    (made / "cache/modelyard").mkdir(parents=True)
    (made / "cache/modelyard/environments").symlink_to(project / ".yard/environments")
    with opened(settings_of(project)) as installation:
        declared(installation, project)
    return project


@pytest.fixture(scope="module")
def cluster(node: tuple[Path, IO[str]], folder: Path) -> str:
    """The cluster's address, once it answers."""
    _, said = node
    address = said.readline().strip()
    assert address, "the cluster did not start"
    return address


@pytest.fixture
def mine(folder: Path, cluster: str) -> Iterator[Installation]:
    """The project's installation, whose trials train on the cluster."""
    settings = msgspec.structs.replace(settings_of(folder), worker=WorkerSettings(lease_s=5.0, ray=cluster))
    with opened(settings) as installation:
        yield installation


def test_a_trial_whose_node_is_killed_is_tried_again_and_comes_out_as_at_home(folder: Path, mine: Installation) -> None:
    study = prepared(mine, name="killed", trials=1).study
    with held_up(folder, mine) as hands:
        child = child_of(folder)
        node = parent_of(child)
        assert node != os.getpid()
        (folder.parent / "hold").unlink()
        os.kill(node, signal.SIGKILL)
        while hands.rest():
            hands.turn()
        assert not is_alive(child)
        (folder.parent / "hold").touch()
    lost, done = standing(mine, study.id).trials
    assert (lost.state, lost.loss) == (TrialState.FAIL, Loss.CRASHED)
    assert "(trial_lost)" in lost.reason
    home = msgspec.structs.replace(mine, settings=settings_of(folder))
    here = asked(home, name="here", trials=1).study.id
    worked(home)
    expected = standing(home, here).trials[0]
    assert (done.state, done.parameters, done.value) == (TrialState.COMPLETE, lost.parameters, expected.value), done.reason
    kept, wanted = (recorded(mine, one.run) for one in (done, expected))
    assert kept == wanted
    assert len(kept[2]) == 10


def recorded(mine: Installation, run: str) -> tuple[object, dict[str, float | None], list[float | None]]:
    """A run's environment, the metrics that it was measured by, and what it reported."""
    with mine.database.read() as snapshot:
        found = get_run(snapshot, SYSTEM, RunId(run))
        history = get_history(snapshot, SYSTEM, RunId(run), "reported")
    return found.facts.environment_digest, {one.key: one.value for one in found.metrics}, list(history.values)


def test_a_trial_that_is_stopped_leaves_nothing_on_its_node(folder: Path, mine: Installation) -> None:
    study = prepared(mine, name="stopped", trials=1).study
    (folder.parent / "helper").touch()
    with held_up(folder, mine) as hands:
        child = child_of(folder)
        until(lambda: reported(mine, study.id) == 3)
        mine.database.write(lambda tx: stop_study(tx, SYSTEM, study.id))
        hands.close()
        assert not is_alive(child)
        until(lambda: not is_alive(int((folder.parent / "helper").read_text())))
    (folder.parent / "helper").unlink()
    assert [one.loss for one in standing(mine, study.id).trials] == [Loss.STOPPED]


def reported(mine: Installation, study: StudyId) -> int:
    """How many values the study's first trial has reported so far."""
    run = standing(mine, study).trials[0].run
    with mine.database.read() as snapshot:
        return next((one.points for one in get_run(snapshot, SYSTEM, RunId(run)).metrics if one.key == "reported"), 0)


def parent_of(process: int) -> int:
    """The process that started it."""
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_cluster_that_is_away_is_named_with_what_to_do(folder: Path) -> None:
    place = Cluster(f"127.0.0.1:{free_port()}", patience_s=0.0)
    lesson = Lesson(
        function="models:late",
        rows=pl.DataFrame({"late": [0]}),
        signature=Signature(inputs=(Column(name="distance", dtype="int64"),), output=Output(name="value", kind="number", label="late")),
        parameters={},
        seed=1,
        threads=1,
        reports=Reports(path=str(folder / "reports"), higher_is_better=True),
    )
    with contextlib.closing(place), pytest.raises(ClusterAway, match="Connection refused") as told:
        place.train(Work(source=b"", folder=folder, own=b"", lesson=lesson), folder / "model", Unwatched())
    assert "worker.ray" in told.value.hint


class Unwatched:
    """Somebody who only waits."""

    def began(self, environment: Digest) -> None:
        """Nothing."""

    def beat(self) -> None:
        """Nothing."""

    def look(self) -> None:
        """Nothing."""

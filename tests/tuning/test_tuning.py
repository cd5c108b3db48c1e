"""Studies for real: trials trained in children by a worker, pruned, killed, stopped, through the command, and delivered."""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.access.domain import SYSTEM
from modelyard.server.installation import Installation, opened
from modelyard.server.tuning import Hands
from modelyard.tracking.domain import RunId, RunStatus
from modelyard.tracking.service import get_history, get_run
from modelyard.tuning.domain import Loss, StudyDetail, StudyState, TrialState
from modelyard.tuning.service import stop_study
from tests.delivery.reproducing import declared, settings_of
from tests.live import YARD
from tests.serving.world import until
from tests.tuning.invented import finished, taken
from tests.tuning.project import asked, child_of, held_up, is_alive, prepared, standing, worked, write_tuned


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder, its model declared."""
    made = tmp_path_factory.mktemp("mine")
    project = made / "project"
    project.mkdir()
    write_tuned(project, project / ".yard")
    with opened(settings_of(project)) as installation:
        declared(installation, project)
    return project


@pytest.fixture
def mine(folder: Path) -> Iterator[Installation]:
    """The project's installation."""
    with opened(settings_of(folder)) as installation:
        yield installation


def outcome(detail: StudyDetail) -> list[tuple[dict[str, Any], float | None]]:
    """What was tried and what came of it."""
    return [(one.parameters, one.value) for one in detail.trials if one.loss is None]


def test_a_study_comes_out_the_same_under_its_seed_and_its_best_goes_with_its_run(mine: Installation) -> None:
    first = asked(mine, name="first", trials=2, seed=3)
    worked(mine)
    again = asked(mine, name="again", trials=2, seed=3)
    worked(mine)
    found, repeated = standing(mine, first.study.id), standing(mine, again.study.id)
    assert found.study.state is StudyState.DONE, found.study.reason
    assert outcome(found) == outcome(repeated)
    assert len({one.value for one in found.trials}) > 1
    assert found.best is not None
    assert found.study.rows is not None
    rows = found.study.rows
    assert rows.learned + rows.validated + rows.held_back == 2000
    assert (rows.learned, rows.validated, rows.held_back) == pytest.approx((1280, 320, 400), abs=3)
    with mine.database.read() as snapshot:
        run = get_run(snapshot, SYSTEM, RunId(found.best.run))
    assert run.params == {name: str(value) for name, value in found.best.parameters.items()}
    assert {one.key: one.value for one in run.metrics}["roc_auc"] == found.best.value
    assert {one.key: one.points for one in run.metrics}["reported"] == 10
    assert run.facts.environment_digest is not None


def test_a_trial_that_does_worse_than_the_others_is_stopped_and_its_child_is_gone(folder: Path, mine: Installation) -> None:
    study = prepared(mine, name="pruned", trials=6).study
    for _ in range(5):
        held = taken(mine.database)
        assert held is not None
        finished(mine.database, held, lambda parameters, number: [0.8, 0.8 + number / 100, 0.9])
    with held_up(folder, mine) as hands:
        child = child_of(folder)
        hands.close()
        assert not is_alive(child)
    trial = standing(mine, study.id).trials[5]
    assert (trial.state, trial.value, trial.reason) == (TrialState.PRUNED, None, "worse at step 2 than half of the others were")
    with mine.database.read() as snapshot:
        run = get_run(snapshot, SYSTEM, RunId(trial.run))
        history = get_history(snapshot, SYSTEM, RunId(trial.run), "reported")
    assert (run.facts.status, run.tags["modelyard.trial_state"]) == (RunStatus.KILLED, "pruned")
    assert (history.steps, history.values) == ([0, 1, 2], [0.01] * 3)


def test_stopping_a_study_ends_the_child_and_going_on_tries_the_same_again(folder: Path, mine: Installation) -> None:
    study = prepared(mine, name="stopped", trials=1).study
    with held_up(folder, mine) as hands:
        child = child_of(folder)
        mine.database.write(lambda tx: stop_study(tx, SYSTEM, study.id))
        hands.close()
        assert not is_alive(child)
    asked(mine, name="stopped", trials=1)
    worked(mine)
    lost, done = standing(mine, study.id).trials
    assert (lost.loss, done.state) == (Loss.STOPPED, TrialState.COMPLETE)
    assert lost.parameters == done.parameters


def test_a_worker_that_is_told_to_end_gives_its_trial_back(folder: Path, mine: Installation) -> None:
    study = prepared(mine, name="given-back", trials=1).study
    with held_up(folder, mine):
        child = child_of(folder)
    assert not is_alive(child)
    detail = standing(mine, study.id)
    assert ([one.loss for one in detail.trials], detail.counted) == ([Loss.GIVEN_BACK], 0)
    mine.database.write(lambda tx: stop_study(tx, SYSTEM, study.id))


def test_a_trial_whose_training_raises_says_why(folder: Path, mine: Installation) -> None:
    (folder.parent / "raise").touch()
    try:
        study = asked(mine, name="raising", trials=1)
        worked(mine)
    finally:
        (folder.parent / "raise").unlink()
    detail = standing(mine, study.study.id)
    assert (detail.study.state, detail.trials[0].state) == (StudyState.DONE, TrialState.FAIL)
    assert "ValueError: what the data holds" in detail.trials[0].reason


def test_a_worker_killed_midway_is_followed_by_another_that_tries_the_same(folder: Path, mine: Installation) -> None:
    study = prepared(mine, name="killed", trials=1).study
    words = [*YARD, "worker", "--data", str(folder / ".yard")]
    (folder.parent / "hold").touch()
    (folder.parent / "pid").unlink(missing_ok=True)
    with (folder.parent / "worker.log").open("w") as log:
        worker = subprocess.Popen(words, env={**os.environ, "MODELYARD_WORKER__LEASE_S": "1"}, stdout=log, stderr=log, cwd=folder)
        try:
            until(lambda: (folder.parent / "pid").exists(), 60)
        finally:
            (folder.parent / "hold").unlink()
            worker.kill()
            worker.wait()
    until(lambda: not is_alive(child_of(folder)))
    assert standing(mine, study.id).trials[0].state is TrialState.RUNNING
    hands = Hands(mine, "second", threading.Event())
    until(hands.turn)
    hands.close()
    lost, done = standing(mine, study.id).trials
    assert (lost.loss, lost.reason) == (Loss.CRASHED, "its worker ended before it did")
    assert (done.state, done.parameters) == (TrialState.COMPLETE, lost.parameters)
    assert standing(mine, study.id).study.state is StudyState.DONE

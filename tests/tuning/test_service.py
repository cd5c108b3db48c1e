"""Studies and trials as records and as work: on both databases, who may, what is given out to whom, what is lost, how a study ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import FixedClock
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.delivery.declaration import Gate
from modelyard.delivery.domain import FencedOff
from modelyard.delivery.service import declare_model
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.storage.database import Database
from modelyard.tracking.domain import RunId, RunStatus
from modelyard.tracking.service import get_run
from modelyard.tuning.domain import Loss, NewStudy, NotTunable, Report, StudyDiffers, StudyState, TrialState
from modelyard.tuning.rules.studies import metric_of
from modelyard.tuning.service import (
    Outcome,
    broken_preparation,
    claimed_preparation,
    ended_trial,
    extended_preparation,
    extended_trial,
    get_study,
    is_claimable,
    latest_reports,
    list_studies,
    lost_trial,
    prepared,
    reported,
    start_study,
    stop_study,
)
from tests.delivery.declaring import declared
from tests.tuning.invented import LEASE_S, ROWS, SPACE, begun, finished, running, standing, taken

EVE = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
MAX = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={TeamId("other"): Role.ADMIN})


ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def score(parameters: Mapping[str, Any], number: int) -> list[float]:
    """A value that falls with the rate."""
    return [1 - parameters["rate"]]


def test_the_first_trial_has_the_functions_own_values_and_each_is_a_run(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=2)
    held = taken(database)
    assert held is not None
    assert taken(database) is None, "one at a time"
    assert dict(finished(database, held, score).parameters) == SPACE.defaults
    second = taken(database)
    assert second is not None
    finished(database, second, score)
    detail = standing(database, study)
    assert (detail.study.state, detail.counted) == (StudyState.DONE, 2)
    assert detail.best == max(detail.trials, key=lambda one: one.value or 0.0)
    with database.read() as snapshot:
        run = get_run(snapshot, SYSTEM, RunId(held.run))
        assert not is_claimable(snapshot)
    assert run.facts.status is RunStatus.FINISHED
    assert {one.key: one.value for one in run.metrics} == {"reported": 0.9, "roc_auc": 0.9, "log_loss": pytest.approx(0.1)}
    assert (run.tags["modelyard.study"], run.tags["modelyard.trial_state"]) == (study.id, "complete")
    assert run.facts.snapshot_digest is not None


def test_reports_are_kept_whatever_they_are_and_the_last_of_a_step_counts(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=1)
    held = taken(database)
    assert held is not None
    for told in ({0: float("nan"), 1: float("inf")}, {1: -1e300, 2**53 - 1: 0.5}):
        database.write(lambda tx, told=told: reported(tx, held, told))  # type: ignore[misc]  # bound now
    with database.read() as snapshot:
        found = latest_reports(snapshot, study, trials=9, points=100)
    assert found == {0: (Report(0, None), Report(1, -1e300), Report(2**53 - 1, 0.5))}


def test_of_many_reports_of_the_latest_trials_some_are_read_the_last_among_them(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=3, parallel=3)
    for _ in range(3):
        held = taken(database)
        assert held is not None
        database.write(lambda tx, held=held: reported(tx, held, {step: float(step) for step in range(0, 500, 2)}))  # type: ignore[misc]  # bound now
    with database.read() as snapshot:
        found = latest_reports(snapshot, study, trials=2, points=10)
        every = latest_reports(snapshot, study, trials=1, points=250)
    assert [report.step for report in found[2]] == [*range(0, 500, 50), 498]
    assert (sorted(found), len(every[2])) == ([1, 2], 250)


def test_of_equal_trials_the_earliest_is_the_best_whichever_ends_first(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=3, parallel=3)
    first, second, third = taken(database), taken(database), taken(database)
    for held, value in ((second, 0.7), (first, 0.7), (third, 0.6)):
        assert held is not None
        outcome = Outcome(state=TrialState.COMPLETE, metrics={"roc_auc": value})
        database.write(lambda tx, held=held, outcome=outcome: ended_trial(tx, held, outcome))  # type: ignore[misc]  # bound now
    found = standing(database, study)
    assert found.best is not None
    assert (found.best.number, found.study.best) == (0, found.best)


def test_what_happened_stands_in_the_ledger(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=1)
    held = taken(database)
    assert held is not None
    finished(database, held, score)
    database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late", trials=2)))
    database.write(lambda tx: stop_study(tx, SYSTEM, study.id))
    sequence_pending(database, "test")
    with database.read() as snapshot:
        told = [(one.type, one.data) for one in list_events(snapshot, -1, None, 200) if one.subject == f"study:{study.id}"]
    assert [kind for kind, _ in told] == [
        f"tuning.{word}" for word in ("study_started", "best_found", "study_ended", "study_continued", "study_ended")
    ]
    assert told[0][1]["space"]["domains"]["leaves"] == {"type": "integers", "low": 2, "high": 255, "step": 1, "log": False}
    assert told[1][1]["best"] == {"trial": 0, "value": 0.9, "parameters": SPACE.defaults, "run": held.run}
    assert (told[4][1]["state"], told[4][1]["reason"]) == ("stopped", "stopped by Modelyard")


def test_trials_of_several_workers_run_at_once_up_to_the_bound(database: Database, tmp_path: Path) -> None:
    running(database, tmp_path, trials=4, parallel=3)
    held = [taken(database, f"w{number}") for number in range(4)]
    assert [one and (one.number, one.place) for one in held] == [(0, 0), (1, 1), (2, 2), None]
    assert held[1] is not None
    finished(database, held[1], score)
    last = taken(database)
    assert last is not None
    assert last.place == 3
    assert taken(database) is None


def test_a_trial_whose_worker_is_gone_is_lost_and_its_place_given_out_anew(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=1)
    first = taken(database, lease_s=-1)
    assert first is not None
    second = taken(database, "w2")
    assert second is not None
    assert (second.number, second.place) == (1, 0)
    with pytest.raises(FencedOff):
        database.write(lambda tx: extended_trial(tx, first, LEASE_S))
    with pytest.raises(FencedOff):
        database.write(lambda tx: ended_trial(tx, first, Outcome(state=TrialState.COMPLETE, metrics={"roc_auc": 1.0})))
    finished(database, second, score)
    detail = standing(database, study)
    assert [(one.state, one.loss, one.value) for one in detail.trials] == [
        (TrialState.FAIL, Loss.CRASHED, None),
        (TrialState.COMPLETE, None, 0.9),
    ]
    assert (detail.study.state, detail.counted) == (StudyState.DONE, 1)


@ON_SQLITE
def test_a_place_that_takes_every_worker_down_fails_the_study(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=5)
    for _ in range(3):
        assert taken(database, lease_s=-1) is not None
    assert taken(database) is None
    assert standing(database, study).study.state is StudyState.FAILED
    assert "on the same trial: its worker ended before it did" in standing(database, study).study.reason


@ON_SQLITE
def test_a_trial_that_was_given_back_counts_against_nothing(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=1)
    for _ in range(5):
        held = taken(database)
        assert held is not None
        database.write(lambda tx, held=held: lost_trial(tx, held, Loss.GIVEN_BACK, "the worker ends"))  # type: ignore[misc]  # bound now
    assert (standing(database, study).counted, standing(database, study).study.state) == (0, StudyState.RUNNING)


@ON_SQLITE
def test_a_study_whose_first_trials_all_fail_ends_there(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=50)
    outcome = Outcome(state=TrialState.FAIL, reason="NameError: lgbm")
    while (held := taken(database)) is not None:
        database.write(lambda tx, held=held: ended_trial(tx, held, outcome))  # type: ignore[misc]  # bound now
    detail = standing(database, study)
    assert (detail.study.state, detail.counted) == (StudyState.FAILED, 5)
    assert "NameError: lgbm" in detail.study.reason


def test_no_trial_begins_after_the_time_is_over(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    study = running(database, tmp_path, trials=9, timeout_s=1e-6)
    clock.advance(1)  # PostgreSQL's own, by which it goes there, does not stand
    assert taken(database) is None
    assert (standing(database, study).study.state, standing(database, study).study.reason) == (StudyState.DONE, "its time is over")


def test_stopping_ends_what_is_under_way_and_going_on_begins_there_again(database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=2)
    held = taken(database)
    assert held is not None
    stopped = database.write(lambda tx: stop_study(tx, SYSTEM, study.id))
    assert (stopped.study.state, stopped.trials[0].loss, stopped.counted) == (StudyState.STOPPED, Loss.STOPPED, 0)
    with pytest.raises(FencedOff):
        database.write(lambda tx: extended_trial(tx, held, LEASE_S))
    with database.read() as snapshot:
        assert get_run(snapshot, SYSTEM, RunId(held.run)).facts.status is RunStatus.KILLED
        assert not is_claimable(snapshot)
    again = database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late", trials=2)))
    assert (again.study.id, again.study.state) == (study.id, StudyState.RUNNING)
    second = taken(database)
    assert second is not None
    assert second.place == 0


@ON_SQLITE
def test_a_study_that_was_stopped_while_its_rows_were_read_is_nobodys(database: Database, tmp_path: Path) -> None:
    begun(database, tmp_path)
    held = database.write(lambda tx: claimed_preparation(tx, "w1", LEASE_S))
    assert held is not None
    database.write(lambda tx: stop_study(tx, SYSTEM, held.id))
    with pytest.raises(FencedOff):
        database.write(lambda tx: extended_preparation(tx, held, LEASE_S))
    with pytest.raises(FencedOff):
        database.write(lambda tx: prepared(tx, held, ROWS))


@ON_SQLITE
def test_rows_that_cannot_be_read_are_tried_again_only_where_that_may_help(database: Database, tmp_path: Path) -> None:
    study = begun(database, tmp_path)
    states = []
    for _ in range(3):
        held = database.write(lambda tx: claimed_preparation(tx, "w1", LEASE_S))
        assert held is not None
        database.write(lambda tx, held=held: broken_preparation(tx, held, "the store is away", may_pass=True))  # type: ignore[misc]  # bound now
        states.append(standing(database, study).study.state)
    assert states == [StudyState.WAITING, StudyState.WAITING, StudyState.FAILED]
    database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late")))
    held = database.write(lambda tx: claimed_preparation(tx, "w1", LEASE_S))
    assert held is not None
    database.write(lambda tx: broken_preparation(tx, held, "no such column", may_pass=False))
    assert (standing(database, study).study.state, standing(database, study).study.reason) == (StudyState.FAILED, "no such column")


@ON_SQLITE
def test_the_same_words_again_go_on_and_other_ones_are_refused(database: Database, tmp_path: Path) -> None:
    study = begun(database, tmp_path, trials=3, seed=7)
    more = database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late", trials=5, parallel=2)))
    assert (more.study.id, more.study.trials, more.study.parallel, more.study.seed) == (study.id, 5, 2, 7)
    for words, told in (({"metric": "log_loss"}, "the metric log_loss"), ({"seed": 8}, "the seed 8")):
        with pytest.raises(StudyDiffers, match=told):
            database.write(lambda tx, words=words: start_study(tx, SYSTEM, NewStudy(model="late", **words)))  # type: ignore[misc]  # bound now
    declare_model(database, SYSTEM, declared(tmp_path, tune=SPACE, holdout=0.3))
    with pytest.raises(StudyDiffers, match="the project's declaration as applied now") as refused:
        database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late")))
    assert "--name" in refused.value.hint


@ON_SQLITE
def test_who_may(database: Database, tmp_path: Path) -> None:
    study = begun(database, tmp_path)
    with pytest.raises(NotAllowed):
        database.write(lambda tx: start_study(tx, EVE, NewStudy(model="late", name="mine")))
    with pytest.raises(NotAllowed):
        database.write(lambda tx: stop_study(tx, EVE, study.id))
    with database.read() as snapshot:
        assert [one.id for one in list_studies(snapshot, EVE, "late", study.name)] == [study.id]
        assert list_studies(snapshot, EVE, "late", "other") == list_studies(snapshot, MAX) == []
        with pytest.raises(NotFound):
            get_study(snapshot, MAX, study.id)


@ON_SQLITE
def test_what_cannot_be_tuned_says_so(database: Database, tmp_path: Path) -> None:
    begun(database, tmp_path)
    declare_model(database, SYSTEM, declared(tmp_path))
    with pytest.raises(NotTunable, match="does not say what"):
        database.write(lambda tx: start_study(tx, SYSTEM, NewStudy(model="late")))
    for words in ({"trials": 0}, {"parallel": 17}, {"seed": -1}, {"timeout_s": 0.0}, {"timeout_s": float("nan")}, {"name": "no name"}):
        with pytest.raises(InvalidInput):
            NewStudy(model="late", **words)


@ON_SQLITE
def test_the_metric_is_the_one_that_is_plain(database: Database) -> None:
    free = msgspec.structs.replace(SPACE, objective="")
    gated = declared(Path("/"), tune=free, gates=(Gate("metrics.log_loss < 0.5"), Gate("metrics.log_loss < champion.x"))).declaration
    assert metric_of(gated) == "log_loss"
    assert metric_of(gated, "brier") == "brier"
    assert metric_of(declared(Path("/"), tune=SPACE, gates=gated.gates).declaration) == "roc_auc"
    torn = declared(Path("/"), tune=free, gates=(*gated.gates, Gate("metrics.roc_auc > 0.6"))).declaration
    for declaration in (torn, declared(Path("/"), tune=free).declaration):
        with pytest.raises(NotTunable, match="tuned by") as refused:
            metric_of(declaration)
        assert "--metric roc_auc" in refused.value.hint


@ON_SQLITE
def test_a_study_whose_workers_die_finds_what_one_left_alone_finds(database: Database, tmp_path: Path) -> None:
    found = {}
    for name, lost in (("alone", set()), ("killed", {3, 12})):
        study, given = running(database, tmp_path, name=name, trials=14, seed=11), []
        while standing(database, study).study.state is StudyState.RUNNING:
            held = taken(database, lease_s=-1 if len(standing(database, study).trials) in lost else LEASE_S)
            assert held is not None
            if held.number not in lost:
                given.append(dict(finished(database, held, score).parameters))
        found[name] = given
    assert found["alone"] == found["killed"]
    assert len({one["rate"] for one in found["alone"]}) == 14

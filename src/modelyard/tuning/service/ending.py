"""How studies and trials end: each once, with their runs, and a study with its entry in the ledger. Used by those beside alone."""

import contextlib

import msgspec

from modelyard.access.domain import SYSTEM, PrincipalId
from modelyard.delivery.domain import Facts
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import Batch, NoSuchRun, NotActive, RunId, RunStatus
from modelyard.tracking.service import finish_run, log_batch
from modelyard.tuning.domain import Loss, Study, StudyDetail, StudyState, Trial, TrialState
from modelyard.tuning.rules.studies import best_of
from modelyard.tuning.store import sampled, studies
from modelyard.tuning.store.sampled import TrialRecord

STATE_TAG = "modelyard.trial_state"
REASON_TAG = "modelyard.trial_reason"
RUN, REASON = "run", "reason"
"""Optuna's user attributes of a trial that are ours."""
LONGEST_REASON = 2000
ENDS = {TrialState.COMPLETE: RunStatus.FINISHED, TrialState.PRUNED: RunStatus.KILLED, TrialState.FAIL: RunStatus.FAILED}


def detail_of(snapshot: Snapshot, study: Study) -> StudyDetail:
    """The study with its trials. It reads all of them: no transaction does so again and again."""
    losses = sampled.list_losses(snapshot, study.sampled_as)
    trials = tuple(trial_of(one, losses.get(one.id)) for one in sampled.list_trials(snapshot, study.sampled_as))
    best = best_of(trials, higher_is_better=study.higher_is_better)
    return StudyDetail(study=study, trials=trials, best=best, counted=len(trials) - len(losses))


def counted(snapshot: Snapshot, study: Study) -> int:
    """How many of the study's trials count."""
    return sum(sampled.get_places(snapshot, study.sampled_as, snapshot.lease_time()).counts.values())


def trial_of(trial: TrialRecord, loss: Loss | None) -> Trial:
    """What is kept of a trial, as those who look at it see it."""
    return Trial(
        number=trial.number,
        state=trial.state,
        parameters=dict(trial.parameters),
        value=trial.values[0] if trial.values else None,
        run=str(trial.user.get(RUN, "")),
        loss=loss,
        reason=str(trial.user.get(REASON, "")),
        started_at=trial.started_at,
        ended_at=trial.ended_at,
    )


def end_record(tx: Transaction, trial: TrialRecord, state: TrialState, reason: str = "", *, loss: Loss | None = None) -> TrialRecord:
    """The trial, ended with its run; a run that somebody deleted stays as it is. `trial` bears its values."""
    user = trial.user | ({REASON: reason[:LONGEST_REASON]} if reason else {})
    ended = msgspec.structs.replace(trial, state=state, user=user, ended_at=tx.now())
    sampled.update_trial(tx, ended, loss)
    with contextlib.suppress(NoSuchRun, NotActive):
        run = RunId(str(trial.user[RUN]))
        tags = [(STATE_TAG, str(loss or state))] + ([(REASON_TAG, reason[:LONGEST_REASON])] if reason else [])
        log_batch(tx, SYSTEM, Batch(run_id=run, tags=tuple(tags)))
        finish_run(tx, SYSTEM, run, RunStatus.KILLED if loss is not None else ENDS[state])
    return ended


def end_study(tx: Transaction, study: Study, state: StudyState, reason: str = "", *, actor: PrincipalId = SYSTEM.id) -> Study:
    """The study, ended and recorded; trials under way are stopped, and who holds one or prepares it is fenced off."""
    for running in sampled.list_running(tx, study.sampled_as):
        trial = sampled.find_trial(tx, running)
        assert trial is not None  # it was listed in this transaction
        end_record(tx, trial, TrialState.FAIL, f"the study was {state}", loss=Loss.STOPPED)
    after = msgspec.structs.replace(
        study, state=state, reason=reason[:LONGEST_REASON], ended_at=tx.now(), fence=study.fence + 1, holder="", until_at=None
    )
    studies.update_study(tx, after, study.fence)
    data: Facts = {
        "state": state,
        "reason": after.reason,
        "trials": counted(tx, after),
        "snapshot": after.rows.digest if after.rows else None,
    }
    put_entry(tx, after, "tuning.study_ended", actor, data | best_facts(after.best))
    return after


def best_facts(best: Trial | None) -> Facts:
    """What is recorded of the best trial."""
    return {"best": None if best is None else {"trial": best.number, "value": best.value, "parameters": best.parameters, "run": best.run}}


def put_entry(tx: Transaction, study: Study, kind: str, actor: PrincipalId, data: Facts) -> None:
    """Records something of a study, under its model."""
    told = {"study": study.id, "name": study.name, "metric": study.metric}
    record(tx, NewEntry(type=kind, subject=subject_of(study), actor=actor, data=told | data, team_id=study.team_id))


def subject_of(study: Study) -> str:
    """What entries about a study name, and what its page follows."""
    return f"study:{study.id}"

"""Trials as work: given out under a lease, told of as they go on, ended once.

A trial is taken up once only. One whose worker is gone is marked as lost and never written again, and its place in the study is
given out anew: whoever still works on it is fenced off by that.
"""

import contextlib
from collections.abc import Mapping

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.delivery.domain import FencedOff
from modelyard.delivery.search_space import Value
from modelyard.delivery.service import find_declared
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import (
    Batch,
    Dataset,
    DatasetInput,
    ExperimentId,
    Metric,
    NewRun,
    NoSuchExperiment,
    NoSuchRun,
    NotActive,
    RunId,
)
from modelyard.tracking.service import create_run, digest_tags, log_batch, log_inputs
from modelyard.tuning.domain import HeldTrial, Loss, Study, StudyState, Trial, TrialState
from modelyard.tuning.rules.studies import MOST_CRASHES, Standing, best_of, fails_from_the_start, has_room, is_over, standing
from modelyard.tuning.service.ending import RUN, best_facts, detail_of, end_record, end_study, put_entry, trial_of
from modelyard.tuning.service.studies import STUDY_TAG
from modelyard.tuning.store import sampled, studies
from modelyard.tuning.store.sampled import Places, TrialRecord

TRIAL_TAG = "modelyard.trial"
REPORTED = "reported"
FIXED = "fixed_params"
"""Optuna's system attribute of parameters that are not sampled."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a trial: complete with its metrics, pruned, or failed with the reason."""

    state: TrialState
    metrics: dict[str, float] = {}
    reason: str = ""


def is_claimable(snapshot: Snapshot) -> bool:
    """Whether some study waits for a worker: a look that keeps nobody else from writing."""
    lease_now = snapshot.lease_time()
    for study, is_abandoned in studies.list_open(snapshot, lease_now):
        if study.state is StudyState.RUNNING:
            places, late = sampled.get_places(snapshot, study.sampled_as, lease_now), _is_late(study, lease_now)
            found = _standing(places)
            if places.abandoned or has_room(study, found, is_late=late) or is_over(study, found, is_late=late):
                return True
        elif study.state is StudyState.WAITING or is_abandoned:
            return True
    return False


def claimed_trial(tx: Transaction, holder: str, lease_s: float) -> HeldTrial | None:
    """The right to work on a trial of a study that has room for one, the oldest study first; None where none has.

    Trials whose worker is gone are marked as lost on the way, and studies that have all of theirs are ended.
    """
    lease_now = tx.lease_time()
    for listed, _ in studies.list_open(tx, lease_now):
        study = studies.find_study(tx, listed.id)
        if study is None or study.state is not StudyState.RUNNING:
            continue
        found, late = _standing(_without_abandoned(tx, study, lease_now)), _is_late(study, lease_now)
        if found.crashes >= MOST_CRASHES:
            last = [one.reason for one in detail_of(tx, study).trials if one.loss is Loss.CRASHED][-1]
            end_study(tx, study, StudyState.FAILED, f"{MOST_CRASHES} workers or nodes ended while they worked on the same trial: {last}")
        elif is_over(study, found, is_late=late):
            end_study(tx, study, StudyState.DONE, "its time is over" if found.counted < study.trials else "")
        elif has_room(study, found, is_late=late):
            try:
                return _taken(tx, study, found, holder, Instant(lease_now + round(lease_s * SECOND)))
            except (NotActive, NoSuchExperiment):
                end_study(tx, study, StudyState.FAILED, "its experiment was deleted")
    return None


def _taken(tx: Transaction, study: Study, found: Standing, holder: str, lease_until: Instant) -> HeldTrial:
    sampled.find_study(tx, study.sampled_as)  # held from here on: trials get their numbers one after the other
    number = sampled.next_number(tx, study.sampled_as)
    run = create_run(
        tx, SYSTEM, NewRun(experiment_id=ExperimentId(study.experiment), name=f"{study.name}-{number}", user=study.asked_by)
    ).facts.id
    assert study.rows is not None  # it runs
    declared = find_declared(tx, study.model, study.declaration)
    source = declared.declared.source if declared is not None else None
    tags = digest_tags(snapshot=study.rows.digest) if source is None else digest_tags(source=source, snapshot=study.rows.digest)
    log_batch(tx, SYSTEM, Batch(run_id=run, tags=(*tags, (STUDY_TAG, study.id), (TRIAL_TAG, str(number)))))
    dataset = Dataset(name=f"{study.model} tuning rows", digest=study.rows.digest[7:39], source_type="modelyard", source=study.rows.file)
    log_inputs(tx, SYSTEM, run, [DatasetInput(dataset=dataset)])
    fixed = {FIXED: dict(study.space.baseline)} if found.free == 0 and study.space.baseline is not None else {}
    record = TrialRecord(study=study.sampled_as, state=TrialState.RUNNING, user={RUN: run}, system=fixed, started_at=tx.now())
    trial = sampled.insert_trial(tx, record, place=found.free, lease_until=lease_until)
    return HeldTrial(study=study, id=trial.id, number=trial.number, place=found.free, run=run, holder=holder)


def extended_trial(tx: Transaction, held: HeldTrial, lease_s: float) -> None:
    """Extends the lease. Raises FencedOff where the trial has ended without its worker."""
    if not sampled.extend_trial(tx, held.id, Instant(tx.lease_time() + round(lease_s * SECOND))):
        raise _fenced_off(held)


def began_trial(tx: Transaction, held: HeldTrial, parameters: Mapping[str, Value], environment: Digest) -> None:
    """Notes with the run what the trial was given, and in which environment it trains. Raises FencedOff."""
    _open(tx, held)
    params = tuple((name, str(value)) for name, value in parameters.items())
    _log(tx, Batch(run_id=RunId(held.run), params=params, tags=digest_tags(environment=environment)))


def reported(tx: Transaction, held: HeldTrial, values: Mapping[int, float]) -> None:
    """Keeps what the training function reported, for the pruner and with the run. Raises FencedOff."""
    _open(tx, held)
    sampled.put_reports(tx, held.id, values)
    points = tuple(Metric(key=REPORTED, value=value, at=tx.now(), step=step) for step, value in values.items())
    _log(tx, Batch(run_id=RunId(held.run), metrics=points))


def ended_trial(tx: Transaction, held: HeldTrial, outcome: Outcome) -> None:
    """Ends the trial and its run, and the study with its last one; a new best is recorded. Raises FencedOff and changes nothing."""
    study = studies.find_study(tx, held.study.id)
    assert study is not None  # studies are never deleted
    trial = _open(tx, held)
    if outcome.state is TrialState.COMPLETE:
        trial = msgspec.structs.replace(trial, values=(outcome.metrics[study.metric],))
        points = tuple(Metric(key=name, value=value, at=tx.now()) for name, value in outcome.metrics.items())
        _log(tx, Batch(run_id=RunId(held.run), metrics=points))
    study = _with_best(tx, study, trial_of(end_record(tx, trial, outcome.state, outcome.reason), None))
    lease_now = tx.lease_time()
    places, late = sampled.get_places(tx, study.sampled_as, lease_now), _is_late(study, lease_now)
    ended = {state: count for state, count in places.counts.items() if state.is_final}
    if fails_from_the_start(ended):
        told = f"its first {ended[TrialState.FAIL]} trials failed, the last with: {outcome.reason}"
        end_study(tx, study, StudyState.FAILED, told)
        return
    found = _standing(places)
    if is_over(study, found, is_late=late):
        end_study(tx, study, StudyState.DONE, "its time is over" if found.counted < study.trials else "")


def _with_best(tx: Transaction, study: Study, trial: Trial) -> Study:
    """The study with its best trial, now that `trial` has ended. All others are not looked at: there may be ten thousand."""
    known = sorted(filter(None, (study.best, trial)), key=lambda one: one.number)
    best = best_of(known, higher_is_better=study.higher_is_better)
    if best == study.best:
        return study
    after = msgspec.structs.replace(study, best=best)
    studies.update_study(tx, after, study.fence)
    put_entry(tx, after, "tuning.best_found", SYSTEM.id, best_facts(best))
    return after


def lost_trial(tx: Transaction, held: HeldTrial, loss: Loss, reason: str) -> None:
    """Ends a trial that nothing can be learned from; its place is given out anew. Raises FencedOff."""
    end_record(tx, _open(tx, held), TrialState.FAIL, reason, loss=loss)


def _without_abandoned(tx: Transaction, study: Study, lease_now: Instant) -> Places:
    """How the trials stand, with those whose worker is gone marked as lost."""
    places = sampled.get_places(tx, study.sampled_as, lease_now)
    for abandoned in places.abandoned:
        trial = sampled.find_trial(tx, abandoned)
        if trial is not None:
            end_record(tx, trial, TrialState.FAIL, "its worker ended before it did", loss=Loss.CRASHED)
    return sampled.get_places(tx, study.sampled_as, lease_now) if places.abandoned else places


def _open(tx: Transaction, held: HeldTrial) -> TrialRecord:
    found = sampled.find_trial(tx, held.id)
    if found is None or found.state is not TrialState.RUNNING:
        raise _fenced_off(held)
    return found


def _log(tx: Transaction, batch: Batch) -> None:
    """Logs to the trial's run, unless somebody deleted that."""
    with contextlib.suppress(NoSuchRun, NotActive):
        log_batch(tx, SYSTEM, batch)


def _standing(places: Places) -> Standing:
    return standing(sum(places.counts.values()), places.counts.get(TrialState.RUNNING, 0), places.lost, places.retaken)


def _is_late(study: Study, lease_now: Instant) -> bool:
    return study.until_at is not None and lease_now > study.until_at


def _fenced_off(held: HeldTrial) -> FencedOff:
    return FencedOff(f"{held.holder} no longer holds trial {held.number} of {held.study.id}", hint="it was stopped, or its lease ran out")

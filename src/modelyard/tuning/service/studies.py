"""Studies: started, continued, stopped and looked at, by whom that is allowed."""

import msgspec

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import NotFound
from modelyard.core.ids import new_id
from modelyard.delivery.declaration import AppliedModel
from modelyard.delivery.domain import Facts
from modelyard.delivery.service import find_declared, get_declared
from modelyard.monitoring.domain import HIGHER_IS_BETTER
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.service import NewExperiment, create_experiment
from modelyard.tuning.domain import OPEN, NewStudy, NotTunable, Report, Study, StudyDetail, StudyDiffers, StudyId, StudyState
from modelyard.tuning.rules.studies import metric_of
from modelyard.tuning.service.ending import detail_of, end_study, put_entry
from modelyard.tuning.store import sampled, studies
from modelyard.tuning.store.sampled import StudyRecord

MOST_LISTED = 200
MINIMIZE, MAXIMIZE = 1, 2
"""Optuna's numbers for directions."""
STUDY_TAG, MODEL_TAG = "modelyard.study", "modelyard.model"


def start_study(tx: Transaction, principal: Principal, body: NewStudy) -> StudyDetail:
    """The model's study of that name, begun now or gone on with until it has `trials` trials; one that has them is answered as it is.

    Raises ModelNotDeclared, NotAllowed, NotTunable where the declaration names no search space or no metric, and StudyDiffers where the
    study was begun on other code, by another metric or under another seed: what it found would not compare.
    """
    applied = get_declared(tx, principal, body.model)
    declaration = applied.declared.declaration
    require(principal, Role.CONTRIBUTOR, TeamId(declaration.team))
    if declaration.tune is None:
        raise NotTunable(
            f"{body.model} does not say what of it may be tuned", hint='@model(..., tune={"learning_rate": loguniform(1e-3, 0.3)})'
        )
    before = studies.find_study_by_name(tx, body.model, body.name)
    if before is not None:
        return _continued(tx, principal, before, body, applied)
    study = _begun(tx, principal, body, applied)
    studies.insert_study(tx, study)
    _record_start(tx, principal, study, is_new=True)
    return detail_of(tx, study)


def _begun(tx: Transaction, principal: Principal, body: NewStudy, applied: AppliedModel) -> Study:
    declaration = applied.declared.declaration
    assert declaration.tune is not None  # looked at by the caller
    metric, study, team = metric_of(declaration, body.metric), StudyId(new_id("std")), TeamId(declaration.team)
    higher_is_better = metric in HIGHER_IS_BETTER
    tags = {STUDY_TAG: study, MODEL_TAG: body.model}
    experiment = create_experiment(tx, principal, NewExperiment(name=f"{body.model}/{body.name}", team_id=team, tags=tags))
    number = sampled.insert_study(tx, StudyRecord(name=study, directions=(MAXIMIZE if higher_is_better else MINIMIZE,)))
    assert number is not None  # its name is an id that was made just now
    return Study(
        id=study,
        team_id=team,
        model=body.model,
        name=body.name,
        state=StudyState.WAITING,
        declaration=applied.digest,
        space=declaration.tune,
        metric=metric,
        higher_is_better=higher_is_better,
        trials=body.trials,
        seed=body.seed or 0,
        parallel=body.parallel or 1,
        experiment=experiment.id,
        sampled_as=number,
        asked_by=principal.id,
        created_at=tx.now(),
        until_at=_until(tx, body),
    )


def _continued(tx: Transaction, principal: Principal, before: Study, body: NewStudy, applied: AppliedModel) -> StudyDetail:
    begun_as = find_declared(tx, before.model, before.declaration)
    has_own_words = begun_as is not None and begun_as.declared.declaration.digest == applied.declared.declaration.digest
    differs = {
        f"the project's {'files' if has_own_words else 'declaration'} as applied now": applied.digest != before.declaration,
        f"the metric {body.metric}": body.metric is not None and body.metric != before.metric,
        f"the seed {body.seed}": body.seed is not None and body.seed != before.seed,
    }
    for what, is_other in differs.items():
        if is_other:
            raise StudyDiffers(
                f"the study {before.name} of {before.model} was not begun with {what}: what it found would not compare",
                hint=f"yard tune {before.model} --name ANOTHER starts a study of its own",
            )
    detail = detail_of(tx, before)
    is_open = before.state in OPEN
    if not is_open and body.trials <= detail.counted:
        return detail
    begins_as = StudyState.RUNNING if before.rows is not None else StudyState.WAITING
    after = msgspec.structs.replace(
        before,
        state=before.state if is_open else begins_as,
        trials=max(body.trials, detail.counted),
        parallel=body.parallel or before.parallel,
        until_at=_until(tx, body),
        reason="",
        ended_at=None,
        attempt=before.attempt if is_open else 0,
    )
    studies.update_study(tx, after, before.fence)
    if not is_open or after.trials != before.trials:
        _record_start(tx, principal, after, is_new=False)
    return detail_of(tx, after)


def _until(tx: Transaction, body: NewStudy) -> Instant | None:
    return None if body.timeout_s is None else Instant(tx.lease_time() + round(body.timeout_s * SECOND))


def _record_start(tx: Transaction, principal: Principal, study: Study, *, is_new: bool) -> None:
    data: Facts = {"model": study.model, "declaration": study.declaration, "trials": study.trials, "parallel": study.parallel}
    data |= {"seed": study.seed, "space": msgspec.to_builtins(study.space), "experiment": study.experiment}
    put_entry(tx, study, "tuning.study_started" if is_new else "tuning.study_continued", principal.id, data)


def stop_study(tx: Transaction, principal: Principal, study: StudyId) -> StudyDetail:
    """Ends a study, its trials under way included; it can be gone on with. One that is over stays as it is. Raises NotFound, NotAllowed."""
    found = _visible(tx, principal, study)
    require(principal, Role.CONTRIBUTOR, found.team_id)
    if found.state in OPEN:
        found = end_study(tx, found, StudyState.STOPPED, f"stopped by {principal.name}", actor=principal.id)
    return detail_of(tx, found)


def get_study(snapshot: Snapshot, principal: Principal, study: StudyId) -> StudyDetail:
    """A study with its trials. Raises NotFound, also where it is another team's."""
    return detail_of(snapshot, _visible(snapshot, principal, study))


def list_studies(snapshot: Snapshot, principal: Principal, model: str | None = None, name: str | None = None) -> list[Study]:
    """Studies of the caller's teams, newest first, at most 200: all of them, or those of a model and of a name."""
    return studies.list_studies(snapshot, principal.teams, model, name, MOST_LISTED)


def latest_reports(snapshot: Snapshot, study: Study, *, trials: int, points: int) -> dict[int, tuple[Report, ...]]:
    """What the latest trials of a study reported, by their number, of each at most so many points and its last."""
    found = sampled.list_latest_reports(snapshot, study.sampled_as, trials=trials, points=points)
    numbers = {one.id: one.number for one in sampled.list_trials(snapshot, study.sampled_as, min(found, default=0))} if found else {}
    return {
        numbers[trial]: tuple(Report(step, None if value != value else value) for step, value in values.items())
        for trial, values in found.items()
    }


def _visible(snapshot: Snapshot, principal: Principal, study: StudyId) -> Study:
    found = studies.find_study(snapshot, study)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NotFound(f"there is no study {study[:80]}", hint="yard tune MODEL starts one")
    return found

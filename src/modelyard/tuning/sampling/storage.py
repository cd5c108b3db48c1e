"""Optuna's storage over our tables: each write is one short transaction of ours, so that it shares the one writer of its process.

Owns how Optuna's types become records and back. Trials that have ended never change, so they are read once.
"""

import copy
import threading
import uuid
from collections.abc import Callable, Container, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json, json_to_distribution
from optuna.exceptions import DuplicatedStudyError, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy  # what the interface answers; Optuna gives it no public name
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from modelyard.core.clock import Instant, instant
from modelyard.storage.database import Database, Transaction
from modelyard.tuning.domain import TrialState
from modelyard.tuning.store import sampled
from modelyard.tuning.store.sampled import StudyRecord, TrialRecord

F = TypeVar("F")
STATES = {state: OptunaState[state.name] for state in TrialState}
RECORDED = {theirs: ours for ours, theirs in STATES.items()}


class _Studies(BaseStorage):
    """The half of the interface that is about studies: two classes, for one of eighteen methods would be over our budget."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._ended: dict[int, dict[int, FrozenTrial]] = {}

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        name = f"no-name-{uuid.uuid4()}" if study_name is None else study_name
        record = StudyRecord(name=name, directions=tuple(one.value for one in directions))
        found = self._database.write(lambda tx: sampled.insert_study(tx, record))
        if found is None:
            raise DuplicatedStudyError(f"there is a study {name!r} already")
        return found

    def delete_study(self, study_id: int) -> None:
        def work(tx: Transaction) -> None:
            _known(sampled.find_study(tx, study_id), study_id)
            sampled.delete_study(tx, study_id)

        self._database.write(work)
        with self._lock:
            self._ended.pop(study_id, None)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._change_study(study_id, lambda study: msgspec.structs.replace(study, user=study.user | {key: value}))

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._change_study(study_id, lambda study: msgspec.structs.replace(study, system=study.system | {key: value}))

    def get_study_id_from_name(self, study_name: str) -> int:
        with self._database.read() as snapshot:
            return _known(sampled.find_study_by_name(snapshot, study_name), study_name)

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study(study_id).name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return [StudyDirection(one) for one in self._study(study_id).directions]

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study(study_id).user

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study(study_id).system

    def get_all_studies(self) -> list[FrozenStudy]:
        with self._database.read() as snapshot:
            found = sampled.list_studies(snapshot)
        return [_frozen_study(one) for one in found]

    def _study(self, study: int) -> StudyRecord:
        with self._database.read() as snapshot:
            return _known(sampled.find_study(snapshot, study), study)

    def _change_study(self, study: int, changed: Callable[[StudyRecord], StudyRecord]) -> None:
        self._database.write(lambda tx: sampled.update_study(tx, changed(_known(sampled.find_study(tx, study), study))))


class DatabaseStorage(_Studies):
    """Optuna's storage in our database, for as many threads and processes as like."""

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        def work(tx: Transaction) -> int:
            study = _known(sampled.find_study(tx, study_id), study_id)
            if template_trial is None:
                return sampled.insert_trial(tx, TrialRecord(study=study_id, state=TrialState.RUNNING, started_at=tx.now())).id
            for name, distribution in template_trial.distributions.items():
                study = _with_domain(study, name, distribution)
            sampled.update_study(tx, study)
            trial = sampled.insert_trial(tx, _record(study_id, template_trial)).id
            sampled.put_reports(tx, trial, template_trial.intermediate_values)
            return trial

        return self._database.write(work)

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution) -> None:
        value = distribution.to_external_repr(param_value_internal)

        def work(tx: Transaction) -> None:
            before = _known(sampled.find_trial(tx, trial_id), trial_id)
            study = _known(sampled.find_study(tx, before.study), before.study)
            _check_open(before)
            sampled.update_study(tx, _with_domain(study, param_name, distribution))
            parameters = before.parameters | {param_name: value}
            distributions = before.distributions | {param_name: distribution_to_json(distribution)}
            sampled.update_trial(tx, msgspec.structs.replace(before, parameters=parameters, distributions=distributions))

        self._database.write(work)

    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        def work(tx: Transaction) -> bool:
            before = _known(sampled.find_trial(tx, trial_id), trial_id)
            _check_open(before)
            if state is OptunaState.RUNNING and before.state is not TrialState.WAITING:
                return False
            after = msgspec.structs.replace(
                before,
                state=RECORDED[state],
                values=before.values if values is None else tuple(map(float, values)),
                started_at=tx.now() if state is OptunaState.RUNNING else before.started_at,
                ended_at=tx.now() if state.is_finished() else before.ended_at,
            )
            sampled.update_trial(tx, after)
            return True

        return self._database.write(work)

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        def work(tx: Transaction) -> None:
            _check_open(_known(sampled.find_trial(tx, trial_id), trial_id))
            sampled.put_reports(tx, trial_id, {step: intermediate_value})

        self._database.write(work)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._change_trial(trial_id, lambda trial: msgspec.structs.replace(trial, user=trial.user | {key: value}))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._change_trial(trial_id, lambda trial: msgspec.structs.replace(trial, system=trial.system | {key: value}))

    def get_trial(self, trial_id: int) -> FrozenTrial:
        with self._database.read() as snapshot:
            found = _known(sampled.find_trial(snapshot, trial_id), trial_id)
            return _frozen(found, sampled.trial_reports(snapshot, trial_id))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[OptunaState] | None = None,
    ) -> list[FrozenTrial]:
        found = self._all(study_id)
        chosen = [one for one in found if states is None or one.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def _all(self, study: int) -> list[FrozenTrial]:
        with self._lock:
            known = dict(self._ended.get(study, {}))
        # What has ended below the first that has not is known for good; the rest is read anew.
        least = max(known, default=-1) + 1
        with self._database.read() as snapshot:
            if not known:
                _known(sampled.find_study(snapshot, study), study)
            records = sampled.list_trials(snapshot, study, least)
            reports = sampled.list_reports(snapshot, study, least)
        read = {one.id: _frozen(one, reports.get(one.id, {})) for one in records}
        for trial, record in zip(read.values(), records, strict=True):
            if not record.state.is_final:
                break
            known[record.id] = trial
        with self._lock:
            self._ended[study] = known
        return sorted((known | read).values(), key=lambda one: one.number)

    def _change_trial(self, trial: int, changed: Callable[[TrialRecord], TrialRecord]) -> None:
        def work(tx: Transaction) -> None:
            before = _known(sampled.find_trial(tx, trial), trial)
            _check_open(before)
            sampled.update_trial(tx, changed(before))

        self._database.write(work)


def _known(found: F | None, name: object) -> F:
    if found is None:
        raise KeyError(name)
    return found


def _check_open(trial: TrialRecord) -> None:
    if trial.state.is_final:
        raise UpdateFinishedTrialError(f"trial {trial.number} has ended and cannot be changed")


def _with_domain(study: StudyRecord, name: str, distribution: BaseDistribution) -> StudyRecord:
    """The study with the latest domain of a parameter. Raises ValueError where trials before had one that does not compare."""
    before = study.domains.get(name)
    if before is not None:
        check_distribution_compatibility(json_to_distribution(before), distribution)
    return msgspec.structs.replace(study, domains=study.domains | {name: distribution_to_json(distribution)})


def _frozen_study(record: StudyRecord) -> FrozenStudy:
    directions = [StudyDirection(one) for one in record.directions]
    return FrozenStudy(
        study_name=record.name,
        direction=None,
        directions=directions,
        user_attrs=record.user,
        system_attrs=record.system,
        study_id=record.id,
    )


def _frozen(record: TrialRecord, reports: dict[int, float]) -> FrozenTrial:
    return FrozenTrial(
        number=record.number,
        trial_id=record.id,
        state=STATES[record.state],
        value=None,
        values=None if record.values is None else list(record.values),
        datetime_start=_local(record.started_at),
        datetime_complete=_local(record.ended_at),
        params=dict(record.parameters),
        distributions={name: json_to_distribution(text) for name, text in record.distributions.items()},
        user_attrs=record.user,
        system_attrs=record.system,
        intermediate_values=reports,
    )


def _record(study: int, trial: FrozenTrial) -> TrialRecord:
    return TrialRecord(
        study=study,
        state=RECORDED[trial.state],
        values=None if trial.values is None else tuple(trial.values),
        parameters=dict(trial.params),
        distributions={name: distribution_to_json(one) for name, one in trial.distributions.items()},
        user=dict(trial.user_attrs),
        system=dict(trial.system_attrs),
        started_at=_instant(trial.datetime_start),
        ended_at=_instant(trial.datetime_complete),
    )


def _local(at: Instant | None) -> datetime | None:
    """Optuna's times bear no zone and are the machine's own."""
    return None if at is None else datetime.fromtimestamp(at / 1e6)  # noqa: DTZ006 - Optuna compares them with datetime.now()


def _instant(at: datetime | None) -> Instant | None:
    return None if at is None else instant(at.astimezone())

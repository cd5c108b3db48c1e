"""What Optuna keeps: studies by number, trials with parameters and attributes, reported values. Rows to records and back; no Optuna here.

A record is one document: only who holds a trial writes it, and each write reads it anew under a lock.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import upsert
from modelyard.tuning.domain import Loss, TrialState
from modelyard.tuning.store.tables import OPTUNA_REPORTS, OPTUNA_STUDIES, OPTUNA_TRIALS


class StudyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A study as Optuna knows it. `directions` are Optuna's numbers, `domains` each parameter's distribution as JSON."""

    id: int = 0
    name: str
    directions: tuple[int, ...]
    user: dict[str, Any] = {}
    system: dict[str, Any] = {}
    domains: dict[str, str] = {}


class TrialRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A trial as Optuna knows it. Parameters are as the training function gets them, distributions as JSON, in order."""

    id: int = 0
    study: int
    number: int = 0
    state: TrialState
    values: tuple[float, ...] | None = None
    parameters: dict[str, Any] = {}
    distributions: dict[str, str] = {}
    user: dict[str, Any] = {}
    system: dict[str, Any] = {}
    started_at: Instant | None = None
    ended_at: Instant | None = None


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """How a study's trials stand: how many that count are in which state, place and loss of the others, which of those places are retaken.

    `abandoned` are the ids of those whose worker's lease ran out. A lost trial has left its place to another.
    """

    counts: dict[TrialState, int]
    lost: tuple[tuple[int, Loss], ...]
    retaken: frozenset[int]
    abandoned: tuple[int, ...]


# MessagePack and not JSON: a value may be infinite, or not a number.
_encode = msgspec.msgpack.encode


def insert_study(tx: Transaction, record: StudyRecord) -> int | None:
    """The number of the new study; None where the name is taken."""
    if find_study_by_name(tx, record.name) is not None:
        return None
    found = tx.connection.execute(
        sa.insert(OPTUNA_STUDIES).values(name=record.name, document=b"").returning(OPTUNA_STUDIES.c.id)
    ).scalar_one()
    update_study(tx, msgspec.structs.replace(record, id=found))
    return int(found)


def update_study(tx: Transaction, record: StudyRecord) -> None:
    """Overwrites a study."""
    tx.connection.execute(sa.update(OPTUNA_STUDIES).where(OPTUNA_STUDIES.c.id == record.id).values(document=_encode(record)))


def find_study(snapshot: Snapshot, study: int) -> StudyRecord | None:
    """The study of that number; a transaction holds it against others from then on."""
    query = sa.select(OPTUNA_STUDIES.c.document).where(OPTUNA_STUDIES.c.id == study)
    found = snapshot.connection.execute(query.with_for_update() if isinstance(snapshot, Transaction) else query).scalar()
    return None if found is None else msgspec.msgpack.decode(found, type=StudyRecord)


def find_study_by_name(snapshot: Snapshot, name: str) -> int | None:
    """The number of the study of that name."""
    return snapshot.connection.execute(sa.select(OPTUNA_STUDIES.c.id).where(OPTUNA_STUDIES.c.name == name)).scalar()


def list_studies(snapshot: Snapshot) -> list[StudyRecord]:
    """Every study, by number."""
    found = snapshot.connection.execute(sa.select(OPTUNA_STUDIES.c.document).order_by(OPTUNA_STUDIES.c.id)).scalars()
    return [msgspec.msgpack.decode(one, type=StudyRecord) for one in found]


def delete_study(tx: Transaction, study: int) -> None:
    """Removes a study with its trials."""
    own = sa.select(OPTUNA_TRIALS.c.id).where(OPTUNA_TRIALS.c.study_id == study)
    tx.connection.execute(sa.delete(OPTUNA_REPORTS).where(OPTUNA_REPORTS.c.trial_id.in_(own)))
    tx.connection.execute(sa.delete(OPTUNA_TRIALS).where(OPTUNA_TRIALS.c.study_id == study))
    tx.connection.execute(sa.delete(OPTUNA_STUDIES).where(OPTUNA_STUDIES.c.id == study))


def insert_trial(tx: Transaction, record: TrialRecord, *, place: int | None = None, lease_until: int = 0) -> TrialRecord:
    """The new trial under the study's next number; its study is held by the transaction. Without a place it takes its number's."""
    number = next_number(tx, record.study)
    row = {"study_id": record.study, "number": number, "state": record.state, "loss": "", "lease_until": lease_until, "document": b""}
    insert = sa.insert(OPTUNA_TRIALS).values(row | {"place": number if place is None else place})
    found = tx.connection.execute(insert.returning(OPTUNA_TRIALS.c.id)).scalar_one()
    after = msgspec.structs.replace(record, id=found, number=number)
    update_trial(tx, after)
    return after


def update_trial(tx: Transaction, record: TrialRecord, loss: Loss | None = None) -> None:
    """Overwrites a trial, and says why it was lost."""
    values: dict[str, Any] = {"state": record.state, "document": _encode(record)} | ({"loss": loss} if loss is not None else {})
    tx.connection.execute(sa.update(OPTUNA_TRIALS).where(OPTUNA_TRIALS.c.id == record.id).values(values))


def extend_trial(tx: Transaction, trial: int, lease_until: Instant) -> bool:
    """Whether the trial was still under way, and so its lease was extended."""
    under_way = (OPTUNA_TRIALS.c.id == trial, OPTUNA_TRIALS.c.state == TrialState.RUNNING)
    return tx.connection.execute(sa.update(OPTUNA_TRIALS).where(*under_way).values(lease_until=lease_until)).rowcount == 1


def find_trial(snapshot: Snapshot, trial: int) -> TrialRecord | None:
    """The trial of that id; a transaction holds it against others from then on."""
    query = sa.select(OPTUNA_TRIALS.c.document).where(OPTUNA_TRIALS.c.id == trial)
    found = snapshot.connection.execute(query.with_for_update() if isinstance(snapshot, Transaction) else query).scalar()
    return None if found is None else msgspec.msgpack.decode(found, type=TrialRecord)


def list_trials(snapshot: Snapshot, study: int, least: int = 0) -> list[TrialRecord]:
    """The study's trials of that id or a later one, by number."""
    own = (OPTUNA_TRIALS.c.study_id == study, OPTUNA_TRIALS.c.id >= least)
    found = snapshot.connection.execute(sa.select(OPTUNA_TRIALS.c.document).where(*own).order_by(OPTUNA_TRIALS.c.number)).scalars()
    return [msgspec.msgpack.decode(one, type=TrialRecord) for one in found]


def get_places(snapshot: Snapshot, study: int, lease_now: Instant) -> Places:
    """How the trials of a study stand; what it costs hardly grows with their number."""
    trials, run = OPTUNA_TRIALS.c, snapshot.connection.execute
    own, counts = trials.study_id == study, trials.loss == ""
    states = run(sa.select(trials.state, sa.func.count()).where(own, counts).group_by(trials.state))
    lost = run(sa.select(trials.place, trials.loss).where(own, trials.loss != ""))
    left = tuple((place, Loss(loss)) for place, loss in lost)
    gone = sa.select(trials.place).where(own, trials.loss != "")
    retaken = run(sa.select(trials.place).where(own, counts, trials.place.in_(gone))).scalars() if left else ()
    abandoned = (own, counts, trials.state == TrialState.RUNNING, trials.lease_until < lease_now)
    return Places(
        counts={TrialState(state): count for state, count in states},
        lost=left,
        retaken=frozenset(retaken),
        abandoned=tuple(run(sa.select(trials.id).where(*abandoned).order_by(trials.id)).scalars()),
    )


def list_running(snapshot: Snapshot, study: int) -> list[int]:
    """The ids of a study's trials that are under way."""
    own = (OPTUNA_TRIALS.c.study_id == study, OPTUNA_TRIALS.c.loss == "", OPTUNA_TRIALS.c.state == TrialState.RUNNING)
    return list(snapshot.connection.execute(sa.select(OPTUNA_TRIALS.c.id).where(*own).order_by(OPTUNA_TRIALS.c.id)).scalars())


def next_number(snapshot: Snapshot, study: int) -> int:
    """The number that the next trial of a study gets."""
    last = snapshot.connection.execute(sa.select(sa.func.max(OPTUNA_TRIALS.c.number)).where(OPTUNA_TRIALS.c.study_id == study)).scalar()
    return 0 if last is None else last + 1


def put_reports(tx: Transaction, trial: int, values: Mapping[int, float]) -> None:
    """Notes what was reported; a value told again for a step counts."""
    rows = [{"trial_id": trial, "step": step, "value": None if value != value else value} for step, value in values.items()]
    upsert(tx, OPTUNA_REPORTS, rows, ["trial_id", "step"], ["value"])


def list_reports(snapshot: Snapshot, study: int, least: int = 0) -> dict[int, dict[int, float]]:
    """What the study's trials of that id or a later one reported, by trial and step."""
    own = sa.select(OPTUNA_TRIALS.c.id).where(OPTUNA_TRIALS.c.study_id == study, OPTUNA_TRIALS.c.id >= least)
    query = sa.select(OPTUNA_REPORTS).where(OPTUNA_REPORTS.c.trial_id.in_(own))
    return _by_trial(snapshot.connection.execute(query))


def list_latest_reports(snapshot: Snapshot, study: int, *, trials: int, points: int) -> dict[int, dict[int, float]]:
    """What the study's latest trials reported, of each at most so many points, evenly spread, and its last."""
    numbers, told = OPTUNA_TRIALS.c, OPTUNA_REPORTS.c
    latest = sa.select(numbers.id).where(numbers.study_id == study).order_by(numbers.number.desc()).limit(trials)
    place = sa.func.row_number().over(partition_by=told.trial_id, order_by=told.step)
    total = sa.func.count().over(partition_by=told.trial_id)
    ranked = sa.select(OPTUNA_REPORTS, place.label("place"), total.label("total")).where(told.trial_id.in_(latest)).subquery()
    every = (ranked.c.total + (points - 1)) // points
    is_kept = sa.or_((ranked.c.place - 1) % every == 0, ranked.c.place == ranked.c.total)
    query = sa.select(ranked.c.trial_id, ranked.c.step, ranked.c.value).where(is_kept)
    return _by_trial(snapshot.connection.execute(query.order_by(ranked.c.trial_id, ranked.c.step)))


def trial_reports(snapshot: Snapshot, trial: int) -> dict[int, float]:
    """What one trial reported, by step."""
    return _by_trial(snapshot.connection.execute(sa.select(OPTUNA_REPORTS).where(OPTUNA_REPORTS.c.trial_id == trial))).get(trial, {})


def list_losses(snapshot: Snapshot, study: int) -> dict[int, Loss]:
    """Why trials of a study were lost, by their ids; those of them that were."""
    query = sa.select(OPTUNA_TRIALS.c.id, OPTUNA_TRIALS.c.loss).where(OPTUNA_TRIALS.c.study_id == study, OPTUNA_TRIALS.c.loss != "")
    return {row.id: Loss(row.loss) for row in snapshot.connection.execute(query)}


def _by_trial(rows: sa.CursorResult[Any]) -> dict[int, dict[int, float]]:
    found: dict[int, dict[int, float]] = {}
    for row in rows:
        found.setdefault(row.trial_id, {})[row.step] = float("nan") if row.value is None else row.value
    return {trial: dict(sorted(values.items())) for trial, values in found.items()}

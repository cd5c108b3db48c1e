"""Use cases of spools: their batches taken in, each once and in order. The number of the last one is written with its content."""

from collections.abc import Mapping

from modelyard.access.domain import Principal, Role
from modelyard.core.errors import InvalidInput
from modelyard.storage.database import Database, Transaction
from modelyard.tracking.domain import (
    DATASET_CONTEXT_TAG,
    DEFAULT_EXPERIMENT,
    SNAPSHOT_DIGEST_TAG,
    Batch,
    DatasetInput,
    ExperimentExists,
    ExperimentId,
    Lifecycle,
    Metric,
    NewRun,
    RunChange,
    RunFacts,
    RunId,
    RunStatus,
    SeriesId,
)
from modelyard.tracking.rules.names import check_dataset, check_metrics, checked_run_id
from modelyard.tracking.rules.series import BYTES_A_POINT, bounded, unpacked
from modelyard.tracking.service.batches import DIGEST, Item, checked_batch, log_batches
from modelyard.tracking.service.content import SeriesDigest
from modelyard.tracking.service.experiments import NewExperiment, create_experiment, ensure_default
from modelyard.tracking.service.guard import get_facts, not_active_run
from modelyard.tracking.service.runs import create_run, long_series_digests, update_run
from modelyard.tracking.spooled import (
    MOST_POINTS,
    ContentMissing,
    Ended,
    File,
    Input,
    Points,
    Record,
    Resumed,
    RunExists,
    SourceId,
    SpooledBatch,
    Started,
    Taken,
    Texts,
    checked_source,
)
from modelyard.tracking.store import artifacts, experiments, runs, sources
from modelyard.tracking.store.series import Owner

TRAINING = "training"
Known = Mapping[SeriesId, SeriesDigest]


def deliver_batch(database: Database, principal: Principal, run_id: RunId, source: SourceId, sequence: int, body: SpooledBatch) -> Taken:  # noqa: PLR0913 - a route's parts
    """Takes a batch of a spool in, once: sent again, it is answered and not logged again.

    Batches of a source are numbered from 1 and sent in that order; a number that was passed over is not taken later. Raises NoSuchRun,
    NotAllowed, NotActive, ParamIsSet, RunExists, ContentMissing where an artifact's content has to come first, and InvalidInput.
    """
    checked_run_id(run_id)
    batch = _Batch(run_id, checked_source(source, sequence), sequence, body.record)
    known: Known = {}
    if isinstance(body.record, Ended):
        with database.read() as snapshot:
            known = long_series_digests(snapshot, principal, run_id)
    return database.write(lambda tx: batch.taken(tx, principal, known))


class _Batch:
    """A batch that was checked, with what could be worked out before the transaction."""

    def __init__(self, run_id: RunId, source: SourceId, sequence: int, record: Record) -> None:
        self._run_id, self._source, self._sequence, self._record = run_id, source, sequence, record
        self._logged = _logged(run_id, record) if isinstance(record, Points | Texts) else None

    def taken(self, tx: Transaction, principal: Principal, known: Known) -> Taken:
        facts = self._started(tx, principal) if isinstance(self._record, Started) else None
        facts = facts or get_facts(tx, principal, self._run_id, Role.CONTRIBUTOR)
        if not sources.is_advanced(tx, self._source, self._run_id, facts.team_id, self._sequence):
            if not sources.has_source(tx, self._source, self._run_id):
                raise InvalidInput(f"the source {self._source} logs to another run than {self._run_id}", hint="a source has one run")
            return Taken(is_new=False)
        if facts.lifecycle != Lifecycle.ACTIVE:
            raise not_active_run(facts.id, facts.lifecycle)
        self._apply(tx, principal, facts, known)
        return Taken(is_new=True)

    def _started(self, tx: Transaction, principal: Principal) -> RunFacts | None:
        """The new run; None where the source began it before. Raises RunExists where somebody else did."""
        assert isinstance(self._record, Started)
        if self._run_id in runs.find_facts(tx, [self._run_id]):
            if sources.has_source(tx, self._source, self._run_id):
                return None
            raise RunExists(f"there is a run {self._run_id} already", hint="resume it, or start another run")
        new = NewRun(
            experiment_id=_experiment(tx, principal, self._record.experiment),
            name=self._record.name,
            user=self._record.user,
            started_at=self._record.started_at,
            tags=self._record.tags,
        )
        return create_run(tx, principal, new, self._run_id).facts

    def _apply(self, tx: Transaction, principal: Principal, facts: RunFacts, known: Known) -> None:
        match self._record:
            case Started():
                pass
            case Ended(is_owed=True) if sources.has_later(tx, self._source, facts.id):
                pass  # the run goes on, or was ended by who took it up: the spool of a process that was killed may come late
            case Points() | Texts():
                assert self._logged is not None
                for error in log_batches(tx, [Item(principal, self._logged)]):
                    if error is not None:
                        raise error
            case Resumed():
                runs.update_run(tx, facts.id, {"status": RunStatus.RUNNING, "ended_at": None})
            case Input(dataset=dataset):
                _put_input(tx, principal, facts, dataset)
            case File():
                _check_file(tx, facts, self._record)
            case Ended(status=status, at=at):
                update_run(tx, principal, facts.id, RunChange(status=status, ended_at=at), known)


def _experiment(tx: Transaction, principal: Principal, name: str) -> ExperimentId:
    """The experiment of that name, made where there is none; the one that is always there where no name is given."""
    if not name:
        ensure_default(tx)
        return DEFAULT_EXPERIMENT
    found = experiments.find_by_name(tx, name)
    if found is None:
        try:
            return create_experiment(tx, principal, NewExperiment(name=name)).id
        except ExperimentExists:  # another transaction was quicker
            found = experiments.find_by_name(tx, name)
            if found is None:
                raise
    return found.id


def _logged(run_id: RunId, record: Points | Texts) -> Batch:
    if isinstance(record, Texts):
        return checked_batch(Batch(run_id=run_id, params=tuple(record.params.items()), tags=tuple(record.tags.items())))
    total = 0
    metrics: list[Metric] = []
    for key, content in record.series:
        total += len(content)
        if len(content) % BYTES_A_POINT or total > MOST_POINTS * BYTES_A_POINT:
            raise InvalidInput(
                f"the points of {key[:60]!r} take {len(content)} bytes", hint=f"{BYTES_A_POINT} bytes a point, at most {MOST_POINTS} points"
            )
        at, step, value = (column.tolist() for column in unpacked([content]))
        metrics += [Metric(key=key, value=bounded(v), at=a, step=s) for a, s, v in zip(at, step, value, strict=True)]
    check_metrics(metrics, "series[{}].")
    return Batch(run_id=run_id, metrics=tuple(metrics))


def _put_input(tx: Transaction, principal: Principal, facts: RunFacts, given: DatasetInput) -> None:
    """Notes a dataset, and, where it is the first that the run learns from, that the run was made of it."""
    check_dataset(given.dataset, longest_digest=len("sha256:") + 64)
    runs.put_datasets(tx, facts.id, Owner(facts.team_id, facts.experiment_id), [given])
    digest = given.dataset.digest
    if facts.snapshot_digest is None and given.tags.get(DATASET_CONTEXT_TAG) == TRAINING and DIGEST.fullmatch(digest):
        batch = checked_batch(Batch(run_id=facts.id, tags=((SNAPSHOT_DIGEST_TAG, digest),)))
        for error in log_batches(tx, [Item(principal, batch)]):
            if error is not None:
                raise error


def _check_file(tx: Transaction, facts: RunFacts, file: File) -> None:
    """Passes where the artifact is there. Raises ContentMissing.

    A digest that the client merely names is not enough: whoever knows one would read content of other teams by it.
    """
    found = artifacts.find_artifact(tx, facts.id, file.path)
    if found is None or found.digest != file.digest:
        raise ContentMissing(f"the content of {file.path!r} has not come yet", hint="upload it, then send the batch again")

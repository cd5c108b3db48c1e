"""Use cases of runs: start, change, end, bin, inputs, outputs, search. A run's end puts the digest of its content in the ledger."""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import hex_id
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import (
    RUN_NAME_TAG,
    Asked,
    DatasetInput,
    ExperimentId,
    Lifecycle,
    LoggedModelId,
    ModelOutput,
    NewRun,
    Run,
    RunChange,
    RunFacts,
    RunId,
    RunPage,
    RunSearch,
    RunStatus,
    SeriesId,
)
from modelyard.tracking.grammar import RUNS, parse_filter, parse_orders
from modelyard.tracking.rules.names import check_dataset, checked_new_tag, checked_text
from modelyard.tracking.rules.words import random_name
from modelyard.tracking.service.content import SeriesDigest, run_digest, series_digests
from modelyard.tracking.service.experiments import checked_limit
from modelyard.tracking.service.guard import get_facts, get_writable, get_writable_experiment, visible_ids
from modelyard.tracking.sql import fingerprint, token_of, values_of
from modelyard.tracking.store import artifacts, runs
from modelyard.tracking.store.runsearch import search_runs as search_rows
from modelyard.tracking.store.search import Search
from modelyard.tracking.store.series import Owner
from modelyard.tracking.store.tables import RUN_TAGS

LONG_SERIES = 1000


def create_run(tx: Transaction, principal: Principal, new: NewRun, run_id: RunId | None = None) -> Run:
    """A new run that is under way, under an id of its own or a free one that is given. Raises NoSuchExperiment, NotAllowed, NotActive."""
    tags = dict(checked_new_tag(key, value) for key, value in new.tags.items())
    named = tags.get(RUN_NAME_TAG, "")
    if new.name and named and new.name != named:
        raise InvalidInput(
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{new.name}', mlflow.runName='{named}')."
        )
    name = checked_text(new.name or named or random_name(), "run_name")
    experiment = get_writable_experiment(tx, principal, new.experiment_id)
    run_id = run_id or RunId(hex_id())
    facts = RunFacts(
        id=run_id,
        experiment_id=experiment.id,
        team_id=experiment.team_id,
        name=name,
        user=checked_text(new.user, "user_id"),
        status=RunStatus.RUNNING,
        started_at=tx.now() if new.started_at is None else new.started_at,
        artifact_uri=f"{experiment.artifact_location.rstrip('/')}/{run_id}/artifacts",
        created_by=principal.id,
    )
    tags[RUN_NAME_TAG] = name
    runs.insert_run(tx, facts, tags)
    return Run(facts=facts, tags=tags)


def get_run(snapshot: Snapshot, principal: Principal, run_id: RunId) -> Run:
    """A run with what was logged to it, whatever its lifecycle. Raises NoSuchRun."""
    return runs.load_runs(snapshot, [get_facts(snapshot, principal, run_id)])[0]


def get_run_facts(snapshot: Snapshot, principal: Principal, run_id: RunId) -> RunFacts:
    """A run's facts, whatever its lifecycle. Raises NoSuchRun."""
    return get_facts(snapshot, principal, run_id)


def update_run(
    tx: Transaction, principal: Principal, run_id: RunId, change: RunChange, known: Mapping[SeriesId, SeriesDigest] | None = None
) -> RunFacts:
    """The run after the change. A status that is final ends it: the digest of its content goes into the ledger.

    `known` are digests of series that were computed before the transaction, so that a long run's end stays short.
    """
    facts = get_writable(tx, principal, run_id)
    values: dict[str, object] = {}
    if change.status is not None:
        values["status"] = change.status
    if change.ended_at is not None:
        values["ended_at"] = change.ended_at
    if change.name:
        name = checked_text(change.name, "run_name")
        values["name"] = name
        runs.put_texts(tx, RUN_TAGS, [(run_id, RUN_NAME_TAG, name)], {run_id: Owner(facts.team_id, facts.experiment_id)})
    changed = msgspec.structs.replace(facts, **values)
    if change.status is not None and change.status.is_final:
        changed = _ended(tx, principal, changed, known or {})
        values["content_digest"] = changed.content_digest
    if values:
        runs.update_run(tx, run_id, values)
    return changed


def long_series_digests(snapshot: Snapshot, principal: Principal, run_id: RunId) -> dict[SeriesId, SeriesDigest]:
    """The digests of a run's long series, for its end: computed before the transaction, which then stays short."""
    get_facts(snapshot, principal, run_id)
    return series_digests(snapshot, run_id, least_points=LONG_SERIES)


def finish_run(tx: Transaction, principal: Principal, run_id: RunId, status: RunStatus = RunStatus.FINISHED) -> RunFacts:
    """The run, ended now with a final status; the digest of its content goes into the ledger."""
    return update_run(tx, principal, run_id, RunChange(status=status, ended_at=tx.now()))


def _ended(tx: Transaction, principal: Principal, facts: RunFacts, known: Mapping[SeriesId, SeriesDigest]) -> RunFacts:
    run = msgspec.structs.replace(runs.load_runs(tx, [facts])[0], facts=facts)
    digest = run_digest(tx, run, artifacts.list_artifacts(tx, facts.id), known)
    ended = msgspec.structs.replace(facts, content_digest=digest)
    if digest != facts.content_digest:
        _record(tx, principal, ended, "ended", {"status": facts.status, "experiment": facts.experiment_id})
    return ended


def current_digest(snapshot: Snapshot, principal: Principal, run_id: RunId) -> Digest:
    """The digest of the run's content as it is now: equal to `content_digest` where nothing changed since the run ended."""
    run = get_run(snapshot, principal, run_id)
    return run_digest(snapshot, run, artifacts.list_artifacts(snapshot, run_id), {})


def delete_run(tx: Transaction, principal: Principal, run_id: RunId) -> None:
    """Puts a run into the bin."""
    _move(tx, principal, run_id, Lifecycle.DELETED)


def restore_run(tx: Transaction, principal: Principal, run_id: RunId) -> None:
    """Takes a run out of the bin."""
    _move(tx, principal, run_id, Lifecycle.ACTIVE)


def _move(tx: Transaction, principal: Principal, run_id: RunId, to: Lifecycle) -> None:
    facts = get_facts(tx, principal, run_id, Role.CONTRIBUTOR)
    if facts.lifecycle == to:
        return
    runs.update_run(tx, run_id, {"lifecycle": to})
    _record(tx, principal, facts, "deleted" if to == Lifecycle.DELETED else "restored", {"experiment": facts.experiment_id})


def log_inputs(
    tx: Transaction, principal: Principal, run_id: RunId, datasets: Sequence[DatasetInput] = (), models: Sequence[LoggedModelId] = ()
) -> None:
    """Notes what a run read. A dataset of a name and digest that the experiment knows is the same dataset."""
    facts = get_writable(tx, principal, run_id)
    once: dict[tuple[str, str], DatasetInput] = {}
    for one in datasets:
        check_dataset(one.dataset)
        once.setdefault((one.dataset.name, one.dataset.digest), one)
    if once:
        runs.put_datasets(tx, run_id, Owner(facts.team_id, facts.experiment_id), list(once.values()))
    runs.put_models(tx, run_id, facts.team_id, "input", [ModelOutput(model_id=model) for model in models])


def log_outputs(tx: Transaction, principal: Principal, run_id: RunId, models: Sequence[ModelOutput]) -> None:
    """Notes the logged models that a run made."""
    facts = get_writable(tx, principal, run_id)
    runs.put_models(tx, run_id, facts.team_id, "output", models)


def search_runs(snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], asked: Asked) -> RunPage:
    """Runs of those experiments that the filter finds, the latest first unless the order says otherwise.

    Experiments that are not there, or that the principal may not see, have no runs.
    """
    found, following = search_facts(snapshot, principal, experiment_ids, asked)
    return RunPage(runs=tuple(runs.load_runs(snapshot, found)), next=following)


def search_facts(
    snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], asked: Asked
) -> tuple[list[RunFacts], str]:
    """The same without what was logged to the runs, and the token that goes on behind them."""
    limit = checked_limit(asked.limit)
    comparisons, orders = parse_filter(asked.filter, RUNS), parse_orders(asked.order_by, RUNS)
    if any(order.entity == "dataset" for order in orders):
        raise InvalidInput("Invalid identifier type 'dataset'")
    mark = fingerprint(experiment_ids, asked.filter, asked.order_by, asked.view)
    search = Search(comparisons=comparisons, orders=orders, view=asked.view, after=values_of(asked.page, mark), limit=limit + 1)
    ids = visible_ids(snapshot, principal, experiment_ids)
    found = search_rows(snapshot, ids, search) if ids else []
    return [facts for facts, _ in found[:limit]], token_of(mark, found[limit - 1][1]) if len(found) > limit else ""


def find_runs(snapshot: Snapshot, principal: Principal, body: RunSearch) -> RunPage:
    """Runs that the search finds, the latest first unless the order says otherwise, and the token that goes on behind them."""
    return search_runs(snapshot, principal, body.experiment_ids, body)


def list_runs_of(snapshot: Snapshot, principal: Principal, digest: Digest, limit: int = 100) -> list[RunFacts]:
    """Runs that were made from that source tree or training snapshot, the latest first."""
    return runs.find_by_digest(snapshot, digest, principal.teams, limit)


def list_datasets(
    snapshot: Snapshot, principal: Principal, experiment_ids: tuple[ExperimentId, ...], limit: int = 1000
) -> list[tuple[ExperimentId, str, str, str | None]]:
    """Experiment, name, digest and context of the datasets that runs of those experiments read."""
    ids = visible_ids(snapshot, principal, experiment_ids)
    return runs.list_dataset_names(snapshot, ids, limit) if ids else []


def _record(tx: Transaction, principal: Principal, facts: RunFacts, what: str, data: dict[str, str]) -> None:
    entry = NewEntry(
        type=f"tracking.run_{what}",
        subject=f"run:{facts.id}",
        actor=principal.id,
        data=data,
        digest=facts.content_digest,
        team_id=facts.team_id,
    )
    record(tx, entry)

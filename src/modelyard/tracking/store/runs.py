"""Rows of runs and what is logged to them beside metrics: params, tags, datasets, models. Owns rows only."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.ids import hex_id
from modelyard.storage.database import Dialect, Snapshot, Transaction
from modelyard.storage.prepared import Prepared, PreparedSelect, insert_of
from modelyard.storage.schema import upsert
from modelyard.tracking.domain import (
    DATASET_CONTEXT_TAG,
    Dataset,
    DatasetInput,
    ExperimentId,
    Lifecycle,
    LoggedModelId,
    ModelOutput,
    Run,
    RunFacts,
    RunId,
    RunStatus,
)
from modelyard.tracking.store.series import Owner, list_latest
from modelyard.tracking.store.tables import (
    RUN_DATASET_INPUTS,
    RUN_DATASETS,
    RUN_MODELS,
    RUN_PARAMS,
    RUN_TAGS,
    RUNS,
    VALUE_START,
)

KeyedText = tuple[str, str, str]
"""An owner's id, a key, a text."""

_HEAD_COLUMNS = ("run_id", "team_id", "experiment_id", "lifecycle", "source_digest", "environment_digest", "snapshot_digest")
_BY_IDS = sa.select(RUNS).where(RUNS.c.run_id.in_(sa.bindparam("ids", expanding=True)))
_INSERT_RUN = Prepared(lambda dialect: insert_of(RUNS, [column.name for column in RUNS.c], dialect))
_HEADS = PreparedSelect(
    lambda ids: sa.select(*(RUNS.c[name] for name in _HEAD_COLUMNS)).where(RUNS.c.run_id.in_(ids)),
    "id",
)


class RunHead(NamedTuple):
    """What logging needs to know of a run."""

    id: RunId
    team_id: TeamId
    experiment_id: ExperimentId
    lifecycle: str
    source_digest: str | None
    environment_digest: str | None
    snapshot_digest: str | None


@functools.cache
def _texts_of(table: sa.Table) -> PreparedSelect:
    owner = table.c[_owner(table)]
    return PreparedSelect(lambda ids: sa.select(owner, table.c.key, table.c.value).where(owner.in_(ids)).order_by(owner, table.c.key), "id")


@functools.cache
def _texts_named(table: sa.Table) -> PreparedSelect:
    owner = table.c[_owner(table)]
    return PreparedSelect(
        lambda ids, keys: sa.select(owner, table.c.key, table.c.value).where(owner.in_(ids), table.c.key.in_(keys)), "id", "key"
    )


@functools.cache
def _put_texts(table: sa.Table, *, overwrites: bool) -> Prepared:
    owner = _owner(table)

    def build(dialect: Dialect) -> Any:
        insert = insert_of(table, [column.name for column in table.c], dialect)
        if not overwrites:
            return insert.on_conflict_do_nothing(index_elements=[owner, "key"])
        new = {name: insert.excluded[name] for name in ("value", "value_start")}
        return insert.on_conflict_do_update(index_elements=[owner, "key"], set_=new)

    return Prepared(build)


def insert_run(tx: Transaction, facts: RunFacts, tags: Mapping[str, str]) -> None:
    """Adds a run and its tags."""
    row = msgspec.structs.asdict(facts)
    row["run_id"], row["user_name"] = row.pop("id"), row.pop("user")
    _INSERT_RUN.run(tx, [row])
    put_texts(tx, RUN_TAGS, [(facts.id, key, value) for key, value in tags.items()], {facts.id: Owner(facts.team_id, facts.experiment_id)})


def find_facts(snapshot: Snapshot, run_ids: Sequence[RunId]) -> dict[RunId, RunFacts]:
    """Those of the runs that are there, whatever their lifecycle."""
    return {row.run_id: run_facts(row._mapping) for row in snapshot.connection.execute(_BY_IDS, {"ids": run_ids})}


def find_heads(snapshot: Snapshot, run_ids: Sequence[RunId]) -> dict[RunId, RunHead]:
    """The heads of those of the runs that are there, whatever their lifecycle."""
    return {row[0]: RunHead(*row) for row in _HEADS.rows(snapshot, run_ids)}


def run_facts(row: sa.RowMapping) -> RunFacts:
    """A row of the table of runs."""
    return RunFacts(
        id=RunId(row["run_id"]),
        experiment_id=ExperimentId(row["experiment_id"]),
        team_id=TeamId(row["team_id"]),
        name=row["name"],
        user=row["user_name"],
        status=RunStatus(row["status"]),
        started_at=Instant(row["started_at"]),
        ended_at=row["ended_at"],
        lifecycle=Lifecycle(row["lifecycle"]),
        artifact_uri=row["artifact_uri"],
        created_by=row["created_by"],
        source_digest=row["source_digest"],
        environment_digest=row["environment_digest"],
        snapshot_digest=row["snapshot_digest"],
        content_digest=row["content_digest"],
    )


def load_runs(snapshot: Snapshot, facts: Sequence[RunFacts], metrics: Sequence[str] | None = None) -> list[Run]:
    """Those runs with what was logged to them, in the same order: of metrics all, or those of some keys.

    A fixed number of queries, however many runs.
    """
    ids = [one.id for one in facts]
    if not ids:
        return []
    series = list_latest(snapshot, ids, metrics)
    params, tags = list_texts(snapshot, RUN_PARAMS, ids), list_texts(snapshot, RUN_TAGS, ids)
    datasets, models = _datasets_of(snapshot, ids), _models_of(snapshot, ids)
    return [
        Run(
            facts=one,
            metrics=tuple(series.get(one.id, ())),
            params=params.get(one.id, {}),
            tags=tags.get(one.id, {}),
            datasets=tuple(datasets.get(one.id, ())),
            model_inputs=tuple(LoggedModelId(model) for direction, model, _ in models.get(one.id, ()) if direction == "input"),
            model_outputs=tuple(
                ModelOutput(model_id=LoggedModelId(model), step=step)
                for direction, model, step in models.get(one.id, ())
                if direction == "output"
            ),
        )
        for one in facts
    ]


def update_run(tx: Transaction, run_id: RunId, values: Mapping[str, Any]) -> None:
    """Overwrites columns of a run."""
    tx.connection.execute(sa.update(RUNS).where(RUNS.c.run_id == run_id).values(dict(values)))


def overwrite_run(tx: Transaction, facts: RunFacts) -> None:
    """Has a run's row say what `facts` say."""
    row = msgspec.structs.asdict(facts)
    row["user_name"] = row.pop("user")
    update_run(tx, row.pop("id"), row)


def set_lifecycle_in(tx: Transaction, experiment_id: ExperimentId, lifecycle: Lifecycle) -> None:
    """Puts every run of an experiment into the bin or back."""
    tx.connection.execute(sa.update(RUNS).where(RUNS.c.experiment_id == experiment_id).values(lifecycle=lifecycle))


def list_texts(snapshot: Snapshot, table: sa.Table, ids: Sequence[str], keys: Sequence[str] | None = None) -> dict[str, dict[str, str]]:
    """Params or tags by owner and key: all of them, or those of some keys."""
    found: dict[str, dict[str, str]] = {}
    rows = _texts_of(table).rows(snapshot, ids) if keys is None else _texts_named(table).rows(snapshot, ids, keys)
    for one, key, value in rows:
        found.setdefault(one, {})[key] = value
    return found


def put_texts(
    tx: Transaction, table: sa.Table, texts: Iterable[KeyedText], owners: Mapping[Any, Owner], *, overwrites: bool = True
) -> None:
    """Stores params or tags, over what stands or only where nothing stands.

    No two of `texts` may have the same owner and key.
    """
    name = _owner(table)
    rows = [
        {
            name: owner,
            "key": key,
            "team_id": owners[owner].team_id,
            "experiment_id": owners[owner].experiment_id,
            "value": value,
            "value_start": value[:VALUE_START],
        }
        for owner, key, value in sorted(texts)
    ]
    _put_texts(table, overwrites=overwrites).run(tx, rows)


def remove_text(tx: Transaction, table: sa.Table, owner_id: str, key: str) -> bool:
    """Removes a tag; whether it was there."""
    where = (table.c[_owner(table)] == owner_id) & (table.c.key == key)
    return tx.connection.execute(sa.delete(table).where(where)).rowcount > 0


def _owner(table: sa.Table) -> str:
    return str(table.primary_key.columns[0].name)


def put_datasets(tx: Transaction, run_id: RunId, owner: Owner, inputs: Sequence[DatasetInput]) -> None:
    """Notes the datasets that a run read; one that is noted already stays as it is."""
    names = [(one.dataset.name, one.dataset.digest) for one in inputs]
    rows = [
        {"dataset_id": hex_id(), "team_id": owner.team_id, "experiment_id": owner.experiment_id, **msgspec.structs.asdict(one.dataset)}
        for one in inputs
    ]
    upsert(tx, RUN_DATASETS, rows, ["experiment_id", "name", "digest"])
    where = (RUN_DATASETS.c.experiment_id == owner.experiment_id) & RUN_DATASETS.c.name.in_([name for name, _ in names])
    found = tx.connection.execute(sa.select(RUN_DATASETS.c.name, RUN_DATASETS.c.digest, RUN_DATASETS.c.dataset_id).where(where))
    ids = {(name, digest): dataset_id for name, digest, dataset_id in found}
    links = [
        {
            "run_id": run_id,
            "dataset_id": ids[name],
            "team_id": owner.team_id,
            "context": one.tags.get(DATASET_CONTEXT_TAG),
            "tags": msgspec.json.encode(one.tags),
        }
        for name, one in zip(names, inputs, strict=True)
    ]
    upsert(tx, RUN_DATASET_INPUTS, links, ["run_id", "dataset_id"])


_DATASETS = PreparedSelect(
    lambda ids: (
        sa.select(RUN_DATASET_INPUTS.c.run_id, RUN_DATASET_INPUTS.c.tags, *(RUN_DATASETS.c[n] for n in Dataset.__struct_fields__))
        .join(RUN_DATASETS, RUN_DATASETS.c.dataset_id == RUN_DATASET_INPUTS.c.dataset_id)
        .where(RUN_DATASET_INPUTS.c.run_id.in_(ids))
        .order_by(RUN_DATASETS.c.name, RUN_DATASETS.c.digest)
    ),
    "id",
)


def _datasets_of(snapshot: Snapshot, ids: Sequence[RunId]) -> dict[RunId, list[DatasetInput]]:
    found: dict[RunId, list[DatasetInput]] = {}
    for run_id, encoded, *fields in _DATASETS.rows(snapshot, ids):
        dataset = Dataset(**dict(zip(Dataset.__struct_fields__, fields, strict=True)))
        tags = msgspec.json.decode(encoded, type=dict[str, str])
        found.setdefault(run_id, []).append(DatasetInput(dataset=dataset, tags=tags))
    return found


def list_dataset_names(
    snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], limit: int
) -> list[tuple[ExperimentId, str, str, str | None]]:
    """Experiment, name, digest and context of the datasets that runs of those experiments read."""
    query = (
        sa.select(RUN_DATASETS.c.experiment_id, RUN_DATASETS.c.name, RUN_DATASETS.c.digest, RUN_DATASET_INPUTS.c.context)
        .join(RUN_DATASET_INPUTS, RUN_DATASET_INPUTS.c.dataset_id == RUN_DATASETS.c.dataset_id)
        .where(RUN_DATASETS.c.experiment_id.in_(experiment_ids))
        .distinct()
        .order_by(RUN_DATASETS.c.experiment_id, RUN_DATASETS.c.name, RUN_DATASETS.c.digest)
        .limit(limit)
    )
    return [(ExperimentId(row[0]), row[1], row[2], row[3]) for row in snapshot.connection.execute(query)]


def put_models(tx: Transaction, run_id: RunId, team_id: TeamId, direction: str, models: Iterable[ModelOutput]) -> None:
    """Notes logged models that a run read (`input`) or made (`output`)."""
    rows = {
        (one.model_id, one.step): {"run_id": run_id, "direction": direction, "model_id": one.model_id, "step": one.step, "team_id": team_id}
        for one in models
    }
    upsert(tx, RUN_MODELS, list(rows.values()), ["run_id", "direction", "model_id", "step"])


_MODELS = PreparedSelect(
    lambda ids: (
        sa.select(RUN_MODELS.c.run_id, RUN_MODELS.c.direction, RUN_MODELS.c.model_id, RUN_MODELS.c.step)
        .where(RUN_MODELS.c.run_id.in_(ids))
        .order_by(RUN_MODELS.c.step, RUN_MODELS.c.model_id)
    ),
    "id",
)


def _models_of(snapshot: Snapshot, ids: Sequence[RunId]) -> dict[RunId, list[tuple[str, str, int]]]:
    found: dict[RunId, list[tuple[str, str, int]]] = {}
    for run_id, direction, model_id, step in _MODELS.rows(snapshot, ids):
        found.setdefault(run_id, []).append((direction, model_id, step))
    return found


def find_by_digest(snapshot: Snapshot, digest: Digest, teams: Sequence[TeamId] | None, limit: int) -> list[RunFacts]:
    """Runs whose source or training snapshot has that digest, the latest first."""
    where = (RUNS.c.source_digest == digest) | (RUNS.c.snapshot_digest == digest)
    query = sa.select(RUNS).where(where).order_by(RUNS.c.started_at.desc(), RUNS.c.run_id).limit(limit)
    if teams is not None:
        query = query.where(RUNS.c.team_id.in_(teams))
    return [run_facts(row._mapping) for row in snapshot.connection.execute(query)]

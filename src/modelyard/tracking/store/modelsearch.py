"""The search of logged models compiled to SQL: bound parameters only, pages by keyset."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.storage.database import Dialect, Snapshot
from modelyard.tracking.domain import ExperimentId, Lifecycle, LoggedModel
from modelyard.tracking.grammar import Comparison, Order
from modelyard.tracking.sql import Condition, SortKey, compared_milliseconds, compared_number, compared_text, nulls_last, paged
from modelyard.tracking.store.models import load_models
from modelyard.tracking.store.search import text_condition
from modelyard.tracking.store.tables import LOGGED_MODEL_METRICS, LOGGED_MODEL_PARAMS, LOGGED_MODEL_TAGS, LOGGED_MODELS

_COLUMNS: dict[str, sa.Column[Any]] = {
    "name": LOGGED_MODELS.c.name,
    "model_id": LOGGED_MODELS.c.model_id,
    "model_type": LOGGED_MODELS.c.model_type,
    "source_run_id": LOGGED_MODELS.c.source_run_id,
    "status": LOGGED_MODELS.c.status,
    "experiment_id": LOGGED_MODELS.c.experiment_id,
    "creation_timestamp_ms": LOGGED_MODELS.c.created_at,
    "last_updated_timestamp_ms": LOGGED_MODELS.c.updated_at,
}
_TIMES = frozenset({"creation_timestamp_ms", "last_updated_timestamp_ms"})


class DatasetFilter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A dataset that a metric was measured on, of any digest where none is given."""

    dataset_name: str = ""
    dataset_digest: str | None = None


class ModelOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key of an order as MLflow's wire has it: an attribute, or `metrics.` and a metric, perhaps on one dataset."""

    field_name: str = ""
    is_ascending: bool = msgspec.field(default=True, name="ascending")
    dataset_name: str | None = None
    dataset_digest: str | None = None


class ModelSearch(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for: what must hold, on which datasets, in which order, behind which row, and how many."""

    comparisons: tuple[Comparison, ...] = ()
    datasets: tuple[DatasetFilter, ...] = ()
    orders: tuple[tuple[Order, ModelOrder], ...] = ()
    after: Sequence[Any] | None = None
    limit: int


def search_models(
    snapshot: Snapshot, experiment_ids: Sequence[ExperimentId], search: ModelSearch
) -> list[tuple[LoggedModel, tuple[Any, ...]]]:
    """Logged models of those experiments and their sort values."""
    table = LOGGED_MODELS
    query = sa.select(table).where(table.c.experiment_id.in_(experiment_ids), table.c.lifecycle == Lifecycle.ACTIVE)
    for comparison in search.comparisons:
        query = query.where(_condition(comparison, experiment_ids, search.datasets, snapshot.dialect))
    if search.datasets and not any(one.entity == "metric" for one in search.comparisons):
        query = query.where(table.c.model_id.in_(_measured(search.datasets)))
    keys: list[SortKey] = []
    for order, asked in search.orders:
        query, more = _order(query, order, asked)
        keys += more
    named = {order.key for order, _ in search.orders if order.entity == "attribute"}
    keys += [] if "creation_timestamp_ms" in named else [SortKey(table.c.created_at, is_ascending=False)]
    keys += [] if "model_id" in named else [SortKey(table.c.model_id)]
    rows = snapshot.connection.execute(paged(query, keys, search.after, search.limit)).all()
    found = load_models(snapshot, [row._mapping for row in rows])
    return [(one, tuple(row[-len(keys) :])) for one, row in zip(found, rows, strict=True)]


def _condition(
    comparison: Comparison, experiment_ids: Sequence[ExperimentId], datasets: Sequence[DatasetFilter], dialect: Dialect
) -> Condition:
    owner = LOGGED_MODELS.c.model_id
    match comparison.entity:
        case "metric":
            table = LOGGED_MODEL_METRICS
            value = compared_number(table.c.value, comparison.operator, comparison.value)
            return owner.in_(_measured(datasets).where(table.c.key == comparison.key, table.c.is_nan == sa.false(), value))
        case "parameter":
            return text_condition(owner, LOGGED_MODEL_PARAMS, comparison, experiment_ids, dialect)
        case "tag":
            return text_condition(owner, LOGGED_MODEL_TAGS, comparison, experiment_ids, dialect)
    column = _COLUMNS[comparison.key]
    if comparison.key in _TIMES:
        return compared_milliseconds(column, comparison.operator, comparison.value)
    return compared_text(column, comparison.operator, comparison.value, dialect)


def _measured(datasets: Sequence[DatasetFilter]) -> sa.Select[Any]:
    """The ids of models that something was measured on, on any of the datasets where there are some."""
    table = LOGGED_MODEL_METRICS
    query = sa.select(table.c.model_id)
    return query.where(sa.or_(*(_on(table.c, one.dataset_name, one.dataset_digest) for one in datasets))) if datasets else query


def _on(columns: Any, name: str | None, digest: str | None) -> Condition:
    conditions = [columns.dataset_name == name] if name else []
    return sa.and_(sa.true(), *conditions, *([columns.dataset_digest == digest] if digest else []))


def _order(query: sa.Select[Any], order: Order, asked: ModelOrder) -> tuple[sa.Select[Any], list[SortKey]]:
    if order.entity != "metric":
        return query, [SortKey(_COLUMNS[order.key], order.is_ascending)]
    table = LOGGED_MODEL_METRICS
    place = sa.func.row_number().over(partition_by=table.c.model_id, order_by=[table.c["at"].desc(), table.c.step.desc(), table.c.run_id])
    measured = sa.select(table.c.model_id, table.c.value, place.label("place")).where(
        table.c.key == order.key, _on(table.c, asked.dataset_name, asked.dataset_digest)
    )
    latest = measured.subquery()
    joined = query.outerjoin(latest, (latest.c.model_id == LOGGED_MODELS.c.model_id) & (latest.c.place == 1))
    return joined, nulls_last(latest.c.value, 0.0, is_ascending=order.is_ascending)

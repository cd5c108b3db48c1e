"""Searches of models and versions by MLflow's grammar, compiled to SQL: bound parameters only, pages by keyset."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.registry.domain import ModelName
from modelyard.registry.rules.names import PROMPT_TAG
from modelyard.registry.store.events import is_retired
from modelyard.registry.store.tables import MODEL, NOTE, SOURCE, TAG, VERSION
from modelyard.storage.database import Dialect, Snapshot
from modelyard.tracking.domain import FilterInvalid
from modelyard.tracking.grammar import TEXTS, Comparison, Order, Vocabulary
from modelyard.tracking.sql import Condition, SortKey, compared_milliseconds, compared_number, compared_text, paged

_ENTITIES: dict[str, Any] = {"attribute": "attribute", "tag": "tag", "tags": "tag"}
_FARTHEST = 2**53
_UNKNOWN = "Invalid entity type '{}'. Valid entity types are ('attribute', 'tag', 'tags')"


def _vocabulary(numbers: Iterable[str], texts: Iterable[str], lists: Iterable[str] = ()) -> Vocabulary:
    return Vocabulary(
        entities=_ENTITIES,
        numbers=frozenset(numbers),
        texts=frozenset(texts),
        lists=frozenset(lists),
        operators={"tag": TEXTS},
        order_aliases={"timestamp": "last_updated_timestamp"} if "timestamp" in numbers else {},
        unknown_entity=_UNKNOWN,
    )


MODELS = _vocabulary([], ["name"], ["name"])
"""What a filter of registered models knows."""

MODEL_ORDERS = _vocabulary(["last_updated_timestamp", "timestamp"], ["name"])
"""What an order of registered models knows."""

VERSIONS = _vocabulary(["version_number"], ["name", "run_id", "source_path"], ["name", "run_id"])
"""What a filter of model versions knows."""

VERSION_ORDERS = _vocabulary(["version_number", "creation_timestamp", "last_updated_timestamp"], ["name"])
"""What an order of model versions knows."""

_UPDATED = sa.func.coalesce(NOTE.c.updated_at, VERSION.c.created_at)
_MODEL_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": MODEL.c.name,
    "creation_timestamp": MODEL.c.created_at,
    "last_updated_timestamp": MODEL.c.updated_at,
}
_VERSION_COLUMNS: dict[str, sa.ColumnElement[Any]] = {
    "name": VERSION.c.model,
    "run_id": sa.func.coalesce(VERSION.c.run_id, ""),
    "source_path": sa.func.coalesce(SOURCE.c.uri, ""),
    "version_number": VERSION.c.number,
    "creation_timestamp": VERSION.c.created_at,
    "last_updated_timestamp": _UPDATED,
}


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is searched for: in which teams, what must hold, in which order, behind which row, and how many."""

    teams: Sequence[TeamId] | None
    comparisons: tuple[Comparison, ...] = ()
    orders: tuple[Order, ...] = ()
    after: Sequence[Any] | None = None
    limit: int


Found = list[tuple[tuple[ModelName, int], tuple[Any, ...]]]
"""What a search found: names, with numbers for versions, and the sort values of each."""


def search_models(snapshot: Snapshot, search: Search) -> Found:
    """The names of models and their sort values; the numbers are 0."""
    query = sa.select(MODEL.c.name, sa.literal(0).label("number"))
    if search.teams is not None:
        query = query.where(MODEL.c.team_id.in_(search.teams))
    for one in search.comparisons:
        query = query.where(_condition(one, _MODEL_COLUMNS, (MODEL.c.name, sa.literal(0)), snapshot.dialect))
    keys = [SortKey(_MODEL_COLUMNS[order.key], order.is_ascending) for order in search.orders]
    keys += [] if any(order.key == "name" for order in search.orders) else [SortKey(MODEL.c.name)]
    return _found(snapshot, query, keys, search)


def search_versions(snapshot: Snapshot, search: Search) -> Found:
    """The models and numbers of versions that were not retired, and their sort values."""
    place = (VERSION.c.model, VERSION.c.number)
    joined = VERSION.outerjoin(NOTE, (NOTE.c.model == place[0]) & (NOTE.c.number == place[1]))
    joined = joined.outerjoin(SOURCE, (SOURCE.c.model == place[0]) & (SOURCE.c.number == place[1]))
    query = sa.select(*place).select_from(joined).where(sa.not_(is_retired(*place)))
    if search.teams is not None:
        query = query.where(VERSION.c.team_id.in_(search.teams))
    for one in search.comparisons:
        query = query.where(_condition(one, _VERSION_COLUMNS, place, snapshot.dialect))
    orders = search.orders or (Order(entity="attribute", key="last_updated_timestamp", is_ascending=False),)
    keys = [SortKey(_VERSION_COLUMNS[order.key], order.is_ascending) for order in orders]
    keys += [] if any(order.key == "name" for order in orders) else [SortKey(VERSION.c.model)]
    keys += [] if any(order.key == "version_number" for order in orders) else [SortKey(VERSION.c.number, is_ascending=False)]
    return _found(snapshot, query, keys, search)


def _found(snapshot: Snapshot, query: sa.Select[Any], keys: list[SortKey], search: Search) -> Found:
    rows = snapshot.connection.execute(paged(query, keys, search.after, search.limit)).all()
    return [((ModelName(row[0]), row[1]), tuple(row[-len(keys) :])) for row in rows]


def _condition(
    one: Comparison, columns: dict[str, sa.ColumnElement[Any]], place: tuple[sa.ColumnElement[Any], ...], dialect: Dialect
) -> Condition:
    if one.entity == "tag":
        if one.key == PROMPT_TAG and not _asks_for_prompts(one):
            return sa.true()
        model, number = place
        tag = sa.exists().where(TAG.c.model == model, TAG.c.number == number, TAG.c.key == one.key)
        return tag.where(compared_text(TAG.c.value, one.operator, one.value, dialect))
    column = columns[one.key]
    if one.key == "run_id" and one.operator in ("=", "IN") and one.value and "" not in (one.value if isinstance(one.value, tuple) else ()):
        # Without the empty text for versions of no run: the index answers.
        column = VERSION.c.run_id
    if one.key.endswith("_timestamp"):
        return compared_milliseconds(column, one.operator, one.value)
    if one.key == "version_number":
        if not isinstance(one.value, int):
            raise FilterInvalid(f"Invalid value for numeric attribute 'version_number': {one.value!r}")
        return compared_number(column, one.operator, max(-_FARTHEST, min(one.value, _FARTHEST)))
    return compared_text(column, one.operator, one.value, dialect)


def _asks_for_prompts(one: Comparison) -> bool:
    """Whether a comparison of the tag of prompts wants them. MLflow's clients leave them out by it, and none is kept here."""
    return (one.operator, str(one.value).lower()) in (("=", "true"), ("!=", "false"))

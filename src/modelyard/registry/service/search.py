"""Searches by MLflow's grammar, and reading in bulk what stands beside models and versions: a page costs a few queries."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.registry.domain import Alias, LoggedSource, Model, ModelName, ModelVersion, Notes
from modelyard.registry.store import events, models, notes, search, versions
from modelyard.registry.store.tables import MODEL, VERSION
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import FilterInvalid
from modelyard.tracking.grammar import Order, Vocabulary, parse_filter, parse_orders
from modelyard.tracking.sql import fingerprint, token_of, values_of

MOST_AT_ONCE = 500
Key = tuple[ModelName, int]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A search as it is asked for: MLflow's filter and order, how many results, and the token of the page before."""

    filter: str = ""
    order_by: tuple[str, ...] = ()
    limit: int
    page: str = ""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """What a search found, as names and numbers (0 for models), and the token that goes on behind; empty on the last page."""

    keys: list[Key]
    next: str = ""


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside some models and their versions, by name and number."""

    tags: dict[Key, dict[str, str]]
    notes: dict[Key, Notes]
    sources: dict[Key, LoggedSource]
    aliases: dict[ModelName, tuple[Alias, ...]]


class Dated(msgspec.Struct, frozen=True, kw_only=True):
    """A model, when something of it changed last, and its newest version in each of MLflow's stages."""

    model: Model
    updated_at: Instant
    latest: dict[str, int]


def search_models(snapshot: Snapshot, principal: Principal, asked: Asked) -> Keys:
    """The models of the caller's teams that the filter finds, by name unless the order says otherwise.

    Raises FilterInvalid and TokenInvalid.
    """
    mark = fingerprint("models", asked.filter, asked.order_by)
    wanted = search.Search(
        teams=principal.teams,
        comparisons=parse_filter(asked.filter, search.MODELS),
        orders=_orders(asked.order_by, search.MODEL_ORDERS, "{'name', 'timestamp'}"),
        after=values_of(asked.page, mark),
        limit=asked.limit + 1,
    )
    return _page(search.search_models(snapshot, wanted), asked.limit, mark)


def search_versions(snapshot: Snapshot, principal: Principal, asked: Asked) -> Keys:
    """The versions of the caller's teams that the filter finds, those changed last first. Raises FilterInvalid, TokenInvalid."""
    mark = fingerprint("versions", asked.filter, asked.order_by)
    wanted = search.Search(
        teams=principal.teams,
        comparisons=parse_filter(asked.filter, search.VERSIONS),
        orders=_orders(asked.order_by, search.VERSION_ORDERS),
        after=values_of(asked.page, mark),
        limit=asked.limit + 1,
    )
    return _page(search.search_versions(snapshot, wanted), asked.limit, mark)


def _orders(texts: tuple[str, ...], vocabulary: Vocabulary, keys: str = "") -> tuple[Order, ...]:
    """The keys of an order. Raises FilterInvalid, with the `keys` that are told where one is none of the vocabulary's."""
    try:
        orders = parse_orders(texts, vocabulary)
        if all(order.entity == "attribute" for order in orders):
            return orders
    except FilterInvalid as error:
        if not error.message.startswith("Invalid attribute key"):
            raise
    known = {*vocabulary.texts, *vocabulary.numbers, *vocabulary.order_aliases}
    key = next(one for text in texts if (one := text.split()[0]) not in known)
    shown = keys or f"{{{', '.join(map(repr, sorted(vocabulary.texts | vocabulary.numbers)))}}}"
    said = "Invalid order by key" if keys or "." in key else "Invalid attribute key"
    raise FilterInvalid(f"{said} '{key[:200]}' specified. Valid keys are '{shown}'")


def _page(found: search.Found, limit: int, mark: str) -> Keys:
    token = token_of(mark, found[limit - 1][1]) if len(found) > limit else ""
    return Keys(keys=[key for key, _ in found[:limit]], next=token)


def dated_models(snapshot: Snapshot, names: Sequence[ModelName]) -> list[Dated]:
    """Those models in the order of `names`, for callers that know that they may be seen."""
    found = {one.name: one for one in models.list_models(snapshot, MODEL.c.name.in_(names), len(names))} if names else {}
    updated, stages = models.updated_at(snapshot, names), search.latest_by_stage(snapshot, names)
    return [Dated(model=found[name], updated_at=updated[name], latest=stages.get(name, {})) for name in names]


def versions_by_key(snapshot: Snapshot, keys: Sequence[Key]) -> list[ModelVersion]:
    """Those versions in the order of `keys`, for callers that know that they may be seen."""
    found: dict[Key, ModelVersion] = {}
    for start in range(0, len(keys), MOST_AT_ONCE):
        some = keys[start : start + MOST_AT_ONCE]
        condition = sa.tuple_(VERSION.c.model, VERSION.c.number).in_(some)
        found |= {(one.model, one.number): one for one in versions.list_versions(snapshot, condition, len(some))}
    return [found[key] for key in keys]


def read_beside(snapshot: Snapshot, names: Sequence[ModelName]) -> Beside:
    """All that stands beside those models and their versions."""
    return Beside(
        tags=notes.list_tags(snapshot, names),
        notes=notes.list_notes(snapshot, names),
        sources=notes.list_sources(snapshot, names),
        aliases=events.list_aliases(snapshot, names),
    )

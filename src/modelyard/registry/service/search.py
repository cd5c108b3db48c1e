"""Searches by MLflow's grammar, and reading in bulk what stands beside models and versions: a page costs a few queries."""

from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.registry.domain import AliasName, LoggedSource, ModelName, Notes
from modelyard.registry.store import briefs, notes, search
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import FilterInvalid
from modelyard.tracking.grammar import Order, Vocabulary, parse_filter, parse_orders
from modelyard.tracking.sql import fingerprint, token_of, values_of

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


class VersionBrief(msgspec.Struct, frozen=True, gc=False):
    """What MLflow's clients are told of a version: what it is, and what is written about it now. The source is None where no
    client named one; `deprecated` says why, where it is.
    """

    model: ModelName
    number: int
    artifact: str
    run: str | None
    author: str
    description: str
    stage: str
    created_at: Instant
    updated_at: Instant
    source: str | None
    run_link: str | None
    logged_model: str | None
    deprecated: str | None
    successor: int | None
    tags: dict[str, str]
    aliases: tuple[AliasName, ...]


class ModelBrief(msgspec.Struct, frozen=True, gc=False):
    """What MLflow's clients are told of a model, with its newest version in each stage."""

    name: ModelName
    created_by: str
    purpose: str
    created_at: Instant
    updated_at: Instant
    tags: dict[str, str]
    aliases: tuple[tuple[AliasName, int], ...]
    latest: tuple[VersionBrief, ...]


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


def latest_by_stage(snapshot: Snapshot, model: ModelName) -> dict[str, int]:
    """The newest version of the model in each of MLflow's stages, for callers that know that it may be seen."""
    return briefs.latest_by_stage(snapshot, [model]).get(model, {})


def list_briefs(snapshot: Snapshot, keys: Sequence[Key]) -> list[VersionBrief]:
    """Those versions in the order of `keys`, for callers that know that they may be seen."""
    aliases = briefs.list_aliases(snapshot, sorted({model for model, _ in keys}))
    return _briefs(snapshot, keys, notes.list_tags(snapshot, keys), aliases)


def list_model_briefs(snapshot: Snapshot, names: Sequence[ModelName]) -> list[ModelBrief]:
    """Those models in the order of `names`, for callers that know that they may be seen."""
    heads, staged = briefs.list_heads(snapshot, names), briefs.newest_staged(snapshot, names)
    aliases = briefs.list_aliases(snapshot, names)
    rows = briefs.list_versions(snapshot, [(name, number) for name, stages in staged.items() for number in stages.values()])
    latest = {name: [newest] if newest[0] is not None else [] for name, (_, newest) in heads.items()}
    for name, stages in staged.items():
        latest[name] = sorted([*latest[name], *(rows[name, number] for number in stages.values())], key=_stage_of)
    tags = notes.list_tags(snapshot, [*((name, 0) for name in names), *((name, row[1]) for name in names for row in latest[name])])
    found = []
    for name in names:
        pointed = aliases.get(name, [])
        versions = tuple([VersionBrief(*(*row, tags.get((name, row[1]), {}), _pointing(pointed, row[1]))) for row in latest[name]])
        found.append(ModelBrief(*(*heads[name][0], tags.get((name, 0), {}), tuple(pointed), versions)))
    return found


def _stage_of(row: Sequence[Any]) -> str:
    """The stage of a version's row."""
    return str(row[6])


def _briefs(
    snapshot: Snapshot, keys: Sequence[Key], tags: dict[Key, dict[str, str]], aliases: dict[str, list[tuple[AliasName, int]]]
) -> list[VersionBrief]:
    rows = briefs.list_versions(snapshot, keys)
    return [VersionBrief(*(*rows[key], tags.get(key, {}), _pointing(aliases[key[0]], key[1]) if key[0] in aliases else ())) for key in keys]


def _pointing(aliases: list[tuple[AliasName, int]], version: int) -> tuple[AliasName, ...]:
    if not aliases:
        return ()
    return tuple(alias for alias, number in aliases if number == version)


def read_beside(snapshot: Snapshot, keys: Sequence[Key]) -> Beside:
    """All that stands beside those versions, and beside models for the number 0."""
    return Beside(tags=notes.list_tags(snapshot, keys), notes=notes.list_notes(snapshot, keys), sources=notes.list_sources(snapshot, keys))

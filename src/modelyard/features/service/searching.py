"""The catalogue's search: views by all that their definitions say: names, features, entities, sources, owners, words. Ranks little."""

import functools
from collections.abc import Iterable, Iterator

import msgspec

from modelyard.access.domain import Principal
from modelyard.features.domain import AppliedOnDemand, FeatureView, ViewSummary
from modelyard.features.service.definitions import list_views
from modelyard.storage.database import Snapshot

LONGEST = 200


class FoundView(msgspec.Struct, frozen=True, kw_only=True):
    """A view that a search found, and those of its features whose names hold the words."""

    summary: ViewSummary
    features: tuple[str, ...] = ()


def search_views(snapshot: Snapshot, principal: Principal, q: str) -> list[FoundView]:
    """The views that the principal may see and `found_views` finds."""
    return found_views(list_views(snapshot, principal), q)


def found_views(summaries: Iterable[ViewSummary], q: str) -> list[FoundView]:
    """The views that hold every word of `q` somewhere in their definition or team, in any case: those so named first, then by features.

    Without words all views, by name.
    """
    words = q.lower()[:LONGEST].split()
    found = []
    for summary in summaries:
        view = summary.applied.view
        if words and not _holds(f"{_text(view)}\n{summary.applied.team_id.lower()}", words):
            continue
        names = tuple(name for name in view.names if any(word in name.lower() for word in words)) if words else ()
        found.append(FoundView(summary=summary, features=names))
    return sorted(found, key=lambda one: (_rank(one, words), one.summary.applied.view.name))


def found_on_demand(functions: Iterable[AppliedOnDemand], q: str) -> list[AppliedOnDemand]:
    """The on-demand features that hold every word of `q` in their name, description, inputs or text, in any case."""
    words = q.lower()[:LONGEST].split()
    return [one for one in functions if _holds("\n".join(_texts(msgspec.to_builtins(one.function))).lower(), words)]


def _holds(text: str, words: list[str]) -> bool:
    return all(word in text for word in words)


def _rank(found: FoundView, words: list[str]) -> int:
    name = found.summary.applied.view.name.lower()
    if not words or all(word in name for word in words):
        return 0
    return 1 if found.features else 2


@functools.lru_cache(maxsize=8192)
def _text(view: FeatureView) -> str:
    """Every text of a definition, computed names included, one a line."""
    return "\n".join((*view.names, view.source.kind, view.source.place, *_texts(msgspec.to_builtins(view)))).lower()


def _texts(item: object) -> Iterator[str]:
    if isinstance(item, str):
        yield item
    elif isinstance(item, dict):
        for each in item.values():
            yield from _texts(each)
    elif isinstance(item, list | tuple):
        for each in item:
            yield from _texts(each)

"""Whose values an erasure means in a version of a view whose key has other columns than the one that is given. Owns that mapping."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.names import listed
from modelyard.features.domain import AppliedView, Entity, SourceDrifted, SourceUnreadable
from modelyard.features.erased import view_files
from modelyard.features.layout import ENTITY, key_bytes, prefix
from modelyard.features.materialization import find_mark, list_entities
from modelyard.features.rows import key_expressions
from modelyard.storage.online import OnlineStore

LARGEST = 2**63
Given = Mapping[str, str | int]
Keys = list[str | int]
MOST_SHARING = 1_000
"""Keys that may share the given values: for each all of the version's list of entities is looked through."""


class Meant(msgspec.Struct, frozen=True):
    """The keys that are meant in a version; `why` says what could not be told of it, and is empty where all could."""

    keys: list[Keys] = []
    why: str = ""


def exact_keys(entity: Entity, given: Given) -> Keys | None:
    """The key's values in the order and the types of the entity's columns; `None` where it has other columns or such values cannot be."""
    if {key.name for key in entity.keys} != set(given):
        return None
    found = _typed(entity, given)
    return None if isinstance(found, str) else found


def mapped_keys(online: OnlineStore, one: AppliedView, given: Given) -> Meant:
    """The keys of one version that stand for `given`.

    One column may have another name. Where the version tells entities apart by more columns, all that share the given values are meant.
    """
    entity = one.view.entity
    mine = [key.name for key in entity.keys]
    more, unknown = [name for name in mine if name not in given], [name for name in given if name not in mine]
    if more and not unknown:
        return _sharing(online, one, given)
    if len(more) != len(unknown) or len(more) > 1:
        return Meant(why=f"its key is {listed(mine)}, and given is {listed([*given])}")
    found = _typed(entity, {more[0] if name in unknown else name: value for name, value in given.items()})
    if isinstance(found, str):
        return Meant(why=found)
    stored = online.get_many([prefix(one.view.digest) + ENTITY + key_bytes(entity)(found)])[0] if more else b""
    why = "" if stored is not None else f"its key has {more[0]} and not {unknown[0]}, and under the given value nothing was online"
    return Meant([found], why)


def _typed(entity: Entity, given: Given) -> Keys | str:
    found: Keys = []
    for key in entity.keys:
        value = given[key.name]
        if key.dtype == "int64" and isinstance(value, str) and value.removeprefix("-").isdecimal() and str(int(value)) == value:
            value = int(value)
        if key.dtype == "int64" and not (isinstance(value, int) and abs(value) < LARGEST):
            return f"its {key.name} is an int64, which the given value is not"
        found.append(str(value) if key.dtype == "string" else value)
    return found


def _sharing(online: OnlineStore, one: AppliedView, given: Given) -> Meant:
    """The keys with the given values among those that are online, and those that the source has."""
    view, mark = one.view, find_mark(online, one.view)
    partial = _typed(Entity(view.entity.name, keys=[key for key in view.entity.keys if key.name in given]), given)
    if isinstance(partial, str):
        return Meant(why=partial)
    wanted = dict(zip([key.name for key in view.entity.keys if key.name in given], partial, strict=True))
    try:
        files = view_files(view, Path(one.root))
        rows = files.scan().select(key_expressions(view.entity.keys, files.schema())).drop_nulls()
        there = rows.filter(pl.all_horizontal(pl.col(name) == value for name, value in wanted.items())).unique().collect(engine="streaming")
    except (SourceUnreadable, SourceDrifted, pl.exceptions.PolarsError):
        return Meant(why="its source cannot be read, so that nobody can tell all keys that have the given values")
    names = [key.name for key in view.entity.keys]
    found = _distinct([*there.select(names).rows(), *_with(list_entities(online, view, mark) if mark else (), names, wanted)])
    if len(found) > MOST_SHARING:
        return Meant(why=f"{len(found)} of its entities share the given values, at most {MOST_SHARING} are erased at once")
    return Meant(found)


def _with(keys: Iterable[Sequence[object]], names: Sequence[str], wanted: Given) -> list[Sequence[object]]:
    places = {names.index(name): value for name, value in wanted.items()}
    return [one for one in keys if all(one[place] == value for place, value in places.items())]


def _distinct(keys: Iterable[Sequence[object]]) -> list[Keys]:
    return [[part for part in one if isinstance(part, str | int)] for one in dict.fromkeys(map(tuple, keys))]

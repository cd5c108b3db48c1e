"""Pushed rows as they may stay on the disk once entities were erased. Owns what of a row goes, and what is kept of it for others."""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.features.domain import FeatureView, Key
from modelyard.features.domain.sources import PUSH_NUMBER
from modelyard.features.erased import erased_mask

_Rows = npt.NDArray[np.bool_]


class _Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that one entity's views read, and for which rows these are erased, and for which they have a value still."""

    keys: frozenset[str]
    values: frozenset[str]
    erased: _Rows
    alive: _Rows


class Scrubbed(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that may stay, and whether another entity's views read something else of them than before."""

    rows: pl.DataFrame
    is_seen: bool


def scrubbed(rows: pl.DataFrame, views: Sequence[FeatureView]) -> Scrubbed | None:
    """`rows` of the source that `views` read, without what was erased; `None` where nothing of it is left in them.

    A row goes that no other entity's view reads. Of one that some read, what they read stays, but for the key of who was erased:
    that stays only where it is a key of theirs too. What nobody reads goes.
    """
    readings = _readings(rows, views)
    erased = _any([one.erased for one in readings], rows.height)
    if not erased.any():
        return None
    hidden, is_seen = [], False
    for name in rows.columns:
        if name == PUSH_NUMBER or any(name in view.source.times for view in views):
            continue
        as_key = _any([one.alive for one in readings if name in one.keys], rows.height)
        as_value = _any([one.alive for one in readings if name in one.values], rows.height)
        whose = _any([one.erased for one in readings if name in one.keys], rows.height)
        lost = erased & ~(as_key | (as_value & ~whose))
        gone = pl.Series(lost)
        is_seen = is_seen or bool((lost & as_value & rows[name].is_not_null().to_numpy()).any())
        hidden.append(pl.when(~gone).then(pl.col(name)).alias(name))
    is_read = _any([one.alive for one in readings], rows.height)
    kept = rows.with_columns(hidden).filter(pl.Series(~erased | is_read))
    return None if kept.equals(rows) else Scrubbed(rows=kept, is_seen=is_seen)


def _readings(rows: pl.DataFrame, views: Sequence[FeatureView]) -> list[_Reading]:
    groups: dict[tuple[str, tuple[Key, ...]], list[FeatureView]] = {}
    for view in views:
        groups.setdefault((view.entity.name, view.entity.keys), []).append(view)
    found = []
    for (_, keys), mine in groups.items():
        names = [key.name for key in keys]
        erased = erased_mask(mine[0], rows).to_numpy()
        known = rows.select(pl.all_horizontal(pl.col(names).is_not_null())).to_series().to_numpy()
        values = frozenset(name for view in mine for name in view.source_columns)
        found.append(_Reading(keys=frozenset(names), values=values, erased=erased, alive=known & ~erased))
    return found


def _any(masks: Sequence[_Rows], height: int) -> _Rows:
    return np.logical_or.reduce(masks) if masks else np.zeros(height, np.bool_)

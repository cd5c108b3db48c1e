"""Which rows a version learns from and which it is tested on: by time where rows have one, else by a stable hash of their inputs.

Owns the cut and that hash, whose result for a row never changes: not with the rows around it, their order, or a library's release.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.delivery.declaration import ModelDeclaration

AS_OF = "as_of"
"""The column of a snapshot that holds the instant at which the model would have answered."""
MISSING = np.uint64(0x9E3779B97F4A7C15)
Hashes = npt.NDArray[np.uint64]
Cut = Callable[[pl.DataFrame, ModelDeclaration], tuple[pl.DataFrame, pl.DataFrame]]


def split(frame: pl.DataFrame, declaration: ModelDeclaration) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows to train on and those to test on, in the order of the snapshot; no instant and no inputs are on both sides.

    Rows with times are cut between two instants: the later ones test. Rows without are cut by their places, so that a row
    which one version learned from tests none of the versions after it, as long as the model's inputs have the same names.
    """
    if declaration.as_of is None:
        is_trained = places(frame, declaration.inputs) < 1 - declaration.holdout
        return frame.filter(is_trained), frame.filter(~is_trained)
    return cut_by_time(frame, declaration.holdout)


def split_again(seen: pl.DataFrame, declaration: ModelDeclaration) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows to train on cut once more by the same rule, such that the part to validate on is the same share of them."""
    if declaration.as_of is None:
        is_learned = places(seen, declaration.inputs) < (1 - declaration.holdout) ** 2
        return seen.filter(is_learned), seen.filter(~is_learned)
    return cut_by_time(seen, declaration.holdout)


def cut_by_time(frame: pl.DataFrame, holdout: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows up to an instant, and the later ones.

    >>> frame = pl.DataFrame({"as_of": [1, 2, 2, 3, 4]})
    >>> [part.height for part in cut_by_time(frame, 0.5)]
    [3, 2]
    """
    cut: Any = frame[AS_OF][max(round(frame.height * (1 - holdout)) - 1, 0)]
    return frame.filter(pl.col(AS_OF) <= cut), frame.filter(pl.col(AS_OF) > cut)


def in_places(frame: pl.DataFrame, inputs: Sequence[str], label: str) -> pl.DataFrame:
    """The rows in the order of their places, then of their labels: the same table in whatever order they came."""
    place = places(frame, inputs)
    floats = pl.selectors.float()
    # Minus zero is zero, so that rows which are equal have equal bits.
    return frame.with_columns(pl.when(floats == 0).then(0.0).otherwise(floats).name.keep(), place).sort(place.name, label).drop(place.name)


def places(frame: pl.DataFrame, inputs: Sequence[str]) -> pl.Series:
    """Where each row stands in [0, 1), by its inputs alone, evenly spread; the order of the columns makes no difference.

    >>> rows = pl.DataFrame({"hour": [9, 3, 9], "origin": ["JFK", None, "JFK"]})
    >>> places(rows, ["hour", "origin"]).round(4).to_list()
    [0.3304, 0.0461, 0.3304]
    """
    hashes = np.zeros(frame.height, np.uint64)
    for name in sorted(inputs):
        hashes = _mixed(hashes ^ np.uint64(_text_hash(name)))
        hashes = _mixed(hashes ^ _values(frame[name]))
    # 53 bits are what a float64 holds exactly.
    return pl.Series("\x1fplace", (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _values(column: pl.Series) -> Hashes:
    """A number of 64 bits for each value: whole numbers and flags themselves, a float's bits, the hash of a text."""
    if column.dtype.is_integer() or column.dtype == pl.Boolean:
        numbers = column.fill_null(0 if column.dtype.is_integer() else False).to_numpy().astype(np.uint64)
    elif column.dtype.is_float():
        floats = column.cast(pl.Float64).fill_null(0.0).to_numpy() + 0.0  # minus zero is zero
        numbers = np.where(np.isnan(floats), np.nan, floats).view(np.uint64)
    else:
        texts = column.cast(pl.String)
        known = {text: _text_hash(text) for text in texts.drop_nulls().unique().to_list()}
        numbers = np.array([known.get(text, 0) for text in texts.to_list()], np.uint64)
    return np.where(column.is_null().to_numpy(), MISSING, numbers)


def _text_hash(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _mixed(bits: Hashes) -> Hashes:
    """SplitMix64's finalizer (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))

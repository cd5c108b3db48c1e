"""The k-th smallest and the number of smaller ones in many ranges of a column at once, by a wavelet tree. Pure.

The column is split by one bit of its ranks after another, from the highest on, zeros before ones; how many zeros lie before a
place carries a range from one level to the next. Only one level is held at a time. Source: Grossi, Gupta, Vitter,
High-order entropy-compressed text indexes, SODA 2003; laid out as a wavelet matrix, SPIRE 2012.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Ints = npt.NDArray[np.int64]


class Extras(Struct, frozen=True):
    """More values of some questions, as ranks by (question, rank), and where each question's begin and end."""

    ranks: Ints
    begin: Ints
    end: Ints


def _levels(ranks: Ints) -> Iterator[tuple[int, npt.NDArray[np.signedinteger[Any]]]]:
    """From the highest bit on: the bit, and how many zeros lie before each place of that level; the last entry counts all."""
    level = ranks.astype(np.uint32)  # as many ranks as a bucket has rows, and one more
    zeros = np.zeros(len(level) + 1, np.int32)
    for bit in reversed(range(int(level.max(initial=0)).bit_length())):
        is_zero = (level & np.uint32(1 << bit)) == 0
        np.cumsum(is_zero, out=zeros[1:])
        yield bit, zeros
        level = np.concatenate([level[is_zero], level[~is_zero]])


def smallest(ranks: Ints, begin: Ints, end: Ints, place: Ints, extras: Extras | None = None) -> Ints:
    """For each question, the rank at `place` (from 0) of those in `ranks[begin:end]` and its extras, in order.

    >>> smallest(np.array([3, 1, 2]), np.array([0, 1]), np.array([3, 3]), np.array([0, 1])).tolist()
    [1, 2]
    """
    found, place = np.zeros(len(place), np.int64), place.copy()
    first, last = (extras.begin, extras.end) if extras else (place, place)
    most = int(extras.ranks.max(initial=0)) if extras else 0
    for bit, zeros in _levels(_padded(ranks, most)):
        low, high = zeros[begin], zeros[end]
        left = high - low
        middle = first
        if extras:
            middle = _lower(extras.ranks, first, last, found | (1 << bit))
            left = left + middle - first
        is_right = place >= left
        place -= np.where(is_right, left, 0)
        begin, end = np.where(is_right, begin - low + zeros[-1], low), np.where(is_right, end - high + zeros[-1], high)
        first, last = np.where(is_right, middle, first), np.where(is_right, last, middle)
        found |= is_right.astype(np.int64) << bit
    return found


def count_below(numbers: Ints, begin: Ints, end: Ints, bound: Ints) -> Ints:
    """How many of `numbers[begin:end]`, none of which is negative, lie below each question's bound.

    >>> count_below(np.array([3, 1, 2]), np.array([0, 1]), np.array([3, 3]), np.array([3, 2])).tolist()
    [2, 1]
    """
    counts = np.zeros(len(bound), np.int64)
    for bit, zeros in _levels(_padded(numbers, int(bound.max(initial=0)))):
        low, high = zeros[begin], zeros[end]
        is_right = (bound >> bit) & 1 == 1
        counts += np.where(is_right, high - low, 0)
        begin, end = np.where(is_right, begin - low + zeros[-1], low), np.where(is_right, end - high + zeros[-1], high)
    return counts


def _padded(ranks: Ints, most: int) -> Ints:
    """The ranks and, behind all ranges, one that has every bit that is asked for."""
    return np.append(ranks, most) if most > int(ranks.max(initial=0)) else ranks


def _lower(ranks: Ints, begin: Ints, end: Ints, bound: Ints) -> Ints:
    """For each question, the first place in its part of `ranks`, which rises there, that is not below its bound."""
    # Mostly few questions have any.
    some = np.flatnonzero(end > begin)
    low, high, wanted = begin[some], end[some], bound[some]
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        is_open, is_below = low < high, ranks[np.minimum(middle, len(ranks) - 1)] < wanted
        low = np.where(is_open & is_below, middle + 1, low)
        high = np.where(is_open & ~is_below, middle, high)
    found = begin.copy()
    found[some] = low
    return found

"""Exact sums of numbers and of their squares, and the standard deviation that follows from them.

A deviation is a small difference of large sums, so both are kept as whole numbers of one unit and only the last steps
round. So tiles online and running sums offline give the same bits, whatever unit each has chosen. Owns this arithmetic.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features.exact import MOST_BITS, Floats, Ints, Span, rounded, wholes_and_units

Objects = npt.NDArray[np.object_]


class Moments(Struct, frozen=True):
    """Numbers and their squares as whole numbers of `2**exponent` and of its square: one a row, or running from 0.

    They are 128-bit columns where all their sums fit, else Python's whole numbers.
    """

    exponent: int
    firsts: pl.Series | Objects
    seconds: pl.Series | Objects


def moments(values: pl.Series) -> Moments:
    """The numbers of an Int64 or Float64 column and their squares; nulls are 0. All are finite."""
    wholes, shifts, unit, bits = wholes_and_units(values)
    if bits <= 62 and 2 * bits + 2 * len(values).bit_length() <= MOST_BITS:
        firsts = pl.Series(wholes << shifts).cast(pl.Int128)
        return Moments(unit, firsts, firsts * firsts)
    whole = np.empty(len(wholes), object)
    whole[:] = [number << shift for number, shift in zip(wholes.tolist(), shifts.tolist(), strict=True)]
    return Moments(unit, whole, whole * whole)


def running_moments(made: Moments, order: Ints, keep: npt.NDArray[np.bool_] | None = None) -> Moments:
    """The running sums in `order`, beginning with 0; rows that `keep` denies add nothing."""
    return Moments(made.exponent, _running(made.firsts, order, keep), _running(made.seconds, order, keep))


def _running(column: pl.Series | Objects, order: Ints, keep: npt.NDArray[np.bool_] | None) -> pl.Series | Objects:
    if isinstance(column, pl.Series):
        found = column.gather(pl.Series(order))
        if keep is not None:
            found = found.set(pl.Series(~keep[order]), 0)
        return pl.concat([pl.Series([0], dtype=pl.Int128), found.cum_sum()])
    picked = column[order] if keep is None else np.where(keep[order], column[order], 0)
    sums = np.zeros(len(picked) + 1, object)
    sums[1:] = np.cumsum(picked)
    return sums


def deviations(upper: Moments, lower: Moments, counts: Ints, span: Span) -> Floats:
    """The standard deviations of what `upper` holds less what `lower` holds over `span`; 0 where fewer than two are counted."""
    firsts, seconds = _between(upper.firsts, lower.firsts, span), _between(upper.seconds, lower.seconds, span)
    if isinstance(firsts, pl.Series) and isinstance(seconds, pl.Series):
        spread = pl.Series(counts).cast(pl.Int128) * seconds - firsts * firsts
        parts, powers = np.frexp(spread.cast(pl.Float64).to_numpy())
    else:
        wholes = counts.astype(object) * seconds - firsts * firsts
        found = [_fraction(whole) for whole in wholes.tolist()]
        parts, powers = np.array([one[0] for one in found]), np.array([one[1] for one in found], np.int64)
    pairs = np.maximum(counts * (counts - 1), 1).astype(np.float64)
    ends = powers.astype(np.int64) + 2 * upper.exponent
    is_odd = ends % 2 != 0
    with np.errstate(over="ignore"):
        result: Floats = np.ldexp(np.sqrt(np.where(is_odd, 2 * parts, parts) / pairs), (ends - is_odd) // 2)
    return np.where(counts > 1, result, 0.0)


def _between(upper: pl.Series | Objects, lower: pl.Series | Objects, span: Span) -> Any:
    if isinstance(upper, pl.Series) and isinstance(lower, pl.Series):
        return span.between(upper, lower)
    found = upper[span.until] - lower[span.since]
    if span.more is not None:
        questions, rows = span.more
        np.add.at(found, questions, lower[rows + 1] - lower[rows])
    return found


def deviation(first: int, second: int, exponent: int, count: int) -> float | None:
    """The standard deviation (divided by count - 1) of numbers with those exact sums, in units of `2**exponent` and its square.

    >>> deviation(1 + 2 + 3, 1 + 4 + 9, 0, 3)
    1.0
    """
    if count < 2:
        return None
    part, power = _fraction(count * second - first * first)
    end = power + 2 * exponent
    if end % 2:
        part, end = 2 * part, end - 1
    try:
        return math.ldexp(math.sqrt(part / float(count * (count - 1))), end // 2)
    except OverflowError:
        return math.inf


def _fraction(whole: int) -> tuple[float, int]:
    """`whole`, rounded once, as a float between a half and one, and a power of two."""
    power = whole.bit_length()
    return rounded(whole, -power), power

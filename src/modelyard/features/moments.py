"""Exact sums of numbers and of their squares, and the standard deviation that follows from them.

A deviation is a small difference of large sums, so both are kept exactly and only the last steps round. So tiles online and
running sums offline give the same bits, whatever unit each has chosen. Owns this arithmetic.
"""

import math

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features.exact import Band, Bands, Floats, Ints, Span, banded, rounded, running, wholes_and_units

HALF_BITS = 27
MOST_SMALL_BITS = 62


class Moments(Struct, frozen=True):
    """Numbers and their squares as exact addends or running sums, in bands of their own."""

    firsts: Bands
    seconds: Bands


def moments(values: pl.Series) -> Moments:
    """The numbers of an Int64 or Float64 column and their squares; nulls are 0. All are finite."""
    wholes, shifts, unit, bits = wholes_and_units(values)
    firsts = banded(wholes, shifts, unit, bits)
    largest = int(np.abs(wholes).max(initial=0)).bit_length()
    if 2 * largest <= MOST_SMALL_BITS:
        return Moments(firsts, banded(wholes * wholes, 2 * shifts, 2 * unit, 2 * bits))
    # A square is wider than 64 bits, but the products of the number's halves are not.
    high, low = np.abs(wholes) >> HALF_BITS, np.abs(wholes) & ((1 << HALF_BITS) - 1)
    products = ((high * high, 2 * HALF_BITS), (high * low, HALF_BITS + 1), (low * low, 0))
    return Moments(firsts, tuple(band for part, power in products for band in banded(part, 2 * shifts, 2 * unit + power, 2 * bits)))


def running_moments(made: Moments, order: Ints, keep: npt.NDArray[np.bool_] | None = None) -> Moments:
    """The running sums in `order`, beginning with 0; rows that `keep` denies add nothing."""
    return Moments(running(made.firsts, order, keep), running(made.seconds, order, keep))


def deviations(upper: Moments, lower: Moments, counts: Ints, span: Span) -> Floats:
    """The standard deviations of what `upper` holds less what `lower` holds over `span`; 0 where fewer than two are counted."""
    firsts, seconds = (
        tuple(Band(high.exponent, span.between(high.wholes, low.wholes)) for high, low in zip(ups, lows, strict=True))
        for ups, lows in ((upper.firsts, lower.firsts), (upper.seconds, lower.seconds))
    )
    parts, ends = _spreads(firsts, seconds, counts)
    pairs = np.maximum(counts * (counts - 1), 1).astype(np.float64)
    is_odd = ends % 2 != 0
    with np.errstate(over="ignore"):
        result: Floats = np.ldexp(np.sqrt(np.where(is_odd, 2 * parts, parts) / pairs), (ends - is_odd) // 2)
    return np.where(counts > 1, result, 0.0)


def _spreads(firsts: Bands, seconds: Bands, counts: Ints) -> tuple[Floats, Ints]:
    """For each question n S2 - S1 S1, rounded once, as a number between a half and one and a power of two."""
    if len(firsts) == len(seconds) == 1 and 2 * firsts[0].exponent == seconds[0].exponent and _fits(firsts[0], seconds[0], counts):
        number = firsts[0].wholes.cast(pl.Int128)
        spread = pl.Series(counts).cast(pl.Int128) * seconds[0].wholes.cast(pl.Int128) - number * number
        parts, powers = np.frexp(spread.cast(pl.Float64).to_numpy())
        return parts, powers.astype(np.int64) + seconds[0].exponent
    unit = min((2 * firsts[0].exponent, *(band.exponent for band in seconds)))
    unit -= unit % 2
    found = [
        _fraction(count * second - first * first)
        for count, first, second in zip(counts.tolist(), _totals(firsts, unit // 2), _totals(seconds, unit), strict=True)
    ]
    return np.array([part for part, _ in found]), np.array([power for _, power in found], np.int64) + unit


def _fits(first: Band, second: Band, counts: Ints) -> bool:
    """Whether 128 bits hold what a spread is the difference of."""
    largest = [max(abs(int(one.max() or 0)), abs(int(one.min() or 0))) for one in (first.wholes, second.wholes)]  # type: ignore[arg-type]
    return max(2 * largest[0].bit_length(), largest[1].bit_length() + int(counts.max(initial=0)).bit_length()) <= 126


def _totals(bands: Bands, unit: int) -> list[int]:
    """The bands put together, as whole numbers of `2**unit`."""
    columns = [[whole << (band.exponent - unit) for whole in band.wholes.to_list()] for band in bands]
    return columns[0] if len(columns) == 1 else [sum(wholes) for wholes in zip(*columns, strict=True)]


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

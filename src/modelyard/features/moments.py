"""Exact sums of numbers and of their squares, and the standard deviation that follows from them.

A deviation is a small difference of large sums, so both are kept exactly and only the last steps round. So tiles online and
running sums offline give the same bits, whatever unit each has chosen. Owns this arithmetic.
"""

import math

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features import digits
from modelyard.features.exact import Band, Bands, Floats, Ints, Span, addends, band_digits, rounded, running


class Moments(Struct, frozen=True):
    """Numbers and their squares as exact addends or running sums, in bands of their own."""

    firsts: Bands
    seconds: Bands


def moments(values: pl.Series) -> Moments:
    """The numbers of an Int64 or Float64 column and their squares; nulls are 0. All are finite."""
    firsts = addends(values)
    unit = firsts[0].exponent
    mine = band_digits(firsts, unit)
    squares = digits.product(mine, mine)
    seconds = tuple(Band(2 * unit + place * digits.DIGIT_BITS, digit) for place, digit in enumerate(squares) if digit.any())
    return Moments(firsts, seconds or (Band(2 * unit, squares[0]),))


def running_moments(made: Moments, order: Ints | None = None, keep: npt.NDArray[np.bool_] | None = None) -> Moments:
    """The running sums in `order`, beginning with 0; rows that `keep` denies add nothing."""
    return Moments(running(made.firsts, order, keep), running(made.seconds, order, keep))


def deviations(upper: Moments, lower: Moments, counts: Ints, span: Span) -> Floats:
    """The standard deviations of what `upper` holds less what `lower` holds over `span`; 0 where fewer than two are counted."""
    firsts, seconds = span.bands_between(upper.firsts, lower.firsts), span.bands_between(upper.seconds, lower.seconds)
    # n S2 - S1 S1, rounded once, as a number between a half and one and a power of two.
    unit = min(firsts[0].exponent, seconds[0].exponent // 2)
    total = band_digits(firsts, unit)
    of_squares = digits.product(band_digits(seconds, 2 * unit), [counts])
    parts, powers = digits.rounded(digits.difference(of_squares, digits.product(total, total)))
    pairs = np.maximum(counts * (counts - 1), 1).astype(np.float64)
    is_odd = powers % 2 != 0
    with np.errstate(over="ignore"):
        result: Floats = np.ldexp(np.sqrt(np.where(is_odd, 2 * parts, parts) / pairs), (powers - is_odd) // 2 + unit)
    return np.where(counts > 1, result, 0.0)


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

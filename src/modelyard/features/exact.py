"""Exact sums of floating-point numbers, so that sums by parts equal sums at once, bit for bit.

A float is a whole number times a power of two. Sums are kept as whole numbers of the smallest unit that occurs and are
rounded once, when they are read. Owns the arithmetic of columns (in bands of 64-bit integers) and of single values.
"""

import math

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

from modelyard.features import digits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MANTISSA_BITS = 53
SUM_BITS = 62
"""What a running sum may take of 64 bits."""
MOST_BAND_BITS = 44
"""Of a number's parts: two neighbours' sums, with what is carried, are added as floats without a loss."""
LEAST_EXPONENT = -1074
"""Of the smallest float there is."""


def whole_and_exponent(value: float) -> tuple[int, int]:
    """`value` as (n, e) with value = n * 2**e, and e <= 0.

    >>> whole_and_exponent(0.75), whole_and_exponent(3)
    ((3, -2), (3, 0))
    """
    whole, divisor = value.as_integer_ratio()
    return whole, 1 - divisor.bit_length()


def rounded(whole: int, exponent: int) -> float:
    """The float nearest to `whole * 2**exponent`, ties to even; an infinity beyond the largest.

    >>> rounded(3, -2)
    0.75
    """
    try:
        # Dividing whole numbers rounds correctly, also below the smallest normal number.
        return whole / (1 << -exponent) if exponent < 0 else float(whole << exponent)
    except OverflowError:
        return math.inf if whole > 0 else -math.inf


def mean(whole: int, exponent: int, count: int) -> float | None:
    """The mean of `count` numbers whose exact sum is `whole * 2**exponent`: the rounded sum over the count."""
    return rounded(whole, exponent) / count if count else None


class Band(Struct, frozen=True):
    """Whole numbers in units of `2**exponent`, one a row (of addends) or one more than rows (of running sums)."""

    exponent: int
    wholes: Ints


Bands = tuple[Band, ...]
"""Numbers as sums over bands, the lowest exponent first: 64 bits do not hold the sums of all of a number's bits."""


def addends(values: pl.Series) -> Bands:
    """The numbers of an Int64 or Float64 column as exact addends; nulls add nothing. All are finite."""
    filled = values.fill_null(0).to_numpy()
    bits = min(SUM_BITS - len(filled).bit_length(), MOST_BAND_BITS)
    return _whole_bands(filled, bits) if values.dtype == pl.Int64 else _float_bands(filled, bits)


def _whole_bands(wholes: Ints, bits: int) -> Bands:
    largest = max(int(wholes.max(initial=0)), -int(wholes.min(initial=0)))
    if largest.bit_length() + len(wholes).bit_length() <= SUM_BITS:
        return (Band(0, wholes),)
    return (Band(0, wholes & ((1 << bits) - 1)), Band(bits, wholes >> bits))


def _float_bands(values: Floats, bits: int) -> Bands:
    """Bands of `bits` each, the parts of a number having its sign; those in which no number has a part are left out."""
    sizes = np.abs(values)
    largest, least = float(sizes.max(initial=0)), float(sizes.min(initial=np.inf))
    if not largest:
        return (Band(0, np.zeros(len(values), np.int64)),)
    least = least or float(np.min(sizes, where=sizes > 0, initial=largest))
    unit = max(math.frexp(least)[1] - MANTISSA_BITS, LEAST_EXPONENT)
    found, left = [], values
    for exponent in reversed(range(unit, math.frexp(largest)[1], bits)):
        # All of this is exact: powers of two divide, what is behind the point is cut off, and what is left has fewer bits.
        scaled = np.divide(left, 2.0**exponent, out=sizes)
        wholes = scaled.astype(np.int64)
        if wholes.any():
            found.append(Band(exponent, wholes))
        if exponent > unit:
            left = left - np.multiply(wholes, 2.0**exponent, out=sizes)
    return tuple(reversed(found))


def running(numbers: Bands, order: Ints | None = None, keep: npt.NDArray[np.bool_] | None = None) -> Bands:
    """The running sums of `numbers` in `order`, beginning with 0; rows that `keep` denies add nothing."""
    return tuple(Band(band.exponent, running_sum(band.wholes, order, keep)) for band in numbers)


def running_sum(wholes: Ints, order: Ints | None, keep: npt.NDArray[np.bool_] | None) -> Ints:
    """The running sum of whole numbers in `order`, beginning with 0, of those that `keep` names."""
    kept = wholes if keep is None else np.where(keep, wholes, 0)
    sums = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(kept if order is None else kept[order], out=sums[1:])
    return sums


class Span(Struct, frozen=True):
    """Which parts of running sums a question asks for: all before `until` of the one, less all before `since` of another.

    `more` adds single rows of the latter to some questions: (question, row) pairs. `known` is what was found at `until`, by
    the running sums' identity: for spans that end in the same places.
    """

    until: Ints
    since: Ints
    more: tuple[Ints, Ints] | None = None
    known: dict[int, Ints] | None = None

    def between(self, upper: Ints, lower: Ints) -> Ints:
        """The running sums `upper` less `lower`."""
        found = self._at_end(upper) - lower[self.since]
        if self.more is not None:
            questions, rows = self.more
            np.add.at(found, questions, lower[rows + 1] - lower[rows])
        return found

    def _at_end(self, upper: Ints) -> Ints:
        if self.known is None:
            return upper[self.until]
        if id(upper) not in self.known:
            self.known[id(upper)] = upper[self.until]
        return self.known[id(upper)]

    def rows(self) -> Ints:
        """How many rows there are in between."""
        found = self.until - self.since
        return found if self.more is None else found + np.bincount(self.more[0], minlength=len(found))

    def bands_between(self, upper: Bands, lower: Bands) -> Bands:
        """The running sums `upper` less `lower`, both of the same numbers."""
        return tuple(Band(high.exponent, self.between(high.wholes, low.wholes)) for high, low in zip(upper, lower, strict=True))


def sums_between(upper: Bands, lower: Bands, span: Span) -> Floats:
    """The running sums `upper` less `lower` over `span`, each rounded once. Both are of the same numbers."""
    parts = span.bands_between(upper, lower)
    with np.errstate(over="ignore"):
        if len(parts) == 1:
            single: Floats = np.ldexp(parts[0].wholes.astype(np.float64), parts[0].exponent)
            return single
        low, high = parts[0].wholes, parts[1].wholes
        gap = parts[1].exponent - parts[0].exponent
        if len(parts) == 2 and gap <= MOST_BAND_BITS:
            high = high + (low >> gap)
            if int(np.abs(high).max(initial=0)) < 1 << MANTISSA_BITS:
                # Both terms are floats without rounding, so that their sum is what is rounded.
                pairs: Floats = np.ldexp(np.ldexp(high.astype(np.float64), gap) + (low & ((1 << gap) - 1)), parts[0].exponent)
                return pairs
        fractions, powers = digits.rounded(band_digits(parts, parts[0].exponent))
        sums: Floats = np.ldexp(fractions, powers + parts[0].exponent)
        return sums


def band_digits(bands: Bands, exponent: int) -> digits.Digits:
    """The numbers as digits, in units of `2**exponent`, which is no more than the lowest band's."""
    return digits.digits_of([(band.exponent - exponent, band.wholes) for band in bands])

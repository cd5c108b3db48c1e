"""Exact sums of floating-point numbers, so that sums by parts equal sums at once, bit for bit.

A float is a whole number times a power of two. Sums are kept as whole numbers of the smallest unit that occurs and are
rounded once, when they are read. Owns the arithmetic of columns (Polars' 128-bit integers) and of single values.
"""

import math

import numpy as np
import numpy.typing as npt
import polars as pl
from msgspec import Struct

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MANTISSA_BITS = 53
MOST_BITS = 126
BAND_BITS = 32
"""Numbers whose units lie further apart than this are added up apart where one 128-bit sum cannot hold all."""


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
    wholes: pl.Series


Bands = tuple[Band, ...]
"""Numbers as sums over bands; one band unless their sizes differ by some twenty orders of magnitude."""


def addends(values: pl.Series) -> Bands:
    """The numbers of an Int64 or Float64 column as exact addends; nulls add nothing. All are finite."""
    return banded(*wholes_and_units(values))


def banded(wholes: Ints, shifts: Ints, unit: int, bits: int) -> Bands:
    """The numbers `wholes << shifts` of at most so many `bits`, in units of `2**unit`: in one band where a sum of all of them fits."""
    bits += len(wholes).bit_length()
    if bits <= MOST_BITS:
        return (_band(wholes, shifts, unit, bits),)
    places = shifts // BAND_BITS
    return tuple(
        _band(
            np.where(places == place, wholes, 0),
            np.where(places == place, shifts - BAND_BITS * place, 0),
            unit + BAND_BITS * place,
            MOST_BITS,
        )
        for place in (int(one) for one in np.unique(places))
    )


def wholes_and_units(values: pl.Series) -> tuple[Ints, Ints, int, int]:
    """Each number as whole << shift, in units of two to some power; that power, and the bits that the largest needs.

    The columns are Int64 or Float64, of finite numbers; a null is 0.
    """
    filled = values.fill_null(0).to_numpy()
    if values.dtype == pl.Int64:
        largest = max(int(filled.max(initial=0)), -int(filled.min(initial=0)))
        return filled, np.zeros(len(filled), np.int64), 0, largest.bit_length()
    fractions, ends = np.frexp(filled)
    wholes = (fractions * 2.0**MANTISSA_BITS).astype(np.int64)
    zeros = np.frexp((wholes & -wholes).astype(np.float64))[1] - 1
    is_zero = wholes == 0
    wholes >>= np.where(is_zero, 0, zeros)
    units = np.where(is_zero, 0, ends.astype(np.int64) - MANTISSA_BITS + zeros)
    unit = int(units.min(initial=0))  # never above 0, as single values' exponents are
    bits = int(np.where(is_zero, unit, ends).max(initial=unit)) - unit
    return wholes, np.where(is_zero, 0, units - unit), unit, bits


def _band(wholes: Ints, shifts: Ints, exponent: int, bits: int) -> Band:
    """`wholes << shifts`, where sums of them have at most so many `bits`."""
    if bits <= 62:
        return Band(exponent, pl.Series(wholes << shifts))
    powers = pl.Series([2**power for power in range(int(shifts.max(initial=0)) + 1)], dtype=pl.Int128)
    return Band(exponent, pl.Series(wholes).cast(pl.Int128) * powers.gather(pl.Series(shifts)))


def running(numbers: Bands, order: Ints, keep: npt.NDArray[np.bool_] | None = None) -> Bands:
    """The running sums of `numbers` in `order`, beginning with 0; rows that `keep` denies add nothing."""
    made = []
    for band in numbers:
        wholes = band.wholes.gather(pl.Series(order))
        if keep is not None:
            wholes = wholes.set(pl.Series(~keep[order]), 0)
        made.append(Band(band.exponent, pl.concat([pl.Series([0], dtype=wholes.dtype), wholes.cum_sum()])))
    return tuple(made)


class Span(Struct, frozen=True):
    """Which parts of running sums a question asks for: all before `until` of the one, less all before `since` of another.

    `more` adds single rows of the latter to some questions: (question, row) pairs.
    """

    until: Ints
    since: Ints
    more: tuple[Ints, Ints] | None = None

    def between(self, upper: pl.Series, lower: pl.Series) -> pl.Series:
        """The running sums `upper` less `lower`."""
        found = upper.gather(pl.Series(self.until)) - lower.gather(pl.Series(self.since))
        if self.more is None:
            return found
        questions, rows = self.more
        single = lower.gather(pl.Series(rows + 1)) - lower.gather(pl.Series(rows))
        added = pl.DataFrame({"q": questions, "n": single}).group_by("q").agg(pl.col("n").sum())
        every = pl.DataFrame({"q": np.arange(len(found))}).join(added, on="q", how="left", maintain_order="left")
        return found + every["n"].fill_null(0)


def sums_between(upper: Bands, lower: Bands, span: Span) -> Floats:
    """The running sums `upper` less `lower` over `span`, each rounded once. Both are of the same numbers."""
    parts = [Band(high.exponent, span.between(high.wholes, low.wholes)) for high, low in zip(upper, lower, strict=True)]
    if len(parts) == 1:
        with np.errstate(over="ignore"):
            sums: Floats = np.ldexp(parts[0].wholes.cast(pl.Float64).to_numpy(), parts[0].exponent)
            return sums
    unit = parts[0].exponent
    columns = [[whole << (part.exponent - unit) for whole in part.wholes.to_list()] for part in parts]
    return np.array([rounded(sum(wholes), unit) for wholes in zip(*columns, strict=True)], dtype=np.float64)


def between(upper: Ints, lower: Ints, span: Span) -> Ints:
    """The running counts `upper` less `lower` over `span`."""
    return span.between(pl.Series(upper), pl.Series(lower)).to_numpy()

import math
from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.features import digits

WHOLES = st.lists(
    st.integers(-(2**200), 2**200) | st.integers(-3, 3) | st.builds(lambda one, up: one << up, st.integers(-9, 9), st.integers(0, 190))
)
PARTS = st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62)), min_size=1, max_size=5)


def of_wholes(wholes: list[int]) -> digits.Digits:
    """Columns of digits as they may come: of any sign, each number's lowest digits first."""
    length = max((abs(one).bit_length() for one in wholes), default=0) // 28 + 1
    sizes = [[(abs(one) >> 28 * place & digits.MASK) * (-1 if one < 0 else 1) for one in wholes] for place in range(length)]
    return digits.carried([np.array(column, dtype=np.int64) for column in sizes])


def wholes_of(found: digits.Digits) -> list[int]:
    return [sum(int(digit) << 28 * place for place, digit in enumerate(row)) for row in zip(*found, strict=True)]


@given(WHOLES)
def test_digits_hold_every_whole_number_and_round_it_once(wholes: list[int]) -> None:
    found = of_wholes(wholes)
    assert wholes_of(found) == wholes
    fractions, powers = digits.rounded(found)
    assert [math.ldexp(part, power) for part, power in zip(fractions.tolist(), powers.tolist(), strict=True)] == list(map(float, wholes))


@settings(max_examples=60)
@given(WHOLES, st.randoms())
def test_products_and_differences_are_exact(wholes: list[int], shuffler: object) -> None:
    others = list(reversed(wholes))
    assert wholes_of(digits.product(of_wholes(wholes), of_wholes(others))) == [
        one * other for one, other in zip(wholes, others, strict=True)
    ]
    assert wholes_of(digits.difference(of_wholes(wholes), of_wholes(others))) == [
        one - other for one, other in zip(wholes, others, strict=True)
    ]


@given(st.lists(st.integers(0, 150), min_size=1, max_size=4), st.data())
def test_sums_in_bands_that_overlap_come_together(shifts: list[int], data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=len(shifts), max_size=len(shifts)), min_size=1, max_size=5)
    )
    found = digits.digits_of([(shift, np.array([row[place] for row in rows])) for place, shift in enumerate(shifts)])
    assert wholes_of(found) == [sum(whole << shift for whole, shift in zip(row, shifts, strict=True)) for row in rows]
    fractions, powers = digits.rounded(found)
    assert [
        Fraction(part) * Fraction(2) ** power == float(whole)
        for part, power, whole in zip(fractions.tolist(), powers.tolist(), wholes_of(found), strict=True)
    ] == [True] * len(rows)

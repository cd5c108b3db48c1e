"""Exact whole numbers of any size, one a row: a list of digits in base 2**28, the lowest first, each digit a column.

What needs more than 64 bits is added, multiplied and rounded with them a column at a time. Owns this arithmetic.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Digits = list[Ints]
"""All but the highest, which has the sign, lie in [0, 2**28) once they are `carried`."""

DIGIT_BITS = 28
MASK = (1 << DIGIT_BITS) - 1
_CUT = 16
"""Bits of two digits that are added last, with what comes below them."""


def digits_of(parts: Sequence[tuple[int, Ints]]) -> Digits:
    """The digits of sums of `wholes << shift`, of which the parts are (shift, wholes) with fewer than 63 bits."""
    length = max(shift for shift, _ in parts) // DIGIT_BITS + 3
    found = [np.zeros(len(parts[0][1]), np.int64) for _ in range(length)]
    for shift, wholes in parts:
        place, bits = divmod(shift, DIGIT_BITS)
        found[place] += (wholes & MASK) << bits
        found[place + 1] += ((wholes >> DIGIT_BITS) & MASK) << bits
        found[place + 2] += (wholes >> 2 * DIGIT_BITS) << bits
    return carried(found)


def carried(digits: Digits) -> Digits:
    """The same numbers, of digits that may have up to 62 bits and any sign: each within its base, with as few of them as hold all."""
    found, carry = [], np.zeros_like(digits[0])
    for digit in digits:
        full = digit + carry
        found.append(full & MASK)
        carry = full >> DIGIT_BITS
    while ((carry != 0) & (carry != -1)).any():
        found.append(carry & MASK)
        carry = carry >> DIGIT_BITS
    while len(found) > 1 and np.array_equal(found[-1], carry & MASK):
        found.pop()
    found[-1] = found[-1] + (carry << DIGIT_BITS)
    return found


def product(left: Digits, right: Digits) -> Digits:
    """The products."""
    found = [np.zeros_like(left[0]) for _ in range(len(left) + len(right))]
    for place, digit in enumerate(left):
        for other, factor in enumerate(right):
            found[place + other] += digit * factor
        if place % 16 == 15:  # before 64 bits are full
            found = _padded(carried(found), len(found))
    return carried(found)


def difference(left: Digits, right: Digits) -> Digits:
    """`left` less `right`."""
    length = max(len(left), len(right))
    return carried([one - other for one, other in zip(_padded(left, length), _padded(right, length), strict=True)])


def _padded(digits: Digits, length: int) -> Digits:
    return digits + [np.zeros_like(digits[0]) for _ in range(length - len(digits))]


def rounded(digits: Digits) -> tuple[Floats, Ints]:
    """Each number, rounded once, as a float between a half and one (or 0) and a power of two.

    >>> rounded([np.array([5])])
    (array([0.625]), array([3]))
    """
    is_negative = digits[-1] < 0
    sizes = carried([np.where(is_negative, -digit, digit) for digit in digits])
    nothing = np.zeros_like(sizes[0])
    table = np.stack([nothing, nothing, *sizes])
    lead = np.maximum(len(table) - 1 - np.argmax(table[::-1] != 0, axis=0), 2)
    first, second, third = (np.take_along_axis(table, (lead - below)[None], 0)[0] for below in range(3))
    is_more = (first != 0) & (np.argmax(table != 0, axis=0) < lead - 2)
    top = (first << DIGIT_BITS) + second
    # Both terms are floats without rounding, so that their sum is what is rounded; of what lies lower it counts that it is there.
    low = (top & ((1 << _CUT) - 1)) + (2 * third + is_more) * 2.0 ** -(DIGIT_BITS + 1)
    found = (top >> _CUT) * 2.0**_CUT + low
    fractions, powers = np.frexp(np.where(is_negative, -found, found))
    return fractions, powers + DIGIT_BITS * (lead - 3)

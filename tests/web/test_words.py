"""Numbers, times and sizes as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import SECOND, Instant
from modelyard.web.words import NONE, age, ago, number, percent, plural, points, short, signed, size, span

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.floats(0, 1))
def test_a_share_is_whole_or_nothing_only_where_it_is(share: float) -> None:
    text = percent(share)
    if 1e-8 < share < 1 - 1e-8:
        assert text not in ("0%", "100%")


@given(FINITE)
def test_a_number_reads_back_as_nearly_itself(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1234567.891, "1,234,568"), (0.00001234, "1.23e-05"), (-2.5, "-2.5"), (math.inf, "∞"), (math.nan, "NaN"), (99.996, "100")],
)
def test_a_number_keeps_four_significant_digits(value: float, text: str) -> None:
    assert number(value) == text


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_an_age_has_one_number_and_a_side(at: int, now: int) -> None:
    text = ago(Instant(at), Instant(now))
    assert text == "now" or text.startswith("in ") == (at > now)
    assert age(Instant(at), Instant(now)) in text


@pytest.mark.parametrize(("days", "text"), [(0.5, "12 h ago"), (12, "12 d ago"), (364, "364 d ago"), (400, "1 y ago"), (-9, "in 9 d")])
def test_ages_are_said_in_the_largest_unit_that_is_full(days: float, text: str) -> None:
    now = Instant(10**9 * SECOND)
    assert ago(Instant(now - round(days * 86400 * SECOND)), now) == text


@given(st.lists(st.none() | FINITE, max_size=60), st.integers(10, 200), st.integers(8, 60))
def test_a_sparkline_stays_in_its_box_and_in_order(values: list[float | None], width: int, height: int) -> None:
    corners = [tuple(map(float, corner.split(","))) for corner in points(values, width, height).split()]
    assert len(corners) == sum(value is not None for value in values)
    assert all(0 <= x <= width and 0 <= y <= height for x, y in corners)
    assert corners == sorted(corners, key=lambda corner: corner[0])


def test_what_is_not_known_is_said_in_one_way() -> None:
    assert {number(None), signed(None), percent(None), span(None), size(None)} == {NONE}


def test_words_agree_with_their_number() -> None:
    assert (plural(0, "model"), plural(1, "entry", "entries"), plural(2, "entry", "entries")) == ("0 models", "1 entry", "2 entries")


def test_a_short_form_keeps_both_ends() -> None:
    assert short("0193c5f2-a4b8-7d10-9e3c-0123456789ab") == "0193…89ab"
    assert short("") == ""

"""Filters and orders that nobody should write: each means something or is refused with what is wrong, whatever it is."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.tracking.domain import FilterInvalid
from modelyard.tracking.grammar import EXPERIMENTS, MODELS, RUNS, Comparison, Vocabulary, parse_filter, parse_order
from tests.tracking.test_grammar import comparisons

WORDS = "metrics params tags attributes . ` ' \" ( ) , AND or IN NOT LIKE IS NULL = != < >= 1e999 - 0x1 nan run_id a % ; -- /* \\ ä ²"
PIECES = st.sampled_from([*WORDS.split(" "), " ", "\0", "\u2028"])
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40)


@st.composite
def broken(draw: st.DrawFn) -> str:
    """A filter with something else in the place of a part of it."""
    text = " AND ".join(draw(st.lists(comparisons(), min_size=1, max_size=3)))
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:start] + draw(TEXTS) + text[end:]


@pytest.mark.parametrize("vocabulary", [RUNS, EXPERIMENTS, MODELS])
@given(text=TEXTS | broken())
def test_a_filter_is_read_or_refused(vocabulary: Vocabulary, text: str) -> None:
    with contextlib.suppress(FilterInvalid):
        assert all(isinstance(one, Comparison) for one in parse_filter(text, vocabulary))


@pytest.mark.parametrize("vocabulary", [RUNS, EXPERIMENTS, MODELS])
@given(text=TEXTS)
def test_an_order_is_read_or_refused(vocabulary: Vocabulary, text: str) -> None:
    with contextlib.suppress(FilterInvalid):
        read = parse_order(text, vocabulary)
        assert read.entity in vocabulary.entities
        assert read.is_ascending or text.lower().rstrip().endswith("desc")


@pytest.mark.parametrize("piece", ["1", "1.", "-1e", "a.", "`", "'", "\\'", " ", "("])
def test_a_long_filter_takes_time_by_its_length_alone(piece: str) -> None:
    begun = time.process_time()
    for text in (f"metrics.a < {piece * 30_000}a", f"metrics.a < {piece * 30_000}"):
        with contextlib.suppress(FilterInvalid):
            parse_filter(text, RUNS)
    assert time.process_time() - begun < 3  # one that backtracks takes half a minute for the digits

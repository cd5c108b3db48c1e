"""References and summaries: what is counted where, and that summaries merge."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.digests import Digest
from modelyard.monitoring.domain import (
    CategoryColumn,
    CategoryCounts,
    DifferentReference,
    NumberColumn,
    NumberCounts,
    Reference,
    UnusableReference,
)
from modelyard.monitoring.rules.profiles import MOST_BINS, MOST_CATEGORIES, profile
from modelyard.monitoring.rules.summaries import merged, summarise

DIGEST = Digest("sha256:" + "0" * 64)
NUMBERS = st.lists(st.one_of(st.none(), st.floats(-5, 15), st.just(float("inf")), st.just(float("nan"))), max_size=30)
WORDS = st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", "new", "newer"])), max_size=30)


def reference() -> Reference:
    frame = pl.DataFrame({"x": np.linspace(0, 10, 1000), "k": ["a", "b"] * 500})
    return profile(frame)


def window(numbers: list[float | None], words: list[str | None]) -> pl.DataFrame:
    size = min(len(numbers), len(words))
    return pl.DataFrame({"x": pl.Series(numbers[:size], dtype=pl.Float64), "k": pl.Series(words[:size], dtype=pl.String)})


@given(parts=st.lists(st.tuples(NUMBERS, WORDS), min_size=3, max_size=3))
def test_summaries_merge_in_any_order_to_the_summary_of_all_rows(parts: Any) -> None:
    against = reference()
    frames = [window(*part) for part in parts]
    a, b, c = (summarise(frame, against, DIGEST) for frame in frames)
    whole = summarise(pl.concat(frames), against, DIGEST)
    assert merged(merged(a, b), c) == merged(a, merged(b, c)) == merged(c, merged(b, a)) == whole


@given(numbers=NUMBERS, words=WORDS)
def test_every_row_is_counted_once(numbers: list[float | None], words: list[str | None]) -> None:
    frame = window(numbers, words)
    for counts in summarise(frame, reference(), DIGEST).columns.values():
        outside = counts.below + counts.above if isinstance(counts, NumberCounts) else counts.rare + counts.unseen
        assert sum(counts.counts) + outside + counts.missing + counts.invalid == frame.height


def test_the_bins_of_many_values_hold_about_equal_shares(random: np.random.Generator) -> None:
    column = profile(pl.DataFrame({"x": random.lognormal(0, 1, 50_000)})).columns[0]
    assert isinstance(column, NumberColumn)
    assert len(column.counts) == MOST_BINS
    assert not column.is_discrete
    assert max(column.counts) - min(column.counts) <= 1


def test_few_distinct_values_have_a_bin_each() -> None:
    column = profile(pl.DataFrame({"hour": [5, 5, 6, 23, None]})).columns[0]
    assert isinstance(column, NumberColumn)
    assert (column.edges, column.counts, column.low, column.high, column.missing) == ((5.0, 6.0), (2, 1, 1), 5.0, 23.0, 1)
    assert column.is_discrete


def test_a_reference_counts_its_own_rows_as_it_was_made(random: np.random.Generator) -> None:
    frame = pl.DataFrame({"x": random.exponential(1, 5000).round(2), "k": random.choice(list("abc"), 5000)})
    against = profile(frame)
    counts = summarise(frame, against, DIGEST).columns
    assert [counts[column.name].counts for column in against.columns] == [column.counts for column in against.columns]


def test_categories_beyond_the_most_frequent_are_rare_and_others_unseen() -> None:
    words = [f"w{i:03d}" for i in range(MOST_CATEGORIES + 10)]
    against = profile(pl.DataFrame({"k": [*words, *words[:MOST_CATEGORIES]]}))
    column = against.columns[0]
    assert isinstance(column, CategoryColumn)
    assert (len(column.categories), column.rare_count) == (MOST_CATEGORIES, 10)
    counts = summarise(pl.DataFrame({"k": ["w000", words[-1], "zz", "yy", "zz"]}), against, DIGEST).columns["k"]
    assert isinstance(counts, CategoryCounts)
    assert (counts.counts[0], counts.rare, counts.unseen, counts.examples) == (1, 1, 3, ("yy", "zz"))


def test_values_of_another_kind_are_invalid_and_nothing_is_lost() -> None:
    counts = summarise(pl.DataFrame({"x": ["1.5", "n/a", None, "2"]}), profile(pl.DataFrame({"x": [1.0, 2.0]})), DIGEST).columns["x"]
    assert (sum(counts.counts), counts.invalid, counts.missing) == (2, 1, 1)


def test_booleans_are_categories_and_dates_are_not_watched() -> None:
    frame = pl.DataFrame({"flag": [True, False, True], "day": [1, 2, 3]}).with_columns(pl.col("day").cast(pl.Date))
    assert [column.name for column in profile(frame).columns] == ["flag"]
    assert summarise(frame, profile(frame), DIGEST).columns["flag"].counts == (2, 1)


def test_a_column_that_one_window_lacks_is_missing_in_its_rows() -> None:
    against = profile(pl.DataFrame({"x": [1.0, 2.0], "k": ["a", "b"]}))
    whole = merged(
        summarise(pl.DataFrame({"x": [1.0], "k": ["a"]}), against, DIGEST), summarise(pl.DataFrame({"x": [2.0, 2.0]}), against, DIGEST)
    )
    assert (whole.rows, whole.columns["k"].missing) == (3, 2)


def test_summaries_against_two_references_do_not_merge() -> None:
    against = reference()
    one = summarise(window([1.0], ["a"]), against, DIGEST)
    other = summarise(window([1.0], ["a"]), against, Digest("sha256:" + "1" * 64))
    with pytest.raises(DifferentReference):
        merged(one, other)


@pytest.mark.parametrize("frame", [pl.DataFrame({"x": []}), pl.DataFrame({"y": [1]})])
def test_no_rows_or_no_column_make_no_reference(frame: pl.DataFrame) -> None:
    with pytest.raises(UnusableReference):
        profile(frame, columns=["x"])


def test_a_column_without_any_value_is_kept_for_its_missing_share() -> None:
    column = profile(pl.DataFrame({"x": pl.Series([None, None], dtype=pl.Float64)})).columns[0]
    assert (sum(column.counts), column.missing) == (0, 2)

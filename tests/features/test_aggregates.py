import math
from collections.abc import Sequence
from fractions import Fraction

import msgspec
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.features import exact
from modelyard.features.aggregates import aggregates_at, tape
from modelyard.features.domain import Aggregate, Entity, FeatureView, Parquet
from modelyard.features.join import Questions
from modelyard.features.rows import ROW, normalised
from tests.features.oracle import US, SourceRow, alike, source_rows, times, windowed

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)
USUAL = st.sampled_from([0.1, 0.2, 0.3, -7.25, 1e9, 1e-9, 3.0])
WINDOWS = ("10s", "200s")


OF_NUMBERS = ("mean", "count", "sum", "std", "min", "max", "first", "last", "distinct", "p90")
AGGREGATE = (
    Aggregate("x", OF_NUMBERS, dtype="float64"),
    Aggregate("n", ("mean", "std", "min", "last", "p50"), dtype="int64"),
    Aggregate("word", ("count", "first", "last", "distinct"), dtype="string"),
    Aggregate("x", ("count", "last", "p50"), where="n >= 0 AND NOT word = 'b'", name="some", dtype="float64"),
)
PLACES = {"x": 0, "n": 1, "word": 2, "some": 3}


def view() -> FeatureView:
    source = Parquet("rows.parquet", timestamp="at", created="made")
    return FeatureView("v", Entity("who"), source, aggregate=AGGREGATE, windows=WINDOWS)


def frame(rows: Sequence[SourceRow]) -> pl.LazyFrame:
    moment = pl.Datetime("us", "UTC")
    raw = pl.DataFrame(
        [
            pl.Series("who", [row.entity for row in rows], dtype=pl.String),
            pl.Series("at", [row.event for row in rows], dtype=pl.Int64).cast(moment),
            pl.Series("made", [row.created for row in rows], dtype=pl.Int64).cast(moment),
            pl.Series("x", [row.values[0] for row in rows], dtype=pl.Float64),
            pl.Series("n", [row.values[1] for row in rows], dtype=pl.Int32),
            pl.Series("word", [row.values[2] for row in rows], dtype=pl.String),
        ]
    ).with_row_index(ROW)
    return normalised(raw.lazy(), raw.schema, view())


def picked(row: SourceRow) -> SourceRow:
    """The row with a fourth value: the first where the condition of `some` holds."""
    x, n, word = row.values
    holds = n is not None and n >= 0 and word is not None and word != "b"
    return msgspec.structs.replace(row, values=(x, n, word, x if holds else None))


def check(rows: Sequence[SourceRow], labels: Sequence[tuple[str, int]], upto: Sequence[int] | None = None) -> None:
    keys = pl.DataFrame({"who": pl.Series([who for who, _ in labels], dtype=pl.String)})
    at = np.array([at for _, at in labels], dtype=np.int64)
    asked = Questions.of(keys, at, None if upto is None else np.array(upto, dtype=np.int64))
    answers = aggregates_at(tape(frame(rows).collect(), view()), view().outputs, asked)
    assert tuple(answers.columns) == view().names
    assert answers.height == len(labels)
    rows = [picked(row) for row in rows]
    for index, ((who, moment), answer) in enumerate(zip(labels, answers.rows(), strict=True)):
        there = [row for row in rows if upto is None or row.available <= upto[index]]
        for output, got in zip(view().outputs, answer, strict=True):
            wanted = windowed(there, who, moment, output.window.length_us, PLACES[output.column], output.function)
            assert alike(got, wanted, output.function), (who, moment, output.name, got, wanted)


WORDS = st.none() | st.sampled_from(["a", "b", "é"])
NAMES = st.sampled_from(["A", "B"])
LABELS = st.lists(st.tuples(NAMES | st.just("nobody"), times(70)), max_size=20)


@settings(max_examples=60)
@given(source_rows(st.tuples(st.none() | USUAL, st.none() | st.integers(-(2**31), 2**31 - 1), WORDS), NAMES), LABELS)
def test_windows_agree_with_a_loop_over_all_rows_late_ones_included(rows: list[SourceRow], labels: list[tuple[str, int]]) -> None:
    check(rows, labels)


@settings(max_examples=60)
@given(
    source_rows(st.tuples(st.none() | USUAL, st.none() | st.integers(-9, 9), WORDS), NAMES, most=40),
    st.lists(st.tuples(NAMES, times(60), times(60)), max_size=20),
)
def test_what_was_seen_up_to_an_instant_alone_decides_and_windows_go_by_the_other(
    rows: list[SourceRow], labels: list[tuple[str, int, int]]
) -> None:
    check(rows, [(who, at) for who, at, _ in labels], [upto for _, _, upto in labels])


@settings(max_examples=60)
@given(source_rows(st.tuples(FLOATS.filter(lambda x: abs(x) < 1e300), st.integers(-9, 9), WORDS), NAMES), LABELS)
def test_sums_are_exact_whatever_the_numbers_sizes(rows: list[SourceRow], labels: list[tuple[str, int]]) -> None:
    check(rows, labels)


def test_what_is_no_finite_number_is_no_observation() -> None:
    rows = [SourceRow("A", US, None, (value, 1, "a")) for value in (math.nan, math.inf, 2.0, None)]
    check(rows, [("A", 2 * US)])


def test_a_window_begins_behind_its_edge_and_ends_at_its_instant() -> None:
    rows = [SourceRow("A", at * US, None, (1.0, 1, "a")) for at in (0, 10, 20)]
    asked = Questions.of(pl.DataFrame({"who": ["A"] * 3}), np.array([10, 19, 20]) * US)
    counts = aggregates_at(tape(frame(rows).collect(), view()), view().outputs, asked)
    assert counts["x_count_10s"].to_list() == [1, 1, 1]
    assert counts["x_count_200s"].to_list() == [2, 2, 3]


def test_a_row_that_comes_after_its_window_has_passed_counts_in_no_shorter_window_but_in_a_longer_one() -> None:
    check(
        [SourceRow("A", 0, 15 * US, (1.0, 1, "a")), SourceRow("A", 12 * US, None, (5.0, 1, "b"))],
        [("A", at * US) for at in range(0, 220, 5)],
    )


@settings(max_examples=300)
@given(st.lists(FLOATS, max_size=30), st.data())
def test_running_sums_give_every_part_rounded_once(values: list[float], data: st.DataObject) -> None:
    order = np.arange(len(values))
    running = exact.running(exact.addends(pl.Series(values, dtype=pl.Float64)), order)
    until = data.draw(st.integers(0, len(values)))
    since = data.draw(st.integers(0, until))
    whole = sum(map(Fraction, values[since:until]), Fraction(0))
    try:
        wanted = float(whole)
    except OverflowError:
        wanted = math.inf if whole > 0 else -math.inf
    assert exact.sums_between(running, running, exact.Span(np.array([until]), np.array([since])))[0] == wanted


@given(FLOATS | st.integers(-(2**62), 2**62))
def test_a_number_is_its_whole_times_its_power(value: float) -> None:
    whole, exponent = exact.whole_and_exponent(value)
    assert exponent <= 0
    assert Fraction(whole) * Fraction(2) ** exponent == Fraction(value)
    assert exact.rounded(whole, exponent) == float(value)


def test_a_sum_beyond_the_largest_float_is_infinite() -> None:
    whole, exponent = exact.whole_and_exponent(-1.7e308)
    assert exact.rounded(2 * whole, exponent) == -math.inf
    running = exact.running(exact.addends(pl.Series([-1.7e308, -1.7e308])), np.arange(2))
    assert exact.sums_between(running, running, exact.Span(np.array([2]), np.array([0])))[0] == -math.inf

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.features import join
from modelyard.features.domain import Entity, FeatureView, Parquet
from modelyard.features.rows import CREATED, EVENT, ROW, normalised
from tests.features.oracle import US, SourceRow, latest, same, source_rows, times

DAY = 86_400 * US
ONE = Entity("who")
TWO = Entity("pair", keys={"who": "string", "number": "int64"})
VALUES = st.tuples(st.none() | st.sampled_from([1.5, -2.0, 3.0]), st.none() | st.sampled_from(["a", "b", "é"]))
NAMES = st.sampled_from(["A", "B", "C", ""])


def view(entity: Entity = ONE, ttl: str | None = None) -> FeatureView:
    source = Parquet("rows.parquet", timestamp="at", created="made")
    return FeatureView("v", entity, source, features={"x": "float64", "label": "string"}, ttl=ttl)


def frame(rows: Sequence[SourceRow], declared: FeatureView) -> pl.LazyFrame:
    keys = declared.entity.keys
    entities = [row.entity if len(keys) > 1 else (row.entity,) for row in rows]
    types: dict[str, Any] = {"string": pl.String, "int64": pl.Int64}
    columns = [pl.Series(key.name, [one[index] for one in entities], dtype=types[key.dtype]) for index, key in enumerate(keys)]
    moment = pl.Datetime("us", "UTC")
    raw = pl.DataFrame(
        [
            *columns,
            pl.Series("at", [row.event for row in rows], dtype=pl.Int64).cast(moment),
            pl.Series("made", [row.created for row in rows], dtype=pl.Int64).cast(moment),
            pl.Series("x", [row.values[0] for row in rows], dtype=pl.Float64),
            pl.Series("label", [row.values[1] for row in rows], dtype=pl.String),
        ]
    ).with_row_index(ROW)
    return normalised(raw.lazy(), raw.schema, declared)


def joined(
    rows: Sequence[SourceRow], labels: Sequence[tuple[Any, int]], declared: FeatureView, upto: Sequence[int] | None = None
) -> list[tuple[Any, ...]]:
    keys = declared.entity.keys
    asked = [entity if len(keys) > 1 else (entity,) for entity, _ in labels]
    types: dict[str, Any] = {"string": pl.String, "int64": pl.Int64}
    frame_of_keys = pl.DataFrame([pl.Series(key.name, [one[i] for one in asked], dtype=types[key.dtype]) for i, key in enumerate(keys)])
    made = frame(rows, declared).collect()
    line = join.timeline(made, declared)
    at = np.array([at for _, at in labels], dtype=np.int64)
    questions = join.Questions.of(frame_of_keys, at, None if upto is None else np.array(upto, dtype=np.int64))
    return join.values_at(line, made.select(declared.names), questions, declared.ttl_us).rows()


def check(rows: Sequence[SourceRow], labels: Sequence[tuple[Any, int]], declared: FeatureView) -> None:
    answers = joined(rows, labels, declared)
    assert len(answers) == len(labels)
    for (entity, at), answer in zip(labels, answers, strict=True):
        expected = latest(rows, entity, at, declared.ttl_us) or (None, None)
        assert all(map(same, answer, expected)), (entity, at, answer, expected)


@settings(max_examples=300)
@given(
    source_rows(VALUES, NAMES),
    st.lists(st.tuples(NAMES | st.just("nobody"), times(50)), max_size=30),
    st.sampled_from([None, "1ms", "30s"]),
)
def test_the_join_agrees_with_a_loop_over_all_rows(rows: list[SourceRow], labels: list[tuple[str, int]], ttl: str | None) -> None:
    check(rows, labels, view(ttl=ttl))


@settings(max_examples=100)
@given(
    source_rows(VALUES, st.tuples(NAMES, st.integers(-2, 2))),
    st.lists(st.tuples(st.tuples(NAMES, st.integers(-2, 2)), times(50)), max_size=20),
)
def test_the_join_agrees_with_a_loop_for_keys_of_several_columns(rows: list[SourceRow], labels: list[tuple[Any, int]]) -> None:
    check(rows, labels, view(TWO))


@given(source_rows(VALUES, NAMES), st.lists(st.tuples(NAMES, times(50), times(50)), max_size=20), st.sampled_from([None, "30s"]))
def test_what_was_seen_up_to_an_instant_alone_decides_and_the_ttl_goes_by_the_other(
    rows: list[SourceRow], labels: list[tuple[str, int, int]], ttl: str | None
) -> None:
    answers = joined(rows, [(who, at) for who, at, _ in labels], view(ttl=ttl), [upto for _, _, upto in labels])
    for (who, at, upto), answer in zip(labels, answers, strict=True):
        expected = latest([row for row in rows if row.available <= upto], who, at, view(ttl=ttl).ttl_us) or (None, None)
        assert all(map(same, answer, expected))


def only(rows: Sequence[SourceRow], at: int, ttl: str | None = None) -> Any:
    return joined(rows, [("A", at)], view(ttl=ttl))[0][0]


def row(event: int, value: float | None, created: int | None = None) -> SourceRow:
    return SourceRow("A", event, created, (value, None))


def test_a_value_counts_at_exactly_its_event_time_and_not_before() -> None:
    assert only([row(5, 1.0)], 5) == 1.0
    assert only([row(5, 1.0)], 4) is None


def test_a_value_lives_to_the_microsecond_of_its_ttl_and_no_longer() -> None:
    assert only([row(0, 1.0)], 7 * DAY, "7d") == 1.0
    assert only([row(0, 1.0)], 7 * DAY + 1, "7d") is None


def test_a_ttl_of_zero_means_for_ever() -> None:
    assert only([row(0, 1.0)], 10_000 * DAY, "0s") == 1.0


def test_a_label_before_every_value_gets_none() -> None:
    assert only([row(5, 1.0), row(9, 2.0)], 1) is None


def test_an_expired_value_hides_no_older_one() -> None:
    assert only([row(0, 1.0), row(1, 2.0)], 8 * DAY, "7d") is None


def test_of_two_values_for_one_time_the_one_created_last_wins() -> None:
    assert only([row(5, 1.0, 8), row(5, 2.0, 7)], 10) == 1.0
    assert only([row(5, 1.0, 8), row(5, 2.0, 7)], 7) == 2.0


def test_of_two_values_alike_in_both_times_the_greater_wins_in_any_order_and_null_is_least() -> None:
    tie = [row(5, 1.0, 6), row(5, 2.0, 6), row(5, None, 6)]
    assert only(tie, 9) == only(tie[::-1], 9) == 2.0


def test_a_value_created_late_is_not_seen_before_its_creation_and_does_not_hide_a_newer_one() -> None:
    rows = [row(1, 1.0), row(5, 2.0, 20), row(8, 3.0)]
    assert [only(rows, at) for at in (4, 7, 8, 19, 20)] == [1.0, 1.0, 3.0, 3.0, 3.0]


def test_a_null_that_is_the_latest_value_is_the_value() -> None:
    assert only([row(1, 1.0), row(2, None)], 3) is None


def test_every_label_row_gets_one_row_in_its_place_duplicates_too() -> None:
    labels = [("A", 9), ("nobody", 9), ("A", 1), ("A", 9)]
    assert [one[0] for one in joined([row(5, 1.0)], labels, view())] == [1.0, None, None, 1.0]


def test_instants_far_apart_and_many_entities_do_not_overflow_the_order() -> None:
    codes = np.array([3, 0, 3, 1], dtype=np.int64)
    moments = np.array([2**62, -(2**62), -(2**62), 5], dtype=np.int64)
    made = join.grouped(codes, moments)
    assert made.order.tolist() == [1, 3, 2, 0]
    assert made.times.tolist() == moments[made.order].tolist()
    near = join.grouped(codes, moments % 7)
    for rows, at in [(made, moments), (near, moments % 7)]:
        sought = rows.sought(np.array([0, 1, 3, 3, -1]), np.append(at[[1, 3, 2, 0]], 0))
        assert rows.until(sought).tolist() == [1, 2, 3, 4, 0]
        assert rows.until_at_most(sought, np.array([1, 4, 4, 4, 0])).tolist() == [1, 2, 3, 4, 0]
        assert rows.until(rows.sought(codes, at.min() - 1 + 0 * codes)).tolist() == [2, 0, 2, 1]


def test_a_time_in_another_zone_a_naive_one_and_a_date_mean_their_instant() -> None:
    declared = FeatureView("v", ONE, Parquet("rows.parquet", timestamp="at"), features={"x": "float64"})
    noon = pl.Series([43_200 * US], dtype=pl.Int64)
    for column, expected in [
        (noon.cast(pl.Datetime("us")), 43_200 * US),
        (noon.cast(pl.Datetime("us")).dt.replace_time_zone("America/New_York"), 43_200 * US + 5 * 3600 * US),
        ((noon * 1000).cast(pl.Datetime("ns", "UTC")), 43_200 * US),
        ((noon // 1000).cast(pl.Datetime("ms")), 43_200 * US),
        (pl.Series([1], dtype=pl.Int32).cast(pl.Date), DAY),
    ]:
        raw = pl.DataFrame({"who": ["A"], "at": column, "x": [1.0]}).with_row_index(ROW)
        assert normalised(raw.lazy(), raw.schema, declared).collect()[EVENT].to_list() == [expected]
        assert normalised(raw.lazy(), raw.schema, declared).collect()[CREATED].to_list() == [expected]

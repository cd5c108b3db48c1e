from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_of
from modelyard.features.aggregates import aggregates_at
from modelyard.features.domain import Aggregate, Entity, FeatureSet, FeatureView, OnlineValues, Parquet, Reason
from modelyard.features.history import History
from modelyard.features.join import Questions
from modelyard.features.materialization import Change, carry_out, find_mark, list_entities, planned
from modelyard.features.online import OnlineReader
from modelyard.features.rows import ROW, normalised
from modelyard.storage.online import LmdbStore
from tests.features.oracle import US, SourceRow, latest, same, source_rows, times

SOURCE = Parquet("rows.parquet", timestamp="at", created="made")
VALUES = st.tuples(
    st.none() | st.sampled_from([1.5, -2.0, 0.1, 0.2, 1e18, 1e-30]),
    st.none() | st.integers(-5, 5),
    st.none() | st.sampled_from(["", "a", "é"]),
)
NAMES = st.sampled_from(["A", "B", "é"])
WINDOWS = ("10s", "200s")
AGGREGATE = (
    Aggregate("x", ("mean", "count", "std", "min", "max", "first", "last", "distinct", "p90"), dtype="float64"),
    Aggregate("n", ("sum", "max", "last", "p50"), dtype="int64"),
    Aggregate("label", ("last", "distinct"), dtype="string"),
    Aggregate("x", ("sum", "first"), where="n > 0", name="some", dtype="float64"),
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LmdbStore]:
    """One store for all examples; each has a view of its own name, and so keys of its own."""
    made = LmdbStore.open(tmp_path_factory.mktemp("online"), durable=False, map_bytes=1 << 30)
    yield made
    made.close()


class Names:
    """Names that nobody had before."""

    count = 0

    @classmethod
    def new(cls) -> str:
        """The next one."""
        cls.count += 1
        return f"v{cls.count}"


def plain(ttl: str | None = None) -> FeatureView:
    return FeatureView(Names.new(), Entity("who"), SOURCE, features={"x": "float64", "n": "int64", "label": "string"}, ttl=ttl)


def windows() -> FeatureView:
    return FeatureView(Names.new(), Entity("who"), SOURCE, aggregate=AGGREGATE, windows=WINDOWS)


def history(rows: Sequence[SourceRow], view: FeatureView) -> History:
    moment = pl.Datetime("us", "UTC")
    raw = pl.DataFrame(
        [
            pl.Series("who", [row.entity for row in rows], dtype=pl.String),
            pl.Series("at", [row.event for row in rows], dtype=pl.Int64).cast(moment),
            pl.Series("made", [row.created for row in rows], dtype=pl.Int64).cast(moment),
            pl.Series("x", [row.values[0] for row in rows], dtype=pl.Float64),
            pl.Series("n", [row.values[1] for row in rows], dtype=pl.Int64),
            pl.Series("label", [row.values[2] for row in rows], dtype=pl.String),
        ]
    ).with_row_index(ROW)
    shaped = normalised(raw.lazy(), raw.schema, view).drop(ROW).collect()
    return History(view, shaped, digest_of([[str(row)] for row in rows]))


def bring(store: LmdbStore, source: History, upto: int) -> Change:
    change = planned(source, store, upto)
    carry_out(store, [change])
    return change


def read(store: LmdbStore, view: FeatureView, names: Sequence[Any], at: int) -> OnlineValues:
    return OnlineReader(FeatureSet("s", [view])).read(store, [{"who": name} for name in names], Instant(at))


def expected(view: FeatureView, rows: Sequence[SourceRow], names: Sequence[str], at: int) -> list[tuple[Any, ...]]:
    if not view.is_aggregation:
        return [latest(rows, who, at, view.ttl_us) or (None, None, None) for who in names]
    asked = Questions.of(pl.DataFrame({"who": pl.Series(names, dtype=pl.String)}), np.full(len(names), at))
    return aggregates_at(history(rows, view).tape, view.outputs, asked).rows()


def check(store: LmdbStore, view: FeatureView, rows: Sequence[SourceRow], upto: int, at: int) -> None:
    """What is read at `at` is what the rows say that were brought; where it may not be said, it is null and said why."""
    names = ["A", "B", "é", "nobody"]
    values = read(store, view, names, at)
    wanted = expected(view, [row for row in rows if row.available <= upto], names, at)
    for index, who in enumerate(names):
        got = [values.columns[name][index] for name in view.names]
        reasons = {values.missing.get(name, {}).get(index) for name, value in zip(view.names, got, strict=True) if value is None}
        assert None not in reasons
        if Reason.AHEAD in reasons:
            assert at < upto
            assert got == [None] * len(got)
        else:
            assert all(map(same, got, wanted[index])), (who, at, got, wanted[index])


@settings(max_examples=80)
@given(
    source_rows(VALUES, NAMES, most=40),
    st.lists(times(60), min_size=1, max_size=6),
    st.lists(st.integers(-30, 300), min_size=1, max_size=4),
)
def test_online_windows_equal_the_offline_ones_bit_for_bit_as_time_goes_on(
    store: LmdbStore, rows: list[SourceRow], steps: list[int], later: list[int]
) -> None:
    view = windows()
    source = history(rows, view)
    for upto in sorted(steps):
        bring(store, source, upto)
        for seconds in later:
            check(store, view, rows, upto, upto + seconds * US)


@settings(max_examples=80)
@given(source_rows(VALUES, NAMES, most=30), st.lists(times(60), min_size=1, max_size=6), st.sampled_from([None, "30s"]))
def test_online_values_of_a_plain_view_equal_the_offline_ones_as_time_goes_on(
    store: LmdbStore, rows: list[SourceRow], steps: list[int], ttl: str | None
) -> None:
    view = plain(ttl)
    source = history(rows, view)
    for upto in sorted(steps):
        bring(store, source, upto)
        for at in (upto - 5 * US, upto, upto + 30 * US, upto + 31 * US):
            check(store, view, rows, upto, at)


@settings(max_examples=80)
@given(source_rows(VALUES, NAMES, most=30), times(60), times(60), st.data())
def test_a_materialization_that_was_killed_anywhere_is_made_good_by_the_next(
    store: LmdbStore, rows: list[SourceRow], first: int, second: int, data: st.DataObject
) -> None:
    view = data.draw(st.sampled_from([plain, windows]))()
    source = history(rows, view)
    bring(store, source, min(first, second) - 100 * US)
    change = planned(source, store, min(first, second))
    if change.puts:
        store.put_many(data.draw(st.permutations(change.puts))[: data.draw(st.integers(0, len(change.puts)))])
    bring(store, source, max(first, second))
    check(store, view, rows, max(first, second), max(first, second) + US)


@settings(max_examples=80)
@given(source_rows(VALUES, NAMES, most=25), source_rows(VALUES, NAMES, most=25), times(60), st.sampled_from([plain, windows]))
def test_a_source_whose_past_was_rewritten_is_brought_anew(
    store: LmdbStore, rows: list[SourceRow], others: list[SourceRow], upto: int, kind: Any
) -> None:
    view = kind()
    bring(store, history(rows, view), upto)
    bring(store, history(others, view), upto)
    check(store, view, others, upto, upto)
    mark = find_mark(store, view)
    assert mark is not None
    assert set(list_entities(store, view, mark)) == {(row.entity,) for row in others if row.available <= upto}


def at(second: int, value: float, created: int | None = None) -> SourceRow:
    return SourceRow("A", second * US, None if created is None else created * US, (value, 1, "a"))


def test_a_repeated_materialization_does_nothing(store: LmdbStore) -> None:
    source = history([at(1, 1.0), at(5, 2.0)], windows())
    first = bring(store, source, 6 * US)
    assert first.new_rows == 2
    for upto in (6 * US, 2 * US):
        again = bring(store, source, upto)
        assert (again.after, again.puts, again.closing) == (first.after, [], [])


def test_a_source_that_only_grew_is_not_brought_anew(store: LmdbStore) -> None:
    view = windows()
    bring(store, history([at(1, 1.0)], view), 3 * US)
    change = bring(store, history([at(1, 1.0), at(5, 2.0)], view), 6 * US)
    assert (change.is_anew, change.new_rows) == (False, 1)


def test_only_the_entities_with_new_rows_are_written(store: LmdbStore) -> None:
    for view in (plain(), windows()):
        rows = [SourceRow(f"e{number}", number * US, None, (1.0, 1, "a")) for number in range(100)]
        source = history(rows, view)
        bring(store, source, 50 * US)
        change = planned(source, store, 51 * US)
        assert len(change.puts) <= 2
        assert len(change.closing) == 2


def test_every_missing_value_says_why(store: LmdbStore) -> None:
    view, counted = plain("10s"), windows()
    rows = [SourceRow("A", 0, None, (1.0, None, "a")), SourceRow("B", 0, 50 * US, (2.0, 1, "b"))]
    assert read(store, view, ["A"], 0).missing["x"] == {0: Reason.NOT_MATERIALIZED}
    for one in (view, counted):
        bring(store, history(rows, one), 60 * US)
    values = read(store, view, ["A", None, "nobody"], 10 * US)
    assert values.columns["x"] == [1.0, None, None]
    assert values.missing["x"] == {1: Reason.UNKNOWN_ENTITY, 2: Reason.UNKNOWN_ENTITY}
    assert values.missing["n"][0] == Reason.NULL
    assert read(store, view, ["A"], 10 * US + 1).missing["x"] == {0: Reason.EXPIRED}
    assert read(store, view, ["B"], 49 * US).missing["x"] == {0: Reason.AHEAD}
    empty = read(store, counted, ["A"], 500 * US)
    assert empty.columns["x_count_10s"] == [0]
    assert empty.missing["x_mean_10s"] == {0: Reason.EMPTY}


def test_a_read_tells_the_age_of_each_value_and_how_far_the_view_was_brought(store: LmdbStore) -> None:
    view = plain()
    bring(store, history([at(5, 1.0), at(9, 2.0)], view), 20 * US)
    values = read(store, view, ["A", "nobody"], 30 * US)
    assert values.ages_us[view.name] == [21 * US, None]
    assert values.upto_at[view.name] == 20 * US


def test_two_rows_of_one_entity_are_read_once_and_both_answered(store: LmdbStore) -> None:
    view = plain()
    bring(store, history([at(5, 1.0)], view), 20 * US)
    assert read(store, view, ["A", "nobody", "A"], 30 * US).columns["x"] == [1.0, None, 1.0]


def test_keys_of_any_length_are_kept_apart(store: LmdbStore) -> None:
    view = plain()
    long = "k" * 10_000
    bring(store, history([SourceRow(long, 0, None, (1.0, 1, "a")), SourceRow(long + "x", 0, None, (2.0, 1, "a"))], view), US)
    assert read(store, view, [long, long + "x", long + "y"], US).columns["x"] == [1.0, 2.0, None]


def test_an_installation_of_another_version_shares_no_row(store: LmdbStore, tmp_path: Path) -> None:
    view = plain()
    other = FeatureView(view.name, view.entity, view.source, features={"x": "float64", "n": "int64", "label": "string"}, ttl="1h")
    bring(store, history([at(1, 1.0)], view), US)
    assert read(store, other, ["A"], US).missing["x"] == {0: Reason.NOT_MATERIALIZED}

"""What stands for many values: exact while they are few, within the stated bounds beyond, and the same in whatever parts it comes."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_of
from modelyard.features.aggregates import aggregates_at
from modelyard.features.domain import Aggregate, Entity, FeatureSet, FeatureView, Parquet
from modelyard.features.history import History
from modelyard.features.join import Questions
from modelyard.features.materialization import carry_out, planned
from modelyard.features.online import OnlineReader
from modelyard.features.rows import CREATED, EVENT
from modelyard.features.sketches import RELATIVE_ERROR, bucket_of, buckets_of, distinct, hash_of, least_hashes, percentile, value_of
from modelyard.storage.online import LmdbStore

MINUTE = 60_000_000


FLOATS = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


@given(FLOATS, FLOATS)
def test_a_bucket_stands_for_its_values_within_the_bound_and_keeps_their_order(one: float, other: float) -> None:
    assert abs(value_of(bucket_of(one)) - one) <= RELATIVE_ERROR * 1.001 * abs(one)
    assert (bucket_of(one) <= bucket_of(other)) >= (one <= other)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_a_percentile_by_buckets_lies_within_the_bound_of_the_values_beside_it(share: float, random: np.random.Generator) -> None:
    values = np.concatenate([random.lognormal(3, 2, 5000), -random.lognormal(0, 1, 300), np.zeros(50)])
    few = values[:100].tolist()
    found = percentile(few, buckets_of(values[100:].tolist()), share)
    ranked = np.sort(values)
    place = math.floor((len(ranked) - 1) * share)
    low, high = ranked[place], ranked[place + 1]
    assert found is not None
    assert low - 0.0051 * abs(low) <= found <= high + 0.0051 * abs(high)


def test_distinct_values_are_counted_exactly_while_they_are_few_and_closely_beyond() -> None:
    few = [f"u{n % 500}" for n in range(3000)]
    assert distinct([least_hashes(few[:1500]), least_hashes(few[1000:])], map(hash_of, few[-20:])) == 500
    errors = []
    for trial in range(20):
        parts = [[f"{trial}-{n}" for n in range(start, start + 4000)] for start in range(0, 20_000, 2000)]
        errors.append(distinct([least_hashes(part) for part in parts], []) / 22_000 - 1)
    assert math.sqrt(sum(one * one for one in errors) / len(errors)) < 0.06
    assert abs(sum(errors) / len(errors)) < 0.03


def test_a_busy_entity_is_read_online_within_the_stated_bounds(online: LmdbStore, random: np.random.Generator) -> None:
    aggregate = [Aggregate("x", ["p50", "p99", "mean"], dtype="float64"), Aggregate("who_else", ["distinct"], dtype="string")]
    view = FeatureView("busy", Entity("who"), Parquet("rows.parquet", "at"), aggregate=aggregate, windows=["10m", "1h"])
    count = 4000
    events = np.sort(random.integers(0, 60 * MINUTE, count))
    rows = pl.DataFrame({"who": ["A"] * count, EVENT: events, CREATED: events, "x": random.lognormal(2, 1, count)})
    rows = rows.with_columns(pl.Series("who_else", random.integers(0, 3000, count).astype(str)))
    source = History(view, rows, digest_of(["busy"]))
    carry_out(online, [planned(source, online, 60 * MINUTE)])
    at = 60 * MINUTE + 7
    values = OnlineReader(FeatureSet("s", [view])).read(online, [{"who": "A"}], Instant(at))
    exact = aggregates_at(source.tape, view.outputs, Questions.of(rows.head(1).select("who"), np.array([at]))).row(0, named=True)
    for name, wanted in exact.items():
        (got,) = values.columns[name]
        assert isinstance(got, int | float)
        bound = 0.0 if "mean" in name else 0.15 if "distinct" in name else 0.006
        assert abs(got / wanted - 1) <= bound, (name, got, wanted)

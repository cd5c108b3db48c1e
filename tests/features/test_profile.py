import math
from typing import Any

import msgspec
import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from modelyard.features.domain import TableProfile
from modelyard.features.domain.profiles import QUANTILES
from modelyard.features.profile import BINS, TOP, profiled


def column(values: list[Any], dtype: Any = pl.Float64) -> Any:
    return profiled(pl.DataFrame({"x": pl.Series(values, dtype=dtype)})).columns[0]


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_numbers_have_the_moments_and_quantiles_that_numpy_gives(values: list[float | None]) -> None:
    found, there = column(values), np.array([value for value in values if value is not None])
    assert (found.count, found.nulls) == (len(values), len(values) - len(there))
    if not len(there):
        assert found.mean is None
        return
    assert found.distinct == len(np.unique(there))
    assert (found.min, found.max) == (there.min(), there.max())
    assert math.isclose(found.mean, there.mean(), rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(found.std, there.std(), rel_tol=1e-6, abs_tol=1e-6)
    assert np.allclose(found.quantiles, np.quantile(there, QUANTILES))


@given(st.lists(st.integers(-20, 20), min_size=1, max_size=300))
def test_bins_hold_every_number_once(values: list[int]) -> None:
    found = column(values, pl.Int64)
    counts, _ = np.histogram(values, found.bins.edges if len(set(values)) > 1 else 1)
    assert list(found.bins.counts) == counts.tolist()
    assert sum(found.bins.counts) == len(values)
    assert len(found.bins.counts) <= BINS


def test_bins_of_distinct_numbers_are_equally_filled() -> None:
    assert set(column([float(value) for value in range(10 * BINS + 1)]).bins.counts) <= {10, 11}


def test_the_order_of_rows_changes_no_bit(random: np.random.Generator) -> None:
    values = random.normal(size=5000) * 10.0 ** random.integers(-8, 8, 5000)
    assert column(values.tolist()) == column(random.permutation(values).tolist())


def test_what_is_no_finite_number_counts_as_missing() -> None:
    found = column([1.0, math.nan, math.inf, None])
    assert (found.nulls, found.mean, found.null_share) == (3, 1.0, 0.75)
    assert column([math.nan]).bins is None


def test_texts_and_flags_have_their_commonest_values_ties_in_order() -> None:
    found = column(["b", "a", "b", None, "c", "a"], pl.String)
    assert [(one.value, one.count) for one in found.top] == [("a", 2), ("b", 2), ("c", 1)]
    assert (found.nulls, found.distinct) == (1, 3)
    assert [(one.value, one.count) for one in column([True, False, True], pl.Boolean).top] == [("true", 2), ("false", 1)]
    assert len(column([str(value) for value in range(2 * TOP)], pl.String).top) == TOP


def test_a_profile_comes_back_from_its_wire_form_as_it_was() -> None:
    made = profiled(pl.DataFrame({"x": [1.0, 2.0], "s": ["a", None], "n": [None, None]}))
    assert msgspec.json.decode(msgspec.json.encode(made), type=TableProfile) == made

"""Equality bit for bit: what counts as the same value."""

import numpy as np
import polars as pl
import pytest

from modelyard.monitoring.rules.skew import rows_differ


@pytest.mark.parametrize(
    ("logged", "recomputed"),
    [(1.5, 1.5), (None, None), (float("nan"), float("nan")), (0.1 + 0.2, 0.30000000000000004), (3, 3), ("a", "a"), (True, True)],
)
def test_equal_values_are_the_same(logged: float | str | None, recomputed: float | str | None) -> None:
    assert not rows_differ(pl.DataFrame({"x": [logged]}), pl.DataFrame({"x": [recomputed]})).any()


@pytest.mark.parametrize(
    ("logged", "recomputed"),
    [(0.3, 0.1 + 0.2), (0.0, -0.0), (None, 0.0), (0.0, None), (3, 4), ("a", None), ("a", "b"), (True, False)],
)
def test_the_last_bit_makes_a_difference(logged: float | str | None, recomputed: float | str | None) -> None:
    assert rows_differ(pl.DataFrame({"x": [logged]}), pl.DataFrame({"x": [recomputed]})).tolist() == [True]


def test_a_vector_differs_where_any_of_its_values_does() -> None:
    logged = pl.DataFrame({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "c"], "more": [0, 0, 0]})
    recomputed = pl.DataFrame({"x": [1.0, np.nextafter(2.0, 3.0), 3.0], "y": ["a", "b", "d"]})
    assert rows_differ(logged, recomputed).tolist() == [False, True, True]


def test_a_column_that_was_logged_as_another_kind_of_number_is_compared_by_value() -> None:
    assert not rows_differ(pl.DataFrame({"x": [2, 3]}), pl.DataFrame({"x": [2.0, 3.0]})).any()


def test_what_is_known_to_be_near_passes_within_its_error_and_no_further() -> None:
    logged = pl.DataFrame({"p90": [100.4, 100.6, None, 0.0], "mean": [1.0, 1.0, 1.0, 1.0]})
    recomputed = pl.DataFrame({"p90": [100.0, 100.0, 100.0, 0.0], "mean": [1.0, 1.0, 1.0, 1.0000001]})
    assert rows_differ(logged, recomputed, {"p90": 0.005}).tolist() == [False, True, True, True]

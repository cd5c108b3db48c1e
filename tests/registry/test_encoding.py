"""Columns to a matrix: one function for training and serving, exact about types, lengths and what was never seen."""

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.registry.domain import Column, Output, Signature, SignatureMismatch
from modelyard.registry.encoding import encoder, matrix, signature_of

AIRPORTS = Signature(
    inputs=(Column(name="origin", dtype="string", categories=("EWR", "JFK", "LGA")), Column(name="hour", dtype="int64")),
    output=Output(name="late", kind="probability"),
)


def test_strings_become_the_places_of_their_categories_and_numbers_stay() -> None:
    assert matrix({"hour": [7, 9], "origin": ["LGA", "EWR"]}, AIRPORTS).tolist() == [[2.0, 7.0], [0.0, 9.0]]


def test_unseen_categories_and_nulls_become_nan() -> None:
    found = matrix({"origin": ["SFO", None], "hour": [None, 1]}, AIRPORTS)
    assert np.isnan(found).tolist() == [[True, True], [True, False]]


def test_columns_beyond_the_signature_are_left_out_and_rows_may_be_none() -> None:
    assert matrix({"origin": [], "hour": [], "flight": []}, AIRPORTS).shape == (0, 2)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"hour": [1]}, "'origin' is missing"),
        ({"origin": ["JFK"]}, "'hour' is missing"),
        ({"origin": ["JFK"], "hour": ["9"]}, "'9', which is no number"),
        ({"origin": ["JFK", "JFK"], "hour": [1, "x"]}, "'x', which is no number"),
        ({"origin": ["JFK"], "hour": [{}]}, "which is no number"),
        ({"origin": ["JFK"], "hour": [1, 2]}, "has the shape (2,), the first column 1 rows"),
        ({"origin": ["JFK"], "hour": [[1]]}, "has the shape (1, 1)"),
        ({"origin": ["JFK", "JFK"], "hour": [[1], [1, 2]]}, "lists of several lengths"),
        ({"origin": [3], "hour": [1]}, "3, which is no text"),
        ({"origin": [["JFK"]], "hour": [1]}, "which is no text"),
    ],
)
def test_what_does_not_fit_the_signature_is_refused_with_the_column_named(columns: dict[str, Any], words: str) -> None:
    with pytest.raises(SignatureMismatch) as caught:
        matrix(columns, AIRPORTS)
    assert words in caught.value.message
    assert caught.value.hint


def test_a_missing_column_hints_at_the_nearest_given_one() -> None:
    with pytest.raises(SignatureMismatch) as caught:
        matrix({"orign": ["JFK"], "hour": [1]}, AIRPORTS)
    assert caught.value.hint == "did you mean orign?"


FLIGHTS = st.lists(st.tuples(st.sampled_from([None, "EWR", "JFK", "LGA", "other"]), st.none() | st.integers(-(2**40), 2**40)), max_size=30)


@given(FLIGHTS)
def test_a_table_and_its_single_rows_give_the_same_bits(rows: list[tuple[str | None, int | None]]) -> None:
    table = pl.DataFrame(rows, schema={"origin": pl.String, "hour": pl.Int64}, orient="row")
    whole = matrix(table.to_dict(), AIRPORTS)
    lists = matrix({"origin": [row[0] for row in rows], "hour": [row[1] for row in rows]}, AIRPORTS)
    single = [matrix({"origin": [origin], "hour": [hour]}, AIRPORTS) for origin, hour in rows]
    assert whole.tobytes() == lists.tobytes() == b"".join(one.tobytes() for one in single)


def test_the_signature_of_a_table_does_not_depend_on_the_order_of_its_rows() -> None:
    table = pl.DataFrame({"origin": ["LGA", None, "EWR", "JFK"], "hour": [1, 2, 3, None]})
    found = signature_of(table.to_dict(), {"origin": "string", "hour": "int64"}, AIRPORTS.output)
    assert found == AIRPORTS == signature_of(table.reverse().to_dict(), {"origin": "string", "hour": "int64"}, AIRPORTS.output)


def test_the_encoder_says_which_places_are_categories_and_is_made_once() -> None:
    assert encoder(AIRPORTS).categorical == (0,)
    assert encoder(AIRPORTS) is encoder(Signature(inputs=AIRPORTS.inputs, output=AIRPORTS.output))


def test_numpy_arrays_of_every_number_type_are_taken_as_they_are() -> None:
    hours = Signature(inputs=(Column(name="hour", dtype="float64"),))
    for values in (np.array([1, 2], np.int32), np.array([True, False]), np.array([1.5, math.nan], np.float32)):
        assert matrix({"hour": values}, hours)[:, 0].tobytes() == values.astype(np.float64).tobytes()

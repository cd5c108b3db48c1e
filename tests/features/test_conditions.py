"""Conditions of aggregates: read as they are written, and picking the rows that SQL's three values pick."""

import math
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from modelyard.features.conditions import expression
from modelyard.features.domain.conditions import Among, Compared, Condition, Flag, Joined, Missing, Not, parse_condition, written

SCHEMA: dict[str, pl.DataType] = {"x": pl.Float32(), "n": pl.Int16(), "a word": pl.String(), "flag": pl.Boolean()}
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "x": st.sampled_from([0.5, 1.5, -2.0, 3]),
    "n": st.sampled_from([-1, 0, 2, 2.5]),
    "a word": st.sampled_from(["", "it's", "b"]),
    "flag": st.booleans(),
}
COLUMNS = st.sampled_from(sorted(SCHEMA))
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
LEAVES: st.SearchStrategy[Condition] = (
    COLUMNS.flatmap(lambda name: st.builds(Compared, st.just(name), SIGNS, VALUES[name]))
    | COLUMNS.flatmap(lambda name: st.builds(Among, st.just(name), st.lists(VALUES[name], min_size=1, max_size=3).map(tuple)))
    | st.builds(Missing, COLUMNS)
    | st.just(Flag("flag"))
)


def _joined(parts: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, parts) | st.builds(Joined, st.sampled_from(["AND", "OR"]), several)


CONDITIONS = st.recursive(LEAVES, _joined, max_leaves=6)


def holds(condition: Condition, row: dict[str, Any]) -> bool | None:
    """SQL's answer, by plain steps."""
    match condition:
        case Compared(column, sign, value):
            return None if row[column] is None else _compared(row[column], sign, value)
        case Among(column, values):
            return None if row[column] is None else row[column] in values
        case Missing(column):
            return row[column] is None
        case Flag(column):
            found: bool | None = row[column]
            return found
        case Not(part):
            inner = holds(part, row)
            return None if inner is None else not inner
        case Joined(word, parts):
            found_all = [holds(part, row) for part in parts]
            decisive = word == "OR"
            return decisive if decisive in found_all else None if None in found_all else not decisive


def _compared(left: Any, sign: str, right: Any) -> bool:
    found: dict[str, bool] = {
        "=": left == right, "!=": left != right, "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right,
    }  # fmt: skip
    return found[sign]


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.none() | st.sampled_from([0.5, 1.5, -2.0, math.nan]),
            "n": st.none() | st.integers(-2, 3),
            "a word": st.none() | st.sampled_from(["", "it's", "c"]),
            "flag": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=8,
)


@given(CONDITIONS, ROWS)
def test_a_condition_picks_what_sql_would_and_is_read_as_it_is_written(condition: Condition, rows: list[dict[str, Any]]) -> None:
    assert written(parse_condition(written(condition))) == written(condition)
    found = pl.DataFrame(rows, schema=SCHEMA).select(expression(parse_condition(written(condition)), SCHEMA)).to_series().to_list()
    plain = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    assert found == [holds(condition, row) for row in plain]

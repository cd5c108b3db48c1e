"""Proof that an on-demand function gives one element what it gives many: on values made to break it, before it is registered.

Owns the values and the comparison, bit by bit; NaN equals NaN. What cannot be said column by column was refused before.
"""

import ast
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard.features.domain import DType, NotColumnwise, OnDemand
from modelyard.features.on_demand import Column, computation

ROWS = 4096
MOST_SPECIAL = 2048
SEED = 5
ODD = 37

Flags = NDArray[np.bool_]
_FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -7.3, 0.1, 1e5, 1e16, 2.0**53, 1e22, 709.78, -745.1, 1e-300, 5e-324, -5e-324,
    1e300, 1.7976931348623157e308, -1.7976931348623157e308, np.inf, -np.inf, np.nan,
)  # fmt: skip
_INTEGERS = (0, 1, -1, 2, -2, 3, 7, -10, 60, 1000, 2**31, -(2**31), 2**53, 2**53 + 1, 2**63 - 1, -(2**63))
_TEXTS = ("", "a", "A", "JFK", "é", "\U0001f6eb", " a", "a\x00", "z" * 300)


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """On how much a function was held against itself, and by which NumPy."""

    rows: int
    numpy: str


def proved(function: OnDemand, written: Callable[..., Any] | None = None) -> Proof:
    """Holds single values, short columns and one long column of generated inputs against each other.

    `written` is the function as the project has it: what is run must give what it gives. Raises NotColumnwise with an example.
    """
    made = computation(function)
    inputs = generated(function)
    columns = list(inputs.values())
    rows = len(columns[0])
    with np.errstate(all="ignore"):
        whole = made.of_columns(columns)
        _held(function, inputs, whole, np.array([made.of_values(row) for row in zip(*columns, strict=True)], dtype=whole.dtype), "alone")
        parts = [made.of_columns([column[start : start + ODD] for column in columns]) for start in range(0, rows, ODD)]
        _held(function, inputs, whole, np.concatenate(parts), f"among {ODD}")
        if written is not None:
            given = np.broadcast_to(np.asarray(written(*(column.copy() for column in columns))), whole.shape)
            _held(function, inputs, whole, given.astype(whole.dtype), "when the project's own function is called")
    return Proof(rows=rows, numpy=np.__version__)


def generated(function: OnDemand) -> dict[str, Column]:
    """Inputs by name: every combination of extremes as far as there is room, then extremes and usual values at random."""
    known = {type(value): [] for value in (0, 0.0, "")} | _constants(function)
    pools = {name: _pool(dtype, known) for name, dtype in function.dtypes.items()}
    special = list(itertools.islice(itertools.product(*pools.values()), MOST_SPECIAL)) if len(pools) < 3 else []
    random = np.random.default_rng(SEED)
    made = {}
    for place, (name, dtype) in enumerate(function.dtypes.items()):
        pool = np.array(pools[name], dtype=KINDS[dtype])
        rest = pool[random.integers(0, len(pool), ROWS - len(special))]
        usual = _usual(dtype, random, len(rest))
        if usual is not None:
            rest = np.where(random.random(len(rest)) < 0.5, rest, usual)
        made[name] = np.concatenate([np.array([row[place] for row in special], dtype=pool.dtype), rest])
    return made


KINDS: Mapping[DType, Any] = {"float64": np.float64, "int64": np.int64, "bool": np.bool_, "string": np.object_}


def _constants(function: OnDemand) -> dict[type, list[Any]]:
    found: dict[type, list[Any]] = {int: [], float: [], str: []}
    for node in ast.walk(ast.parse(function.source)):
        if isinstance(node, ast.Constant) and type(node.value) in found:
            found[type(node.value)].append(node.value)
    return found


def _pool(dtype: DType, known: Mapping[type, Sequence[Any]]) -> list[Any]:
    """Extremes of a type, and what the function itself compares with: at such a value, and beside it."""
    if dtype == "bool":
        return [False, True]
    if dtype == "string":
        return list(dict.fromkeys([*_TEXTS, *known[str]]))
    numbers = [*known[int], *known[float]]
    if dtype == "int64":
        whole = [int(value) + beside for value in numbers if abs(value) < 2**53 for beside in (-1, 0, 1)]
        return list(dict.fromkeys([*_INTEGERS, *whole]))
    beside = [float(np.nextafter(value, way)) for value in numbers for way in (-np.inf, np.inf)]
    return [*_FLOATS, *map(float, numbers), *(-float(value) for value in numbers), *beside]


def _usual(dtype: DType, random: np.random.Generator, count: int) -> Column | None:
    if dtype == "float64":
        return random.standard_normal(count) * 10.0 ** random.integers(-6, 9, count)
    return random.integers(-100_000, 100_000, count) if dtype == "int64" else None


def _held(function: OnDemand, inputs: Mapping[str, Column], whole: Column, other: Column, how: str) -> None:
    """Raises NotColumnwise with the first row in which the two differ in a bit."""
    differs = _differ(whole, other)
    if not differs.any():
        return
    row = int(differs.argmax())
    example = ", ".join(f"{name}={_plain(column[row])!r}" for name, column in inputs.items())
    raise NotColumnwise(
        f"{function.name}({example[:300]}) is {_plain(whole[row])!r} among {len(whole)} rows, and {_plain(other[row])!r} {how}",
        hint="compute it by other functions, which round alike for one element and for many",
    )


def _differ(left: Column, right: Column) -> Flags:
    if left.dtype != np.float64:
        return np.asarray(left != right)
    same = (left.view(np.int64) == right.view(np.int64)) | (np.isnan(left) & np.isnan(right))
    return np.asarray(~same)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

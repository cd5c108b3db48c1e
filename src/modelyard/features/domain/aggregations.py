"""Window aggregations as users declare them: functions of a column, over windows, of the rows that a condition picks. Owns their rules."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import msgspec
from msgspec.structs import force_setattr

from modelyard.core.names import nearest
from modelyard.features.domain.conditions import Condition, columns_of, parse_condition, written
from modelyard.features.domain.entities import Window, column_name, without_twins
from modelyard.features.domain.errors import InvalidDeclaration
from modelyard.features.domain.types import DType, DTypeLike, dtype_of

Named = Literal["count", "sum", "mean", "std", "min", "max", "first", "last", "distinct"]
FUNCTIONS: tuple[str, ...] = get_args(Named)
OF_TEXTS = frozenset({"count", "first", "last", "distinct"})
"""What can be computed of texts; of numbers and flags everything can."""
AS_ITS_COLUMN = frozenset({"min", "max", "first", "last"})
WHOLE = frozenset({"count", "distinct"})
SUMMED = frozenset({"count", "sum", "mean", "std"})
"""What running sums answer."""

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")


def percentile_of(function: str) -> float | None:
    """The share in (0, 1) that a percentile's name asks for, `None` for any other function.

    >>> percentile_of("p90"), percentile_of("p99.9"), percentile_of("mean")
    (0.9, 0.999, None)
    """
    found = _PERCENTILE.fullmatch(function)
    return float(found[1]) / 100 if found and float(found[1]) else None


def _meant(function: str) -> str:
    """What a function that is not known may have been meant for."""
    if re.fullmatch(r"p-?[\d.]+", function):
        return "a percentile lies between p0.001 and p99.999, with at most three decimals; min and max are those at either end"
    return nearest(function, (*FUNCTIONS, "p90"))


class Aggregate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column of the source and what is computed of it over each window, of the rows where `where` holds.

    `name` begins the features' names; it is the column's where none is given. The type is read from the source when the view is
    applied; flags count as 0 and 1.

    >>> Aggregate("delay", ["mean", "p90"], where="carrier='UA'", name="ua_delay").where
    "carrier = 'UA'"
    """

    column: str
    functions: tuple[str, ...]
    where: str = ""
    name: str = ""
    dtype: DType | None = None

    if TYPE_CHECKING:  # what users may write is wider than what is kept

        def __init__(
            self, column: str, functions: str | Sequence[str], where: str = "", name: str = "", dtype: DTypeLike | None = None
        ) -> None: ...

    def __post_init__(self) -> None:
        """Brings the short forms into the one that is kept, and checks them. Raises InvalidDeclaration."""
        column_name(self.column, "a column of the source")
        given: Any = self.functions
        force_setattr(self, "functions", (given,) if isinstance(given, str) else tuple(given))
        force_setattr(self, "name", column_name(self.name or self.column, "an aggregation"))
        if not self.functions:
            raise InvalidDeclaration(f"nothing is computed of {self.column!r}", hint=f"name functions: {', '.join(FUNCTIONS)}, p90")
        for function in self.functions:
            if function not in FUNCTIONS and (not isinstance(function, str) or percentile_of(function) is None):
                raise InvalidDeclaration(f"the aggregation {str(function)[:60]!r} is not known", hint=_meant(str(function)[:60]))
        without_twins(self.functions, f"the aggregations of {self.name}")
        if not isinstance(self.where, str):
            raise InvalidDeclaration(f"the condition of {self.name} is a text", hint="where=\"carrier = 'UA'\"")
        if self.where:
            force_setattr(self, "where", written(parse_condition(self.where)))
        if self.dtype is not None:
            found = dtype_of(self.dtype, f"the column {self.column!r}")
            force_setattr(self, "dtype", "int64" if found == "bool" else found)
            self.check(found)

    @property
    def condition(self) -> Condition | None:
        """The condition that picks its rows, where there is one."""
        return parse_condition(self.where) if self.where else None

    @property
    def read_columns(self) -> tuple[str, ...]:
        """The source's columns that it reads."""
        condition = self.condition
        return tuple(dict.fromkeys((self.column, *(columns_of(condition) if condition else ()))))

    def check(self, dtype: DType) -> None:
        """Raises InvalidDeclaration where a function cannot be computed of a column of that type."""
        useless = [one for one in self.functions if dtype == "string" and one not in OF_TEXTS]
        if useless:
            raise InvalidDeclaration(
                f"{self.column!r} is a text and has no {useless[0]}", hint=f"of texts there are {', '.join(sorted(OF_TEXTS))}"
            )


class Output(msgspec.Struct, frozen=True):
    """An aggregation's column: its name, and the aggregate (by name), the function and the window that it comes from."""

    name: str
    column: str
    function: str
    window: Window
    dtype: DType | None


def online_error(function: str) -> float:
    """How far a function's value online may lie from the one offline, as a share of the larger: five standard errors of a count of
    distinct values, the bound of a percentile, and nothing of all others. docs/features.md says when it is nothing for these, too.
    """
    if function == "distinct":
        return 0.225
    return 0.0 if percentile_of(function) is None else 0.0051


def output_dtype(function: str, dtype: DType | None) -> DType | None:
    """The type of a function's values, over a column of that type; unknown where it goes by a column's that is not known yet."""
    if function in AS_ITS_COLUMN:
        return dtype
    return "int64" if function in WHOLE else "float64"


def outputs_of(aggregates: Sequence[Aggregate], windows: Sequence[Window]) -> tuple[Output, ...]:
    """What windows give: by aggregate, function, window, in the order of declaration."""
    return tuple(
        Output(f"{item.name}_{function}_{window.length}", item.name, function, window, output_dtype(function, item.dtype))
        for item in aggregates
        for function in item.functions
        for window in windows
    )


def aggregates_of(given: Any, view: str) -> tuple[Aggregate, ...]:
    """Aggregates from their short form, functions by column, or as they are. Raises InvalidDeclaration."""
    items = [Aggregate(column, functions) for column, functions in given.items()] if isinstance(given, Mapping) else list(given)
    if not all(isinstance(item, Aggregate) for item in items):
        raise InvalidDeclaration(
            f"view {view}: aggregate is functions by column, or a list of Aggregate", hint='aggregate={"delay": ["mean"]}'
        )
    return tuple(items)

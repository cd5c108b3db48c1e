"""Rows of a request as columns, checked against what the live versions ask for. Owns the plain form; the others bring columns.

Every error names the row and the field. A field that only a canary or a shadow asks for may be left out, and is null then.
"""

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from modelyard.core.names import nearest
from modelyard.registry.domain import DType
from modelyard.serving.domain import BadRows, Cell, Deployment, TooLarge
from modelyard.serving.rules import merged_fields

MOST_ROWS = 10_000
MOST_TEXT = 4096
Columns = dict[str, list[Cell]]

_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_WIRE: dict[DType, Any] = {
    "float64": float | None,
    "int64": _INTEGER | None,
    "bool": bool | None,
    "string": Annotated[str, msgspec.Meta(max_length=MOST_TEXT)] | None,
}


class Asked(msgspec.Struct, frozen=True):
    """What a request asks about: its keys and fields as columns, and how many rows they have."""

    columns: Columns
    rows: int


class Form:
    """The fields that requests for an endpoint carry, and which of them they must."""

    def __init__(self, required: Mapping[str, DType], optional: Mapping[str, DType]) -> None:
        self.fields: dict[str, DType] = {**required, **optional}
        self.required = tuple(required)
        self._names = {f"f{n}": name for n, name in enumerate(self.fields)}
        slots = [
            (slot, _WIRE[self.fields[name]]) if name in required else (slot, _WIRE[self.fields[name]], None)
            for slot, name in self._names.items()
        ]
        row = msgspec.defstruct("Row", slots, rename=self._names, forbid_unknown_fields=True, gc=False, kw_only=True)
        body = msgspec.defstruct("Body", [("rows", list[row])], forbid_unknown_fields=True)  # type: ignore[valid-type]  # made here
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(body)
        self._getters: list[tuple[str, Callable[[Any], Cell]]] = [(name, operator.attrgetter(slot)) for slot, name in self._names.items()]

    def decoded(self, content: bytes) -> Asked:
        """The rows of `{"rows": [{...}]}`. Raises BadRows and TooLarge."""
        try:
            rows = self._decoder.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.refusal(error) from error
        rows = rows.rows
        check_count(len(rows))
        return Asked({name: list(map(get, rows)) for name, get in self._getters}, len(rows))

    def checked(self, columns: Mapping[str, Sequence[Any]], rows: int) -> Asked:
        """Columns that came in another form, each cell checked. Raises BadRows and TooLarge."""
        check_count(rows)
        unknown = next((name for name in columns if name not in self.fields), None)
        if unknown is not None:
            raise BadRows(f"unknown field {unknown[:60]!r}", hint=nearest(unknown, self.fields))
        missing = next((name for name in self.required if name not in columns), None)
        if missing is not None:
            raise BadRows(f"the field {missing!r} is missing", hint=f"the model takes {', '.join(self.fields)}")
        uneven = next((name for name, cells in columns.items() if len(cells) != rows), None)
        if uneven is not None:
            raise BadRows(f"the field {uneven!r} has {len(columns[uneven])} values for {rows} rows", hint="give one value a row")
        nothing: list[Cell] = [None] * rows
        return Asked(
            {name: checked_cells(columns[name], dtype, name) if name in columns else nothing for name, dtype in self.fields.items()}, rows
        )

    def refusal(self, error: Exception) -> BadRows:
        """What a decoder says, in the words of the request."""
        if isinstance(error, RecursionError):
            return BadRows("the body is nested too deeply", hint='send {"rows": [{...}]}')
        text, _, path = str(error).partition(" - at `$")
        where = path.rstrip("`").lstrip(".")
        text = text.replace("`", "").replace(" | null", " or null")
        hint = f"a row is {{{', '.join(self.fields)}}}" if "field" in text else 'send {"rows": [{...}]}, each field with its type'
        return BadRows(f"{where}: {text}" if where else text, hint=hint)


def form_of(deployment: Deployment) -> Form:
    """The form of an endpoint under a revision: the champion's keys and fields, and those of the versions beside it."""
    champion = deployment.version(deployment.revision.traffic.champion)
    return Form(*merged_fields(champion, deployment.versions))


def check_count(rows: int) -> None:
    """Raises BadRows for no row and TooLarge for too many."""
    if not rows:
        raise BadRows("the request has no row", hint='send {"rows": [{...}]} with at least one')
    if rows > MOST_ROWS:
        raise TooLarge(f"the request has {rows} rows, at most {MOST_ROWS} are taken", hint="split it into several requests")


def checked_cells(cells: Iterable[Any], dtype: DType, name: str) -> list[Cell]:
    """`cells` as that type. A float that is an integer counts as one, not-a-number as null. Raises BadRows with the row."""
    convert = _CONVERT[dtype]
    result: list[Cell] = []
    for row, cell in enumerate(cells):
        try:
            result.append(None if cell is None else convert(cell))
        except (TypeError, ValueError, OverflowError) as error:
            shown = repr(cell)[:60]
            raise BadRows(
                f"rows[{row}].{name}: expected {dtype} or null, got {shown}", hint="see the model's metadata for its types"
            ) from error
    return result


def _float(cell: Any) -> Cell:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise TypeError
    value = float(cell)
    if math.isinf(value):
        raise ValueError
    return None if math.isnan(value) else value


def _integer(cell: Any) -> Cell:
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise TypeError
    if isinstance(cell, float) and math.isnan(cell):
        return None
    value = int(cell)
    if value != cell or not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _boolean(cell: Any) -> Cell:
    if not isinstance(cell, bool):
        raise TypeError
    return cell


def _text(cell: Any) -> Cell:
    if not isinstance(cell, str):
        raise TypeError
    if len(cell) > MOST_TEXT:
        raise ValueError
    return cell


_CONVERT: dict[DType, Callable[[Any], Cell]] = {"float64": _float, "int64": _integer, "bool": _boolean, "string": _text}

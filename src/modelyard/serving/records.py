"""One logged prediction as a record, from a frame or from a row of the table. Owns that translation."""

from collections.abc import Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec

from modelyard.registry.domain import ModelName
from modelyard.serving.domain import Arm, Cell, PredictionRecord
from modelyard.serving.log.frames import ID_BYTES, Field, Layout, PredictionFrame, Role

_fields = msgspec.json.Decoder(tuple[Field, ...])
_LISTS = {"float": "floats", "integer": "integers", "boolean": "integers", "text": "texts"}


def of_frame(layout: Layout, frame: PredictionFrame, row: int, *, source: Literal["gateway", "segment"]) -> PredictionRecord:
    """The record of one row of a frame."""
    cells = [column[row] if len(column) > 1 or len(frame.values) == 1 else column[0] for column in frame.columns]
    reason = frame.reasons[row] if frame.reasons else None
    return PredictionRecord(
        id=str(UUID(bytes=frame.ids[row * ID_BYTES : (row + 1) * ID_BYTES])),
        model=ModelName(layout.model),
        version=layout.version,
        revision=frame.revision,
        arm=Arm(frame.arm) if reason is None else Arm.FALLBACK,
        at=frame.at,
        wall=frame.wall,
        value=frame.values[row],
        reason=reason,
        latency_us=frame.latency_us,
        source=source,
        **_by_role(layout.fields, cells),
    )


def of_row(row: Mapping[str, Any]) -> PredictionRecord:
    """The record of a row of the table."""
    fields = _fields.decode(row["layout"])
    places = dict.fromkeys(_LISTS.values(), 0)
    cells: list[Cell] = []
    for field in fields:
        name = _LISTS[field.kind]
        cell = row[name][places[name]]
        places[name] += 1
        cells.append(bool(cell) if field.kind == "boolean" and cell is not None else cell)
    same = {name: row[name] for name in ("id", "version", "revision", "at", "wall", "value", "reason", "latency_us")}
    return PredictionRecord(model=ModelName(row["model"]), arm=Arm(row["arm"]), source="table", **same, **_by_role(fields, cells))


def _by_role(fields: tuple[Field, ...], cells: list[Cell]) -> dict[str, Any]:
    roles: tuple[tuple[str, Role], ...] = (
        ("keys", "key"), ("request", "request"), ("features", "feature"), ("ages_us", "age"), ("upto_at", "upto"),
    )  # fmt: skip
    pairs = list(zip(fields, cells, strict=True))
    return {name: {field.name: cell for field, cell in pairs if field.role == role} for name, role in roles}

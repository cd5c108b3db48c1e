"""The prediction log as tables: frames to rows, rows back to one column a field, and predictions joined with their labels.

Owns the tables' columns; reads and writes nothing. Numbers keep their exact bits. A row's fields stand in lists by type,
in the order that `layout` says, so that one table holds every model and version.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import polars as pl

from modelyard.serving.domain import Arm, Cell
from modelyard.serving.keys import id_texts, key_text
from modelyard.serving.log.frames import CellKind, Field, Frame, LabelFrame, Layout, PredictionFrame

PREDICTIONS = "serving/predictions"
LABELS = "serving/labels"

_LISTS: dict[CellKind, str] = {"float": "floats", "integer": "integers", "boolean": "integers", "text": "texts"}
_DTYPES: dict[str, pl.DataType] = {"floats": pl.Float64(), "integers": pl.Int64(), "texts": pl.String()}

PREDICTION_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(), "model": pl.String(), "version": pl.Int64(), "revision": pl.Int64(), "arm": pl.String(),
    "at": pl.Int64(), "wall": pl.Int64(), "value": pl.Float64(), "reason": pl.String(), "latency_us": pl.Int64(),
    "keys": pl.String(), "layout": pl.String(), "segment": pl.String(),
    **{name: pl.List(dtype) for name, dtype in _DTYPES.items()},
}  # fmt: skip
LABEL_SCHEMA: dict[str, pl.DataType] = {
    "model": pl.String(), "id": pl.String(), "keys": pl.String(), "at": pl.Int64(), "wall": pl.Int64(),
    "value": pl.Float64(), "segment": pl.String(),
}  # fmt: skip

_fields = msgspec.json.Decoder(tuple[Field, ...])


def predictions_of(frames: Iterable[Frame], segment: str) -> pl.DataFrame | None:
    """The predictions of a segment as rows; None where it has none."""
    layouts: dict[str, Layout] = {}
    groups: dict[str, list[PredictionFrame]] = {}
    for frame in frames:
        if isinstance(frame, Layout):
            layouts[frame.key] = frame
        elif isinstance(frame, PredictionFrame):
            groups.setdefault(frame.layout, []).append(frame)
    parts = [_rows(layouts[key], group, segment) for key, group in groups.items()]
    return pl.concat(parts) if parts else None


def _rows(layout: Layout, group: Sequence[PredictionFrame], segment: str) -> pl.DataFrame:
    sizes = [len(frame.values) for frame in group]
    columns = [_gathered(group, sizes, place) for place in range(len(layout.fields))]
    keys = [column for column, field in zip(columns, layout.fields, strict=True) if field.role == "key"]
    ids = b"".join(frame.ids for frame in group)
    given = {
        "id": id_texts(ids),
        "arm": [arm for frame in group for arm in _arms(frame)],
        "value": [value for frame in group for value in frame.values],
        "reason": [reason for frame in group for reason in (frame.reasons or [None] * len(frame.values))],
        "keys": [key_text(row) for row in zip(*keys, strict=True)] if keys else [None] * sum(sizes),
        **{
            name: [getattr(frame, name) for frame, size in zip(group, sizes, strict=True) for _ in range(size)]
            for name in ("at", "wall", "revision", "latency_us")
        },
    }
    same = {"model": layout.model, "version": layout.version, "layout": msgspec.json.encode(layout.fields).decode(), "segment": segment}
    frame = pl.DataFrame({name: pl.Series(name, cells, PREDICTION_SCHEMA[name]) for name, cells in given.items()})
    return (
        frame.with_columns(*(pl.lit(value, PREDICTION_SCHEMA[name]).alias(name) for name, value in same.items()))
        .with_columns(*(_lists(layout.fields, columns, name) for name in _DTYPES))
        .select(list(PREDICTION_SCHEMA))
    )


def _arms(frame: PredictionFrame) -> list[str]:
    if not frame.reasons:
        return [frame.arm] * len(frame.values)
    return [frame.arm if reason is None else Arm.FALLBACK.value for reason in frame.reasons]


def _gathered(group: Sequence[PredictionFrame], sizes: Sequence[int], place: int) -> list[Cell]:
    cells: list[Cell] = []
    for frame, size in zip(group, sizes, strict=True):
        column = frame.columns[place]
        cells.extend(column if len(column) == size else column * size)
    return cells


def _lists(fields: Sequence[Field], columns: Sequence[list[Cell]], name: str) -> pl.Series:
    dtype = _DTYPES[name]
    mine = [
        pl.Series(f"c{place}", [int(cell) if cell is not None else None for cell in column] if field.kind == "boolean" else column, dtype)
        for place, (field, column) in enumerate(zip(fields, columns, strict=True))
        if _LISTS[field.kind] == name
    ]
    if not mine:
        rows = len(columns[0]) if columns else 0
        return pl.Series(name, [[]] * rows, pl.List(dtype))
    return pl.DataFrame(mine).select(pl.concat_list(pl.all()).alias(name)).to_series()


def labels_of(frames: Iterable[Frame], segment: str) -> pl.DataFrame | None:
    """The labels of a segment as rows; None where it has none."""
    rows = [
        (frame.model, *label, frame.wall, segment)
        for frame in frames
        if isinstance(frame, LabelFrame)
        for label in zip(frame.ids, frame.keys, frame.at, frame.values, strict=True)
    ]
    if not rows:
        return None
    order = ("model", "id", "keys", "at", "value", "wall", "segment")
    return pl.DataFrame(rows, schema={name: LABEL_SCHEMA[name] for name in order}, orient="row").select(list(LABEL_SCHEMA))


def column_of(field: Field) -> str:
    """The column that a field has when it is spread: its name, and for what is said of a view, `age:weather` or `upto:weather`."""
    return field.name if field.role in ("key", "request", "feature") else f"{field.role}:{field.name}"


def spread(rows: pl.DataFrame, only: Sequence[str] | None = None) -> pl.DataFrame:
    """`rows` with one column a field, those of `only` where it is given; null where a version did not have the field."""
    fixed = [name for name in rows.columns if name not in _DTYPES]
    parts = [
        part.select(*fixed, *(expression for expression in _expressions(layout) if only is None or expression.meta.output_name() in only))
        for (layout,), part in rows.partition_by("layout", as_dict=True).items()
    ]
    return pl.concat(parts, how="diagonal_relaxed") if parts else rows.select(fixed)


def _expressions(layout: Any) -> list[pl.Expr]:
    places = dict.fromkeys(_DTYPES, 0)
    expressions = []
    for field in _fields.decode(layout):
        name = _LISTS[field.kind]
        cell = pl.col(name).list.get(places[name], null_on_oob=True)
        places[name] += 1
        expressions.append((cell.cast(pl.Boolean) if field.kind == "boolean" else cell).alias(column_of(field)))
    return expressions


def labelled(predictions: pl.LazyFrame, labels: pl.LazyFrame) -> pl.LazyFrame:
    """Each prediction with its label (`label`, `label_at`), those without left out; of one model or of several.

    A label that names the prediction wins; else it is the first with the prediction's keys that is no older than the
    prediction. Of two labels for one prediction the one that came first counts: the model was judged on it.
    """
    of_id, of_keys = ["model", "id"], ["model", "keys"]
    named = labels.filter(pl.col("id").is_not_null()).sort("wall", "at").unique(of_id, keep="first", maintain_order=True)
    by_id = predictions.join(named.select(*of_id, pl.col("value").alias("label"), pl.col("at").alias("label_at")), on=of_id)
    keyed = (
        labels.filter(pl.col("keys").is_not_null())
        .sort("wall")
        .unique([*of_keys, "at"], keep="first", maintain_order=True)
        .select(*of_keys, pl.col("value").alias("label"), pl.col("at").alias("label_at"))
        .sort("label_at")
    )
    rest = predictions.join(named.select(of_id), on=of_id, how="anti").filter(pl.col("keys").is_not_null()).sort("at")
    by_keys = rest.join_asof(keyed, left_on="at", right_on="label_at", by=of_keys, strategy="forward", check_sortedness=False)
    return pl.concat([by_id, by_keys.drop_nulls("label")], how="diagonal")

"""`yard log labels`: late ground truth from a file, to the gateway that keeps the prediction log."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl
from cyclopts import Parameter

from modelyard.cli.connection import connected, gateway_url, token_for
from modelyard.cli.output import Json, console, plain, print_json
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.sdk.client import Client
from modelyard.sdk.transport import RemoteError, Transport

BATCH = 5_000


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard log labels --json` prints."""

    model: str
    accepted: int
    left_out: int


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """Which columns of a file say what: the prediction's id or the entity's keys, the value, and when it became known."""

    value: str
    at: str
    keys: tuple[str, ...] = ()


def labels(
    model: str,
    file: Path,
    /,
    *,
    value: Annotated[str, Parameter(help="The column of the truth; the declared label, unless given.")] = "",
    at: Annotated[str, Parameter(help="The column of when it became known; as declared, unless given, else now.")] = "",
    json: Json = False,
) -> int:
    """Sends late ground truth out of a Parquet or CSV file to the gateway, in batches.

    A row names its prediction by the column `id`, or else by the model's entity keys. The first label of a prediction
    counts, so that the same file may be sent again. Rows without a value are left out.

    Example: yard log labels late_arrival landed.parquet --value late --at landed_at
    """
    frame = read_table(file)
    with connected() as client:
        columns = _columns(client, model, frame, Columns(value=value, at=at))
    rows = _rows(frame, columns)
    url, accepted = gateway_url(), 0
    with Transport(url, token_for(url) or token_for(client.url)) as gateway:
        for batch in _batches(rows, columns):
            body = msgspec.json.encode({"labels": batch})
            gateway.send("POST", f"/labels/{model}", content=body, headers={"Content-Type": "application/json"})
            accepted += len(batch)
    logged = Logged(model=model, accepted=accepted, left_out=frame.height - accepted)
    if json:
        print_json(logged)
    else:
        left = f", {logged.left_out:,} rows without a value left out" if logged.left_out else ""
        console().print(f"{accepted:,} labels of {plain(model)} are logged{left}")
    return 0


def read_table(path: Path) -> pl.DataFrame:
    """The rows of a Parquet or CSV file. Raises InvalidInput where it is neither or cannot be read."""
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path)
        if path.suffix.lower() == ".csv":
            return pl.read_csv(path, try_parse_dates=True)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", hint="is it the right file?") from error
    raise InvalidInput(f"{path} is neither Parquet nor CSV by its name", hint="name it .parquet or .csv")


def _columns(client: Client, model: str, frame: pl.DataFrame, asked: Columns) -> Columns:
    """The columns to use: those asked for, else those that the model declares. Raises InvalidInput for one that is missing."""
    label, known, keys = "value", "at", tuple[str, ...]()
    try:
        declared = client.get_declaration(model).declared.declaration
        label, known, keys = declared.label, declared.observations.known, tuple(key.name for key in declared.keys)
    except RemoteError as error:
        if error.code != "model_not_declared":
            raise
    value = asked.value or (label if label in frame.columns else "value")
    at = asked.at or next((one for one in (known, "at") if one in frame.columns), "")
    if "id" in frame.columns:
        keys = ()
    elif not keys:
        raise InvalidInput("the file has no column 'id'", hint=f"{model} declares no keys by which rows could name their predictions")
    for column in (value, *([at] if at else []), *keys):
        if column not in frame.columns:
            raise InvalidInput(f"the file has no column {column!r}", hint=nearest(column, frame.columns))
    if at and not isinstance(frame.schema[at], pl.Datetime | pl.Date):
        raise InvalidInput(f"{at!r} is {frame.schema[at]}, not a time", hint="name another column with --at, or write times as ISO 8601")
    return Columns(value=value, at=at, keys=keys)


def _rows(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """The rows with a value, as columns `value`, `at` where there is one, and `id` or the keys."""
    found = frame.filter(pl.col(columns.value).is_not_null())
    chosen = [pl.col(name).alias(f"key:{name}") for name in columns.keys] or [pl.col("id").cast(pl.String)]
    chosen.append(pl.col(columns.value).cast(pl.Float64).alias("value"))
    if columns.at:
        found = found.filter(pl.col(columns.at).is_not_null())
        chosen.append(pl.col(columns.at).cast(pl.Datetime("us")).to_physical().alias("at"))
    try:
        return found.select(chosen)
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(f"{columns.value!r} is no column of numbers: {error}", hint="name another column with --value") from error


def _batches(rows: pl.DataFrame, columns: Columns) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, rows.height, BATCH):
        batch = rows.slice(start, BATCH).to_dicts()
        yield [_label(row, columns) for row in batch] if columns.keys else batch


def _label(row: dict[str, Any], columns: Columns) -> dict[str, Any]:
    label: dict[str, Any] = {name: row[name] for name in ("value", "at") if name in row}
    return {**label, "keys": {name: row[f"key:{name}"] for name in columns.keys}}

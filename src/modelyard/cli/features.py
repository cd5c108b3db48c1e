"""`yard features get`, `join` and `push`: values online now, values as they were visible at each row's instant, events to be taken in."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
import polars as pl
from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.labels import read_table
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.features.domain import DType, FeatureSet, Key, OnlineValues, Pushed
from modelyard.features.domain.types import find_dtype
from modelyard.features.frames import outside_of_years
from modelyard.sdk.client import Client
from modelyard.sdk.transport import API

BATCH_ROWS = 500_000
BATCH_BYTES = 32_000_000
PUSHED_AT_ONCE, PUSHED_BYTES = 1_000, 100_000
Cell = str | int | float | bool | None


class Joined(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard features join --json` prints; `missing` counts the rows without a value, by feature."""

    set: str
    digest: str
    rows: int
    out: str
    missing: dict[str, int]


def get(feature_set: Annotated[str, Parameter(name="SET")], /, *keys: str, json: Json = False) -> int:
    """The values of a feature set online, now, with their ages.

    Each KEY is an entity: its key alone where the set has one, else `name=value` for each, joined by commas. So are the
    fields of a request that on-demand features read; what is left out is null.

    Example: yard features get flights_features origin=JFK,dest=LAX
    """
    with connected() as client:
        found = client.get_feature_set(feature_set).set
        rows: list[dict[str, Cell]] = [_entity(found, key) for key in keys]
        if not rows:
            raise InvalidInput(f"no entity of {feature_set} is asked for", hint=f"yard features get {feature_set} {_example(found.keys)}")
        values = client.read_features(feature_set, rows)
    if json:
        print_json(values)
    else:
        _print_values(found, rows, values)
    return 0


def join(
    feature_set: Annotated[str, Parameter(name="SET")],
    labels: Path,
    /,
    *,
    out: Annotated[Path, Parameter(help="The Parquet file to write.")],
    as_of: Annotated[str, Parameter(help="The column of each row's instant; its only column of times, unless given.")] = "",
    json: Json = False,
) -> int:
    """Joins a feature set to label rows as it was visible at each row's instant, and writes Parquet.

    The rows keep their order and their columns. They go to the server in parts, so that their number is not bounded.

    Example: yard features join late_arrival labels.parquet --as-of scheduled_at --out training.parquet
    """
    frame = read_table(labels)
    column = as_of or _only_time(frame)
    if out.resolve() == labels.resolve():
        raise InvalidInput(f"{out} is the file of the labels", hint="write the result elsewhere: --out FILE")
    with connected() as client:
        applied = client.get_feature_set(feature_set)
        joined = _joined(client, feature_set, frame, column)
    _write(joined, out)
    names = list(applied.set.names)
    missing = {name: joined[name].null_count() for name in names}
    told = Joined(set=feature_set, digest=applied.digest, rows=joined.height, out=str(out), missing=missing)
    if json:
        print_json(told)
        return 0
    console().print(f"{joined.height:,} rows with {len(names)} features of {plain(feature_set)} are in {plain(str(out))}")
    print_table(
        "",
        ("feature", "missing#", "share#"),
        [(name, f"{count:,}", f"{count / max(joined.height, 1):.1%}") for name, count in missing.items()],
    )
    return 0


def push(source: str, file: Path, /, *, json: Json = False) -> int:
    """Pushes the rows of a Parquet or CSV file as events, in parts; each is durable and online once it is answered.

    The columns are those of the declared source; the server says when the events were created. A part that is sent again
    within a day counts once, so that a file whose push broke off may be pushed again.

    Example: yard features push clicks clicks.parquet
    """
    frame = read_table(file)
    if frame.is_empty():
        raise InvalidInput(f"{file} has no rows", hint="is it the right file?")
    _check_pushable(frame, file)
    pushes: list[Pushed] = []
    size = max(1, min(PUSHED_AT_ONCE, PUSHED_BYTES * frame.height // max(int(frame.estimated_size()), 1)))
    with connected() as client:
        for start in range(0, frame.height, size):
            content = msgspec.json.encode({"events": _events(frame.slice(start, size))})
            # The part's place belongs to its name: rows may be alike.
            key = digest_bytes(f"{source} {frame.height} {start}\n".encode() + content)
            headers = {"Content-Type": "application/json", "Idempotency-Key": key}
            answer = client.send("POST", f"{API}/feature-sources/{quote(source, safe='')}/events", content=content, headers=headers)
            pushes.append(msgspec.json.decode(answer, type=Pushed))
    if json:
        print_json(pushes)
        return 0
    console().print(f"{frame.height:,} events are pushed to {plain(source)}")
    for one in (one for one in pushes if not one.is_online):
        console().print(f"[yellow]push {one.number} is durable and not online yet: {plain(one.why)}[/]")
    return 0


def _check_pushable(frame: pl.DataFrame, file: Path) -> None:
    """Says how many numbers JSON has no form for. Raises InvalidInput for a type or a time that events do not have."""
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime | pl.Date):
            is_outside, value, unit = outside_of_years(name, dtype)
            outside = frame.select(value.filter(is_outside)).to_series()
            if outside.len():
                said = f"{file}: {name!r} holds an instant of {outside[0]} {unit} since 1970, outside of the years 1 to 9999"
                raise InvalidInput(said, hint="mend the file; nothing was pushed")
        elif find_dtype(dtype) is None and dtype != pl.Null:
            raise InvalidInput(
                f"{file}: {name!r} is {dtype}, which events do not have",
                hint="cast it to a text, number, flag or time; nothing was pushed",
            )
    floats = frame.select(pl.selectors.float())
    lost = sum(floats[name].is_finite().not_().sum() for name in floats.columns)
    if lost:
        tell(f"{lost:,} numbers of {file} are NaN or infinite, which JSON does not know: they are pushed as nulls")


def _events(frame: pl.DataFrame) -> list[dict[str, object]]:
    """The rows, each without its nulls, times in ISO 8601."""
    days = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime | pl.Date)]
    texts = frame.with_columns(pl.col(name).dt.to_string("iso:strict") for name in days)
    return [{name: value for name, value in row.items() if value is not None} for row in texts.iter_rows(named=True)]


def _joined(client: Client, feature_set: str, frame: pl.DataFrame, column: str) -> pl.DataFrame:
    size = max(1, min(BATCH_ROWS, BATCH_BYTES * max(frame.height, 1) // max(int(frame.estimated_size()), 1)))
    parts = []
    for start in range(0, max(frame.height, 1), size):
        stream = io.BytesIO()
        frame.slice(start, size).write_parquet(stream)
        parts.append(pl.read_parquet(client.join_features(feature_set, column, stream.getvalue())))
    return pl.concat(parts)


def _write(joined: pl.DataFrame, out: Path) -> None:
    """Whole or not at all: an interruption leaves no half a file under the name."""
    partial = out.with_name(out.name + ".partial")
    try:
        joined.write_parquet(partial)
        partial.replace(out)
    except OSError as error:
        raise InvalidInput(f"{out} cannot be written: {error.strerror}", hint="name another file with --out") from error


def _only_time(frame: pl.DataFrame) -> str:
    times = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime | pl.Date)]
    if len(times) != 1:
        known = ", ".join(times) or "none"
        raise InvalidInput(
            f"the rows have {len(times)} columns of times ({known})", hint="name the one with each row's instant: --as-of COLUMN"
        )
    return times[0]


def entity_of(wanted: tuple[Key, ...], what: str, text: str, fields: Mapping[str, DType] | None = None) -> dict[str, Any]:
    """The keys in `text`. Raises InvalidInput for a name that `what` has not, and for one that is missing."""
    keys = {key.name: key for key in wanted}
    if "=" not in text and len(keys) == 1:
        (only,) = keys.values()
        return {only.name: _cell(only.name, only.dtype, text)}
    row: dict[str, Any] = {}
    known = {**{key.name: key.dtype for key in wanted}, **(fields or {})}
    for part in text.split(","):
        name, separator, value = part.partition("=")
        if name not in known or not separator:
            raise InvalidInput(f"{part[:80]!r} names no key of {what}", hint=nearest(name, known) if separator else _example(wanted))
        row[name] = _cell(name, known[name], value)
    missing = [name for name in keys if name not in row]
    if missing:
        raise InvalidInput(f"{text[:80]!r} has no {missing[0]}", hint=f"write {_example(wanted)}")
    return row


def _entity(feature_set: FeatureSet, text: str) -> dict[str, Cell]:
    """The keys in `text`, and the fields that the set's on-demand features read. Raises InvalidInput as `entity_of` does."""
    fields: dict[str, DType] = {field.name: field.dtype or "float64" for field in feature_set.request}
    return entity_of(feature_set.keys, feature_set.name, text, fields)


def _cell(name: str, dtype: DType, text: str) -> Cell:
    if dtype == "string":
        return text
    kind, example = _WRITTEN[dtype]
    try:
        return {"true": True, "false": False}[text.lower()] if dtype == "bool" else int(text) if dtype == "int64" else float(text)
    except (ValueError, KeyError) as error:
        raise InvalidInput(f"{name} is {dtype}, and {text[:40]!r} is no {kind}", hint=f"{name}={example}") from error


_WRITTEN: dict[DType, tuple[str, str]] = {"int64": ("whole number", "7"), "float64": ("number", "0.5"), "bool": ("flag", "true")}


def _example(keys: tuple[Key, ...]) -> str:
    return ",".join(f"{key.name}={'JFK' if key.dtype == 'string' else 7}" for key in keys)


def _print_values(feature_set: FeatureSet, rows: list[dict[str, Cell]], values: OnlineValues) -> None:
    for place, row in enumerate(rows):
        lines = []
        for selection in feature_set.features:
            age = values.ages_us[selection.view.name][place]
            told = "" if age is None else _age(age)
            lines += [(name, _shown(values, name, place), selection.view.name, told) for name in selection.names]
        lines += [(one.name, _shown(values, one.name, place), "on demand", "") for one in feature_set.on_demand]
        title = ", ".join(f"{name} {value}" for name, value in row.items())
        print_table(("\n" if place else "") + plain(title), ("feature", "value#", "view", "age#"), lines)


def _shown(values: OnlineValues, name: str, place: int) -> str:
    value, reason = values.columns[name][place], values.missing.get(name, {}).get(place)
    if reason:
        return f"[yellow]{reason.value.replace('_', ' ')}[/]"
    return f"{value:g}" if isinstance(value, float) else plain(str(value))


def _age(age_us: int) -> str:
    seconds = age_us / 1e6
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"

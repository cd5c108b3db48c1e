"""Datasets that a run reads: their digest over logical rows, their columns and profile. Owns what counts as a table."""

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from modelyard.core.digests import Digest, digest_file
from modelyard.core.errors import InvalidInput, NotFound
from modelyard.core.names import nearest
from modelyard.features.profile import profiled
from modelyard.storage.rows import digest_frame, type_name
from modelyard.tracking.domain import DATASET_CONTEXT_TAG, TARGET_TAG, Dataset, DatasetInput

MOST_PROFILE_BYTES = 500_000


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as an input of a run, how many rows it has, where it is a table, and the digest of the file that a frame came from."""

    input: DatasetInput
    rows: int | None
    file: Digest | None = None


def described(data: Any, name: str, context: str, path: Path | None, target: str = "") -> Described:
    """A frame of Polars or pandas, an array of NumPy, or a file; `target` is the column that is learned. Raises InvalidInput and NotFound.

    The digest of a table is of its rows, however they lie in files (`storage.rows`); that of any other file is of its bytes.
    """
    if isinstance(data, str | Path):
        data = path = Path(data)
    frame = _read(data) if isinstance(data, Path) else _framed(data)
    source = msgspec.json.encode({"uri": str(path)} if path is not None else {}).decode()
    tags = {DATASET_CONTEXT_TAG: context} | ({TARGET_TAG: target} if target else {})
    if target and (frame is None or target not in frame.columns):
        raise InvalidInput(f"the dataset has no column {target[:80]!r}", hint=nearest(target, [] if frame is None else frame.columns))
    name = name or (path.name if path is not None else "dataset")
    if frame is None:
        assert path is not None
        dataset = Dataset(name=name, digest=digest_file(path), source_type="local", source=source)
        return Described(input=DatasetInput(dataset=dataset, tags=tags), rows=None)
    profile = msgspec.json.encode(profiled(frame))
    columns = [{"name": column, "type": type_name(dtype)} for column, dtype in frame.schema.items()]
    dataset = Dataset(
        name=name,
        digest=digest_frame(frame),
        source_type="local" if path is not None else "code",
        source=source,
        schema=msgspec.json.encode({"columns": columns}).decode(),
        profile=profile.decode() if len(profile) <= MOST_PROFILE_BYTES else msgspec.json.encode({"rows": frame.height}).decode(),
    )
    # Rows from memory need not be all of the file that they came from; those read here are.
    file = digest_file(path) if path is not None and data is not path and path.is_file() else None
    return Described(input=DatasetInput(dataset=dataset, tags=tags), rows=frame.height, file=file)


def _read(path: Path) -> pl.DataFrame | None:
    """The table in a Parquet or CSV file; None for any other file."""
    if not path.is_file():
        raise NotFound(f"{path} is no file", hint="name a file, or give the frame itself")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path) if path.suffix == ".csv" else None
    except pl.exceptions.PolarsError as error:
        raise InvalidInput(f"{path} cannot be read as a table: {error}", hint="give the frame itself") from error


def _framed(data: Any) -> pl.DataFrame:
    """What the training holds in memory as a frame."""
    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, pl.LazyFrame):
        return data.collect()
    library = re.split(r"\W", type(data).__module__)[0]
    if library == "pandas" and hasattr(data, "columns"):
        return pl.DataFrame({str(name): _values(data[name]) for name in data.columns})
    if library == "numpy" and getattr(data, "ndim", 0) in (1, 2):
        return pl.from_numpy(data)
    raise InvalidInput(f"{type(data).__name__} is no table", hint="a frame of Polars or pandas, an array of one or two axes, or a path")


def _values(column: Any) -> Any:
    """A column of pandas: its plain numbers as they lie in memory, anything else value by value."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iufb":
        return column.to_numpy()
    return [None if is_missing else value for value, is_missing in zip(column.tolist(), column.isna().tolist(), strict=True)]

"""The rows that a run was trained on: where they lie, which column is learned, which others a request brings. Writes nothing."""

from pathlib import Path

import msgspec
import polars as pl

from modelyard.cli.adoption.tracked import Tracked, TrackedDataset
from modelyard.cli.labels import read_table
from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.core.names import listed, nearest
from modelyard.delivery.declaration import Task
from modelyard.features.domain import DType
from modelyard.features.domain.types import find_dtype
from modelyard.storage.rows import digest_frame

OUTCOMES = ({0, 1}, {0}, {1})
MOST_NAMED = 8


class NotAdoptable(ModelyardError):
    """The run does not say enough to declare its model."""

    kind = Kind.INVALID


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """The rows: the file that holds them, their inputs with types, the label and its kind; what was taken for granted, in sentences."""

    file: Path
    inputs: tuple[tuple[str, DType], ...]
    label: str
    label_is_flag: bool
    task: Task
    assumed: tuple[str, ...]


def learned_rows(run: Tracked, given: Path | None, target: str, folder: Path) -> Learned:
    """The rows of `given`, else those that the run names, its relative paths taken from `folder`.

    Raises NotAdoptable where they are not found, have no such target, or a target that no model here answers.
    """
    dataset = run.datasets[0] if run.datasets else None
    file = given.absolute() if given is not None else _found(dataset, folder)
    frame = read_table(file)
    if frame.is_empty():
        raise NotAdoptable(f"{file} holds no row", hint="name the rows: --rows FILE")
    assumed = [_said_of_file(file, frame, dataset)]
    label, why = _label(run, frame, target)
    assumed.append(f"{label!r} is what is learned: {why}")
    inputs, left_out = _inputs(run, frame, label)
    if not run.inputs:
        assumed.append("every other column is an input, since the run does not say which its model takes")
    if left_out:
        assumed.append(f"no input: {listed(left_out[:MOST_NAMED])}{' and more' if len(left_out) > MOST_NAMED else ''}")
    texts = [name for name, dtype in inputs if dtype == "string"]
    if texts:
        assumed.append(f"{listed(texts[:MOST_NAMED])} reaches the estimator as its place among the texts seen, however the run encoded it")
    return Learned(
        file=file,
        inputs=inputs,
        label=label,
        label_is_flag=frame.schema[label] == pl.Boolean,
        task=_task(run, frame[label]),
        assumed=tuple(assumed),
    )


def _found(dataset: TrackedDataset | None, folder: Path) -> Path:
    if dataset is None or not dataset.path:
        what = "says of which rows it was trained, not where they lie" if dataset else "names no dataset"
        raise NotAdoptable(f"the run {what}", hint="name the rows, Parquet or CSV with the target among their columns: --rows FILE")
    path = folder / dataset.path
    if not path.is_file():
        raise NotAdoptable(f"the run's rows are not at {path}", hint="call it where the run was made, or name the rows: --rows FILE")
    return path


def _said_of_file(file: Path, frame: pl.DataFrame, dataset: TrackedDataset | None) -> str:
    if dataset is None or dataset.digest is None:
        return f"the rows are those of {file}; the run has no digest to hold them against"
    try:
        is_same = digest_frame(frame) == dataset.digest
    except InvalidInput:
        is_same = False
    return f"the rows are those of {file}" + (", by their digest" if is_same else ", which are others by now than the run read")


def _label(run: Tracked, frame: pl.DataFrame, target: str) -> tuple[str, str]:
    """The column that is learned, and how that is known."""
    if target:
        if target not in frame.columns:
            raise NotAdoptable(f"the rows have no column {target[:80]!r}", hint=nearest(target, frame.columns))
        return target, "you say so"
    for name in (one.target for one in run.datasets):
        if name in frame.columns:
            return name, "the run says so"
    rest = [name for name in frame.columns if name not in run.inputs]
    if run.inputs and len(rest) == 1:
        return rest[0], "the run's model takes every other column"
    raise NotAdoptable("the run does not say which column is learned", hint=f"--target COLUMN; {nearest('', frame.columns)}")


def _inputs(run: Tracked, frame: pl.DataFrame, label: str) -> tuple[tuple[tuple[str, DType], ...], list[str]]:
    """The columns that a request brings, with their types, and those that it does not."""
    taken = [name for name in run.inputs if name in frame.columns and name != label] or [name for name in frame.columns if name != label]
    typed = {name: find_dtype(frame.schema[name]) for name in taken}
    inputs = tuple((name, dtype) for name, dtype in typed.items() if dtype is not None)
    if not inputs:
        raise NotAdoptable("the rows have no column that a request can bring", hint="inputs are numbers, texts and flags")
    known = {name for name, _ in inputs}
    return inputs, [name for name in frame.columns if name != label and name not in known]


def _task(run: Tracked, labels: pl.Series) -> Task:
    values = labels.drop_nulls()
    numbers = values.cast(pl.Int8) if values.dtype == pl.Boolean else values
    name = run.estimator.name if run.estimator is not None else ""
    if not numbers.dtype.is_numeric():
        raise NotAdoptable(f"{labels.name!r} is {labels.dtype}, and models answer numbers", hint="write the outcome as 0 and 1")
    kinds = set(numbers.unique().head(3).to_list())
    if kinds in OUTCOMES and not name.endswith("Regressor"):
        return "binary"
    if name.endswith("Classifier") or name in ("LogisticRegression", "LogisticRegressionCV", "SVC", "GaussianNB"):
        raise NotAdoptable(
            f"{labels.name!r} has other values than 0 and 1, and a {name} was trained", hint="a model answers one probability or one number"
        )
    return "regression"

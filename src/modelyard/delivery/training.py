"""Training itself, for a delivery and for a reproduction alike: what is taught, and the child process that learns it.

Owns what reaches the training function. Which environment it runs in is `environments`' business.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from modelyard.delivery.children import ChildLimits, ran
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.environments import Environment, child_words
from modelyard.delivery.search_space import Reports
from modelyard.registry.domain import DType, Format, Output, Signature
from modelyard.registry.encoding import signature_of

TRAIN_TIMEOUT_S = 3600.0
Parameters = Mapping[str, float | int | str | bool]


class Lesson(msgspec.Struct, frozen=True, kw_only=True):
    """All that a training function is given, and what is pinned around it; its reports are kept where a file for them is named."""

    function: str
    rows: pl.DataFrame
    signature: Signature
    parameters: Parameters
    seed: int
    threads: int
    reports: Reports | None = None


class Learned(msgspec.Struct, frozen=True, kw_only=True):
    """What training left: the artifact's format, and its kind as the library names it."""

    format: Format
    kind: str


def lesson_of(declaration: ModelDeclaration, rows: pl.DataFrame, parameters: Parameters, *, seed: int, threads: int) -> Lesson:
    """The lesson of a declared model over `rows`; its signature, categories included, follows from them."""
    dtypes = {name: _dtype(rows.schema[name]) for name in declaration.inputs}
    output = Output(name="value", kind="probability" if declaration.task == "binary" else "number", label=declaration.label)
    return Lesson(
        function=declaration.function,
        rows=rows.select(*declaration.inputs, declaration.label),
        signature=signature_of({name: rows[name] for name in declaration.inputs}, dtypes, output),
        parameters=parameters,
        seed=seed,
        threads=threads,
    )


def job_of(lesson: Lesson) -> dict[str, Any]:
    """What a child is asked, but for the paths of rows, model and reports, which are those of the machine that it runs on."""
    return {
        "type": "train",
        "function": lesson.function,
        "signature": lesson.signature,
        "parameters": lesson.parameters,
        "seed": lesson.seed,
    }


def trained(environment: Environment, source: Path, lesson: Lesson, model: Path, limits: ChildLimits) -> Learned:
    """Calls the training function of the project at `source` in a child and has the model saved in the folder `model`.

    Raises TrainingFailed, and whatever the limits' `beat` raises once the claim was lost.
    """
    table = model.with_name(f"{model.name}-rows.parquet")
    lesson.rows.write_parquet(table)
    asked = job_of(lesson) | {"rows": str(table), "folder": str(model), "reports": lesson.reports}
    found = ran(environment.interpreter, child_words(environment, lesson.threads), asked, source, limits)
    return msgspec.json.decode(found, type=Learned)


def _dtype(kind: pl.DataType) -> DType:
    if kind == pl.Boolean:
        return "bool"
    if kind.is_integer():
        return "int64"
    return "float64" if kind.is_float() else "string"

"""What runs inside a project's own environment, in a process of its own: `declare` and `train`. Never in the server.

`python -m modelyard.sdk.child JOB` reads the job from a file, does it with the project's code, and leaves its result beside it.
"""

import importlib
import os
import random
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from modelyard.core.errors import ErrorBody, ModelyardError
from modelyard.core.processes import die_with_parent
from modelyard.delivery.declaration import InvalidModel, ModelDeclaration
from modelyard.delivery.search_space import Reports
from modelyard.features.domain import FeatureView, OnDemand
from modelyard.features.parity import proved
from modelyard.registry.domain import Format, Signature
from modelyard.registry.formats import save
from modelyard.sdk.declarations import ATTRIBUTE
from modelyard.sdk.on_demand import ATTRIBUTE as ON_DEMAND
from modelyard.sdk.reporting import reporting
from modelyard.sdk.training import typed_rows


class DeclareJob(msgspec.Struct, frozen=True, kw_only=True, tag="declare"):
    """Import the project's modules and say what they declare."""

    modules: tuple[str, ...]
    result: str


class TrainJob(msgspec.Struct, frozen=True, kw_only=True, tag="train"):
    """Call a training function on the rows in a Parquet file and save what it returns below `folder`."""

    function: str
    rows: str
    signature: Signature
    parameters: dict[str, float | int | str | bool]
    seed: int
    folder: str
    result: str
    reports: Reports | None = None


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """The models that a project declares, by name, and its views that none of them reads; or why a declaration is refused."""

    models: tuple[ModelDeclaration, ...] = ()
    idle: tuple[str, ...] = ()
    refused: ErrorBody | None = None


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """What training left: the artifact's format, and its kind as the library names it."""

    format: Format
    kind: str


class ChildFailed(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and where in the project's code."""

    error: ErrorBody
    trace: str = ""


def declared(job: DeclareJob) -> Declared:
    """The declarations in the project's modules, their on-demand functions proved, or the first that breaks a rule, with its line."""
    try:
        return _found(job)
    except ModelyardError as error:
        told = error.body()
        return Declared(refused=msgspec.structs.replace(told, message=f"{_place(error)}{told.message}"))


def _place(error: ModelyardError) -> str:
    """The line of the project's own code that led to an error; empty where none did."""
    own, project = Path(__file__).parents[1], Path.cwd()
    places = [(Path(one.filename), one.lineno) for one in traceback.extract_tb(error.__traceback__)]
    inside = [(path.relative_to(project), line) for path, line in places if path.is_relative_to(project) and not path.is_relative_to(own)]
    told = [(path, line) for path, line in inside if "site-packages" not in path.parts]
    return f"{told[-1][0]}, line {told[-1][1]}: " if told else ""


def _found(job: DeclareJob) -> Declared:
    """What the modules declare. Raises InvalidModel where two models bear one name."""
    found: dict[str, ModelDeclaration] = {}
    views: set[str] = set()
    for name in job.modules:
        for value in vars(importlib.import_module(name)).values():
            function = getattr(value, ON_DEMAND, None)
            if isinstance(function, OnDemand):
                proved(function, value)
            if isinstance(value, FeatureView):
                views.add(value.name)
            declaration = getattr(value, ATTRIBUTE, None)
            if isinstance(declaration, ModelDeclaration):
                if found.get(declaration.name, declaration) != declaration:
                    raise InvalidModel(f"two models are called {declaration.name}", hint="give each a name of its own")
                found[declaration.name] = declaration
    read = {view.name for one in found.values() for view in one.views}
    return Declared(models=tuple(found[name] for name in sorted(found)), idle=tuple(sorted(views - read)))


def trained(job: TrainJob) -> Trained:
    """Calls the training function under the job's seed and saves the model."""
    module, _, name = job.function.partition(":")
    function = getattr(importlib.import_module(module), name)
    rows = typed_rows(pl.read_parquet(job.rows), job.signature)
    random.seed(job.seed)
    np.random.seed(job.seed)  # the seed that older libraries read
    with reporting(job.reports):
        model = function(rows, **job.parameters)
    return Trained(format=save(model, Path(job.folder), job.signature), kind=type(model).__name__)


def main() -> int:
    """Does the job that the one argument names; 1 where it failed, with the reason in the result."""
    die_with_parent(os.environ)
    sys.path.insert(0, str(Path.cwd()))
    job: DeclareJob | TrainJob = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=DeclareJob | TrainJob)
    result: Any
    try:
        result = declared(job) if isinstance(job, DeclareJob) else trained(job)
    except ModelyardError as error:
        result = ChildFailed(error=error.body(), trace=traceback.format_exc())
    except Exception as error:  # noqa: BLE001 - the boundary to the user's code: whatever it raised is the answer
        told = ErrorBody(code="project_code_failed", message=f"{type(error).__name__}: {error}", hint="the traceback names the line")
        result = ChildFailed(error=told, trace=traceback.format_exc())
    partial = Path(f"{job.result}.partial")
    partial.write_bytes(msgspec.json.encode(result))
    partial.replace(job.result)
    return 1 if isinstance(result, ChildFailed) else 0


if __name__ == "__main__":
    sys.exit(main())

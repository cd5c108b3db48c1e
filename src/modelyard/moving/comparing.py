"""What is held here against what is there, thing by thing. Pure: it is given both."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from modelyard.moving.domain import Mismatch, TheirModel, TheirRun, shortened
from modelyard.registry.imports import ImportedVersion, VersionRecord
from modelyard.tracking.domain import DatasetInput
from modelyard.tracking.imports import ImportedExperiment, ModelContent, RunContent, SeriesContent

RUN_FACTS = ("name", "user", "status", "started_at", "ended_at")
MODEL_FACTS = ("name", "model_type", "source_run_id", "status", "created_at", "updated_at")


def run_differences(their: TheirRun, points: Mapping[str, SeriesContent], held: RunContent) -> Iterator[Mismatch]:
    """In what a run is not here as it is there. What was added here is no difference, but for points of the same metric."""
    run, here = their.run, held.run
    name = f"run {run.id}"
    yield from _facts(name, RUN_FACTS, run, here.facts)
    yield from _texts(f"{name} param", run.params, here.params)
    yield from _texts(f"{name} tag", run.tags, here.tags)
    for key, content in points.items():
        found = held.series.get(key)
        if found != content:
            yield Mismatch(what="points", name=f"{run.id}/{key}", there=_series(content), here="none" if found is None else _series(found))
    yield from _missing(name, "dataset", map(_dataset, run.datasets), map(_dataset, here.datasets))
    yield from _missing(name, "model input", run.model_inputs, here.model_inputs)
    outputs = [[f"{one.model_id} at {one.step}" for one in found] for found in (run.model_outputs, here.model_outputs)]
    yield from _missing(name, "model output", *outputs)


def model_differences(their: TheirModel, held: ModelContent) -> Iterator[Mismatch]:
    """In what a logged model is not here as it is there."""
    model, here = their.model, held.model
    name = f"logged model {model.id}"
    yield from _facts(name, MODEL_FACTS, model, here)
    yield from _texts(f"{name} param", model.params, here.params)
    yield from _texts(f"{name} tag", model.tags, here.tags)
    yield from _missing(name, "metric", map(_plain, model.metrics), map(_plain, here.metrics))


def experiment_differences(their: ImportedExperiment, here: Any) -> Iterator[Mismatch]:
    """In what an experiment is not here as it is there."""
    name = f"experiment {their.name}"
    yield from _facts(name, ("name", "created_at", "updated_at", "lifecycle"), their, here)
    yield from _texts(f"{name} tag", their.tags, here.tags)


def version_differences(model: str, their: ImportedVersion, held: VersionRecord) -> Iterator[Mismatch]:
    """In what a version is not here as it is there."""
    version, name = held.detail.version, f"version {model}/{their.number}"
    here = {
        "run": version.run or "",
        "uri": held.source.uri if held.source else "",
        "run_link": held.source.run_link if held.source else "",
        "logged_model": held.source.logged_model if held.source else "",
        "description": version.description if held.notes.description is None else held.notes.description,
        "stage": held.notes.stage,
        "created_at": version.created_at,
        "updated_at": held.notes.updated_at,
    }
    for fact, found in here.items():
        wanted = getattr(their, fact)
        # A logged model that a version's address names is known here also where it was not told there.
        if wanted != found and not (fact in ("logged_model", "run") and not wanted):
            yield Mismatch(what=fact, name=name, there=str(wanted), here=str(found))
    yield from _texts(f"{name} tag", their.tags, held.tags)


def _facts(name: str, facts: tuple[str, ...], there: Any, here: Any) -> Iterator[Mismatch]:
    for fact in facts:
        if getattr(there, fact) != getattr(here, fact):
            yield Mismatch(what=fact, name=name, there=str(getattr(there, fact)), here=str(getattr(here, fact)))


def _texts(what: str, there: Mapping[str, str], here: Mapping[str, str]) -> Iterator[Mismatch]:
    for key, value in there.items():
        if here.get(key) != value:
            yield Mismatch(what=what, name=key, there=value[:200], here=str(here.get(key))[:200])


def _missing(name: str, what: str, there: Any, here: Any) -> Iterator[Mismatch]:
    for one in sorted({str(one) for one in there} - {str(one) for one in here}):
        yield Mismatch(what=what, name=name, there=one[:200], here="none")


def _dataset(one: DatasetInput) -> str:
    return msgspec.json.encode(one, order="deterministic").decode()


def _plain(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _series(content: SeriesContent) -> str:
    return f"{content.points} points {shortened(content.digest)}"

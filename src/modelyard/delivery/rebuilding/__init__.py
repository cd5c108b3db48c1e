"""Makes a version again from its records alone, in a fresh environment, and holds it against what was recorded.

Owns the steps and their order. It changes nothing of the version; the rebuilt files are stored by digest beside it.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import polars as pl

from modelyard.core.processor import processor
from modelyard.delivery.domain import Comparison, Reproduction, ReproductionStep
from modelyard.delivery.rebuilding.comparison import MODEL, TOLERANCE, compared, compared_metrics, compared_predictions, verdict_of
from modelyard.delivery.rebuilding.environment import Fresh, fresh_environment
from modelyard.delivery.rebuilding.records import Records, records_of
from modelyard.delivery.rebuilding.rows import snapshot_rows
from modelyard.delivery.reproductions import advanced
from modelyard.delivery.sources import unpack_source
from modelyard.delivery.stages.learning import metrics_of
from modelyard.delivery.stages.splitting import split
from modelyard.delivery.stages.yard import Yard
from modelyard.delivery.training import lesson_of, trained
from modelyard.monitoring.rules.metrics import measured
from modelyard.registry.artifacts import fetch_folder, put_folder
from modelyard.registry.encoding import Vector, matrix
from modelyard.registry.formats import content_digest, load, read_header

T = TypeVar("T")
FOLDER = "reproductions"


def rebuilt(yard: Yard, held: Reproduction) -> Reproduction:
    """The reproduction with its verdict and every comparison, not ended yet.

    Raises FencedOff once the claim was lost, and whatever keeps the version from being made again.
    """
    parent = yard.folder / FOLDER
    parent.mkdir(parents=True, exist_ok=True)
    for abandoned in parent.glob(f"{held.id}-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    scratch = parent / f"{held.id}-{held.fence}"
    scratch.mkdir()
    try:
        return _made_again(yard, _Steps(yard, held), scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


class _Steps:
    """The steps of one attempt: each is told to those who follow as it begins and ends."""

    def __init__(self, yard: Yard, held: Reproduction) -> None:
        self._yard, self.held = yard, held

    def taken(self, name: str, work: Callable[[], T], said: Callable[[T], str]) -> T:
        """What a step gives, told with its time and what `said` says of it."""
        self._tell(name, None)
        began = time.perf_counter()
        found = work()
        step = ReproductionStep(name=name, took_s=round(time.perf_counter() - began, 3), said=said(found))
        self._yard.beat()
        self._tell(name, step)
        return found

    def _tell(self, name: str, step: ReproductionStep | None) -> None:
        before = self.held
        self.held = self._yard.database.write(lambda tx: advanced(tx, before, name, step))


def _made_again(yard: Yard, steps: _Steps, scratch: Path) -> Reproduction:
    source, model, recorded = scratch / "source", scratch / "model", scratch / "recorded"
    records = steps.taken("records", lambda: _records(yard, steps.held, source, recorded), _said_of_records)
    fresh = steps.taken(
        "environment",
        lambda: fresh_environment(yard.blobs, records.training, source, scratch / "environment", yard.beat),
        lambda found: found.said,
    )
    rows = steps.taken("data", lambda: snapshot_rows(yard.blobs, records), lambda found: found.said)
    learned, unseen = split(rows.frame, records.declaration)
    kept = records.training
    lesson = lesson_of(records.declaration, learned, records.parameters, seed=kept.seed, threads=kept.threads)
    steps.taken(
        "train",
        lambda: trained(fresh.environment, source, lesson, model, yard.beat),
        lambda found: f"a {found.kind} on {learned.height:,} rows, seed {kept.seed}, {kept.threads} threads",
    )
    comparisons = steps.taken("compare", lambda: _models(records, recorded, model, unseen), _said_of_comparisons)
    is_same_family = kept.processor == processor()
    verdict, reason = verdict_of(comparisons, is_same_family=is_same_family)
    artifact, _ = put_folder(yard.blobs, model)
    return msgspec.structs.replace(
        steps.held,
        verdict=verdict,
        reason=reason,
        comparisons=(*comparisons, rows.comparison, *_environments(records, fresh)),
        snapshot=rows.verdict,
        tolerance=None if is_same_family else TOLERANCE,
        artifact=artifact,
        content=content_digest(model),
        processor=processor(),
    )


def _records(yard: Yard, held: Reproduction, source: Path, recorded: Path) -> Records:
    """What the records say, with the source unpacked and the recorded artifact fetched: whatever was tampered with ends it here."""
    with yard.database.read() as state:
        records = records_of(state, held)
    unpack_source(yard.blobs.get_bytes(records.training.source), source)
    fetch_folder(yard.blobs, records.version.artifact, recorded)
    return records


def _models(records: Records, recorded: Path, model: Path, unseen: pl.DataFrame) -> list[Comparison]:
    """The recorded and the rebuilt model: what they compute, how they were measured, what they answer for rows that none has seen."""
    before, again = _answers(recorded, unseen), _answers(model, unseen)
    labels = unseen[records.declaration.label].cast(pl.Float64).to_numpy()
    metrics: dict[str, float] = {name: measured(name, labels, again).value for name in metrics_of(records.declaration)}
    content = records.version.content or ""
    return [
        compared(MODEL, content, content_digest(model), decides=True, note="normalised: what the model computes"),
        *compared_metrics(records.version.metrics, metrics),
        compared_predictions(before, again),
    ]


def _answers(folder: Path, rows: pl.DataFrame) -> Vector:
    signature = read_header(folder).signature
    return load(folder).predict(matrix({name: rows[name] for name in signature.names}, signature))


def _environments(records: Records, fresh: Fresh) -> list[Comparison]:
    """What was built around the model. uv may write the same lock otherwise one day: the verdict rests on the model alone."""
    kept, built = records.training, fresh.environment
    own = "not recorded when this version was made: today's package was used" if kept.modelyard is None else "from its recorded archive"
    return [
        compared("environment", kept.environment, built.digest, decides=False, note=fresh.said),
        compared("locked requirements", kept.requirements, built.requirements, decides=False),
        compared("Modelyard's own package", kept.modelyard or "", built.modelyard, decides=False, note=own),
        compared("Python", kept.python, built.python, decides=False),
        compared("processor", kept.processor, processor(), decides=False, note="" if kept.processor else "not recorded"),
    ]


def _said_of_records(records: Records) -> str:
    return f"source {records.training.source[7:19]} and the recorded artifact, digests checked; Python {records.training.python}"


def _said_of_comparisons(comparisons: list[Comparison]) -> str:
    equal = sum(one.is_equal for one in comparisons)
    return f"{equal} of {len(comparisons)} equal"

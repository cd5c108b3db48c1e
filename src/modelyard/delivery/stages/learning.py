"""The stages that learn and compare: train in the project's environment, evaluate and challenge by the served predictor."""

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from modelyard.core.clock import SECOND
from modelyard.core.digests import Digest
from modelyard.core.processor import processor
from modelyard.delivery.children import ChildLimits
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.domain import DeliveryState, Facts, StageName
from modelyard.delivery.environments import Build, Environment, built_environment
from modelyard.delivery.expressions import GateFacts, decided
from modelyard.delivery.machine import Done, Outcome, Stopped
from modelyard.delivery.sources import own_package, unpack_source
from modelyard.delivery.stages.artifacts import champion_of, fetched, put_artifact
from modelyard.delivery.stages.runs import logged_metrics, started_run
from modelyard.delivery.stages.splitting import AS_OF, split
from modelyard.delivery.stages.yard import Job, Yard, get_frame, put_frame, snapshot_of
from modelyard.delivery.training import TRAIN_TIMEOUT_S, Lesson, lesson_of, trained
from modelyard.monitoring.domain import METRICS, Metric
from modelyard.monitoring.rules.comparison import paired_difference
from modelyard.monitoring.rules.metrics import measured
from modelyard.registry.domain import Signature
from modelyard.registry.encoding import matrix
from modelyard.registry.formats import load
from modelyard.storage.database import Transaction

THREADS = 2
SEED = 20130101
DAY_S = 86_400
FEWEST_DAYS = 5
FEWEST_SLICE_ROWS = 200
MOST_SLICES = 12
SCORE = "score"
Vector = np.ndarray[Any, np.dtype[np.float64]]


def train(yard: Yard, job: Job) -> Outcome:
    """Trains in a process of its own, in the project's locked environment, on the rows that test nothing."""
    rows, _ = split(snapshot_of(yard, job), job.declaration)
    lesson = lesson_of(job.declaration, rows, job.delivery.parameters, seed=SEED, threads=THREADS)
    own = own_package()
    with tempfile.TemporaryDirectory(prefix="modelyard-train-") as scratch:
        source, model = Path(scratch, "source"), Path(scratch, "model")
        unpack_source(yard.blobs.get_bytes(job.source), source)
        environment = built_environment(Build(root=yard.folder / "environments", beat=yard.beat), source, own)
        yard.beat()
        answer = trained(environment, source, lesson, model, ChildLimits(timeout_s=TRAIN_TIMEOUT_S, beat=yard.beat))
        artifact = put_artifact(yard, model)
    yard.blobs.put_bytes(own)
    facts = _trained_facts(job, environment, lesson, rows.height) | artifact | {"kind": answer.kind, "format": answer.format}

    def apply(tx: Transaction) -> Facts:
        return {"run": started_run(tx, job, facts)}

    return Done(facts=facts, apply=apply)


def _trained_facts(job: Job, environment: Environment, lesson: Lesson, rows: int) -> Facts:
    return {
        "rows": rows,
        "signature": msgspec.to_builtins(lesson.signature),
        "source": job.source,
        "environment": environment.digest,
        "requirements": environment.requirements,
        "modelyard": environment.modelyard,
        "python": environment.python,
        "processor": processor(),
        "seed": lesson.seed,
        "threads": lesson.threads,
        "reproduce_within": job.declaration.reproduce_within,
    }


def evaluate(yard: Yard, job: Job) -> Outcome:
    """Measures the version on the rows that it has not seen, overall and by slice, with the predictor that would serve it."""
    _, rows = split(snapshot_of(yard, job), job.declaration)
    labels = rows[job.declaration.label].cast(pl.Float64).to_numpy()
    scores = scored(yard, job, rows)
    metrics = {name: measured(name, labels, scores) for name in metrics_of(job.declaration)}
    facts: Facts = {
        "rows": rows.height,
        **_span(job.declaration, rows),
        "metrics": {name: found.value for name, found in metrics.items()},
        "standard_errors": {name: found.standard_error for name, found in metrics.items()},
        "slices": _slices(job.declaration, rows, labels, scores),
        "scores": put_frame(yard.blobs, pl.DataFrame({SCORE: scores})),
    }

    def apply(tx: Transaction) -> Facts:
        logged_metrics(tx, job, facts["metrics"])
        return {}

    return Done(facts=facts, apply=apply)


def _span(declaration: ModelDeclaration, rows: pl.DataFrame) -> Facts:
    """The first and the last instant of rows that have one."""
    if declaration.as_of is None:
        return {}
    at = rows[AS_OF].cast(pl.Int64)
    return {"from": int(at[0]), "to": int(at[-1])}


def challenge(yard: Yard, job: Job) -> Outcome:
    """Holds the version against the champion on the same rows, then against every gate; one that fails ends the delivery."""
    champion = champion_of(yard, job.declaration.name)
    facts: Facts = {"champion": None if champion is None else {"version": champion.number}}
    if champion is not None:
        _, rows = split(snapshot_of(yard, job), job.declaration)
        labels = rows[job.declaration.label].cast(pl.Float64).to_numpy()
        theirs = predicted(yard, champion.artifact, rows, champion.signature)
        days = None if job.declaration.as_of is None else days_of(rows)
        found = paired_difference(metrics_of(job.declaration)[0], labels, theirs, evaluated(yard, job), groups=days)
        facts["challenge"] = msgspec.to_builtins(found)
    known = GateFacts(
        metrics=job.facts(StageName.EVALUATE)["metrics"],
        champion=facts["champion"],
        challenge=facts.get("challenge"),
        data={"rows": job.facts(StageName.SNAPSHOT)["rows"], "ok": job.facts(StageName.CHECK)["ok"]},
        risk=job.declaration.risk,
        model=job.declaration.name,
        cause=job.delivery.cause.kind,
    )
    decisions = [decided(gate.expression, msgspec.structs.asdict(known)) for gate in job.declaration.gates]
    facts["gates"] = msgspec.to_builtins(decisions)
    refused = [one for one in decisions if not one.passed]
    if refused:
        return Stopped(state=DeliveryState.REFUSED, reason=f"gate {refused[0].expression}: {refused[0].reason}", facts=facts)
    return Done(facts=facts)


def days_of(rows: pl.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]] | None:
    """The UTC day of each row: what one day brings to all of its rows counts once. None where there are too few days to tell."""
    days = rows[AS_OF].cast(pl.Int64).to_numpy() // (DAY_S * SECOND)
    return days if np.unique(days).size >= FEWEST_DAYS else None


def evaluated(yard: Yard, job: Job) -> Vector:
    """What the trained version answered for the test rows when it was evaluated, in their order."""
    return get_frame(yard.blobs, job.facts(StageName.EVALUATE)["scores"])[SCORE].to_numpy()


def scored(yard: Yard, job: Job, rows: pl.DataFrame, *, at_once: int | None = None) -> Vector:
    """What the trained version answers for `rows`, all together, or so many at once."""
    facts = job.facts(StageName.TRAIN)
    signature = msgspec.convert(facts["signature"], Signature)
    return predicted(yard, facts["artifact"], rows, signature, at_once)


def predicted(yard: Yard, artifact: str, rows: pl.DataFrame, signature: Signature | None, at_once: int | None = None) -> Vector:
    """What a stored artifact answers for `rows`, shape (rows,), all together or so many at once."""
    assert signature is not None  # delivered versions have one
    encoded = matrix({name: rows[name] for name in signature.names}, signature)
    size = at_once or max(rows.height, 1)
    with fetched(yard.blobs, Digest(artifact)) as folder:
        predictor = load(folder)
        return np.concatenate([predictor.predict(encoded[start : start + size]) for start in range(0, rows.height, size)])


def metrics_of(declaration: ModelDeclaration) -> tuple[Metric, ...]:
    """What a model of its task is measured by; the first is what it is compared by."""
    wanted = ("roc_auc", "log_loss", "brier", "accuracy") if declaration.task == "binary" else ("rmse", "mae")
    return tuple(name for name in METRICS if name in wanted)


def _slices(declaration: ModelDeclaration, rows: pl.DataFrame, labels: Vector, scores: Vector) -> list[Facts]:
    metric, found = metrics_of(declaration)[0], []
    for column in declaration.slices:
        counts = rows[column].value_counts().drop_nulls().sort("count", descending=True).head(MOST_SLICES)
        for value, count in counts.rows():
            there = (rows[column] == value).fill_null(value=False).to_numpy()
            if count >= FEWEST_SLICE_ROWS and np.unique(labels[there]).size > 1:
                one = measured(metric, labels[there], scores[there])
                found.append(
                    {"column": column, "value": value, "metric": metric, "is": one.value, "error": one.standard_error, "rows": count}
                )
    return found

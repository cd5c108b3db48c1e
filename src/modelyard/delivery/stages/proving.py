"""The stage that proves a registered version on the serving path before any traffic meets it."""

import time

import numpy as np

from modelyard.delivery.domain import DeliveryState, Facts
from modelyard.delivery.machine import Done, Outcome, Stopped
from modelyard.delivery.stages.learning import Vector, evaluated, scored
from modelyard.delivery.stages.splitting import split
from modelyard.delivery.stages.yard import Job, Yard, snapshot_of

REPLAYED_ROWS = 500
MOST_BATCH_DIFFERENCE = 1e-6
"""How far answers to one row may lie apart, as a share of the largest answer or of 1: libraries sum in another order, or in float32."""


def stage(yard: Yard, job: Job) -> Outcome:
    """Loads the registered version as a gateway would, and proves on recorded rows that it answers as it did when evaluated."""
    _, rows = split(snapshot_of(yard, job), job.declaration)
    sample = rows.head(REPLAYED_ROWS)
    began = time.perf_counter()
    whole = scored(yard, job, sample)
    took_s = time.perf_counter() - began
    singly, recorded = scored(yard, job, sample, at_once=1), evaluated(yard, job)[:REPLAYED_ROWS]
    facts: Facts = {
        "rows": sample.height,
        "different": int((whole != singly).sum()),
        "us_a_row": round(took_s / max(sample.height, 1) * 1e6, 2),
    }
    if not (np.isfinite(whole).all() and np.isfinite(singly).all()):
        return Stopped(state=DeliveryState.REFUSED, reason="it answers with something that is no number", facts=facts)
    allowed = MOST_BATCH_DIFFERENCE * max(1.0, float(np.abs(whole).max(initial=0.0)))
    facts |= {"largest": _apart(whole, singly), "from_evaluation": _apart(whole, recorded), "allowed": allowed}
    for name, said in (
        ("largest", "alone and in a batch its answers differ"),
        ("from_evaluation", "its answers differ from the evaluation's"),
    ):
        if facts[name] > allowed:
            return Stopped(
                state=DeliveryState.REFUSED, reason=f"{said} by up to {facts[name]:.3g}, at most {allowed:.3g} is allowed", facts=facts
            )
    return Done(facts=facts)


def _apart(ours: Vector, others: Vector) -> float:
    """How far finite answers and others to the same rows lie apart at most; as far as can be said where others are no numbers."""
    apart = np.abs(ours - others)
    return float(np.where(np.isfinite(apart), apart, np.finfo(np.float64).max).max(initial=0.0))

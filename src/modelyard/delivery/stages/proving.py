"""The stage that proves a registered version on the serving path before any traffic meets it."""

import time

import numpy as np

from modelyard.delivery.domain import DeliveryState, Facts
from modelyard.delivery.machine import Done, Outcome, Stopped
from modelyard.delivery.stages.learning import scored
from modelyard.delivery.stages.yard import Job, Yard, snapshot_of, split

REPLAYED_ROWS = 500
MOST_BATCH_DIFFERENCE = 1e-6
"""How far an answer alone and in a batch may lie apart: some libraries sum in another order."""


def stage(yard: Yard, job: Job) -> Outcome:
    """Loads the registered version as a gateway would, and proves on recorded rows that it answers as it did when evaluated."""
    _, rows = split(snapshot_of(yard, job), job.declaration.holdout)
    sample = rows.head(REPLAYED_ROWS)
    began = time.perf_counter()
    whole = scored(yard, job, sample)
    took_s = time.perf_counter() - began
    singly = scored(yard, job, sample, at_once=1)
    different = int((whole != singly).sum())
    facts: Facts = {"rows": sample.height, "different": different, "us_a_row": round(took_s / max(sample.height, 1) * 1e6, 2)}
    if not np.isfinite(whole).all():
        return Stopped(state=DeliveryState.REFUSED, reason="it answers with something that is no number", facts=facts)
    largest = float(np.abs(whole - singly).max(initial=0.0))
    if largest > MOST_BATCH_DIFFERENCE:
        reason = f"alone and in a batch its answers differ by up to {largest:.3g}, at most {MOST_BATCH_DIFFERENCE} is allowed"
        return Stopped(state=DeliveryState.REFUSED, reason=reason, facts=facts | {"largest": largest})
    return Done(facts=facts | {"largest": largest})

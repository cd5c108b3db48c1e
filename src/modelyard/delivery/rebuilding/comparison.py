"""What was rebuilt beside what was recorded, and the verdict that follows. Pure: computes nothing of a model itself.

Owns the tolerance. On processors of the same family nothing but equal bits counts, unless the declaration that the original was
trained from says otherwise; elsewhere sums may be rounded otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.core.digests import Digest, digest_bytes
from modelyard.delivery.domain import Comparison, Verdict

TOLERANCE = 1e-6
"""The most by which a metric or a prediction may differ on another family of processors, relative to the larger of 1 and its size."""

MODEL = "model content"
PREDICTIONS = "predictions"
FILE = "file "
Vector = np.ndarray[Any, np.dtype[np.float64]]


def compared(what: str, recorded: Digest | str, rebuilt: Digest | str, *, decides: bool, note: str = "") -> Comparison:
    """Two texts or digests side by side."""
    return Comparison(what=what, recorded=recorded, rebuilt=rebuilt, is_equal=recorded == rebuilt, decides=decides, note=note)


def compared_metrics(recorded: Mapping[str, float | None], rebuilt: Mapping[str, float]) -> list[Comparison]:
    """Each recorded metric beside the rebuilt one. None is recorded of what was no finite number: any such is its equal.

    >>> [one.is_equal for one in compared_metrics({"auc": None, "loss": float("inf")}, {"auc": float("nan"), "loss": float("-inf")})]
    [True, False]
    """
    return [_metric(name, value, rebuilt.get(name)) for name, value in recorded.items()]


def compared_predictions(recorded: Vector, rebuilt: Vector) -> Comparison:
    """The answers of both models for the same rows, shape (rows,): equal where every bit is."""
    is_equal = recorded.tobytes() == rebuilt.tobytes()
    with np.errstate(invalid="ignore"):
        is_same = (recorded == rebuilt) | (np.isnan(recorded) & np.isnan(rebuilt))
        apart = np.where(is_same, 0.0, np.abs(recorded - rebuilt))
    largest = float(apart.max(initial=0.0))
    different = int((recorded.view(np.int64) != rebuilt.view(np.int64)).sum())
    scale = max(1.0, float(np.abs(recorded[np.isfinite(recorded)]).max(initial=0.0)))
    note = f"{recorded.size:,} rows" if is_equal else f"{different:,} of {recorded.size:,} rows differ, by up to {largest:.3g}"
    return Comparison(
        what=PREDICTIONS,
        recorded=digest_bytes(recorded.tobytes()),
        rebuilt=digest_bytes(rebuilt.tobytes()),
        is_equal=is_equal,
        difference=largest / scale if math.isfinite(largest) else None,
        note=note,
    )


def allowed(declared: float, *, is_same_family: bool) -> float:
    """How far numbers may lie off: as declared before the original was trained; on other processors `TOLERANCE` at least."""
    return declared if is_same_family else max(declared, TOLERANCE)


def verdict_of(comparisons: Sequence[Comparison], within: float) -> tuple[Verdict, str]:
    """The verdict, and in words what it rests on. `within` 0 asks for equal bits.

    >>> one = Comparison(what="metric rmse", recorded="1.0", rebuilt="1.0000000001", is_equal=False, difference=1e-10)
    >>> verdict_of([one], 1e-9)[0].value, verdict_of([one], 0.0)[0].value
    ('equal_within_tolerance', 'different')
    """
    different = [one for one in comparisons if one.decides and not one.is_equal]
    if not different:
        return Verdict.IDENTICAL, "the model computes the same, bit for bit"
    beyond = [one for one in different if not _is_bits(one) and (one.difference is None or one.difference > within)]
    has_figures = any(one.decides and not _is_bits(one) for one in comparisons)
    if within and has_figures and not beyond:
        return Verdict.EQUAL_WITHIN_TOLERANCE, f"every number is within {within:g} of what was recorded"
    return Verdict.DIFFERENT, ", ".join(one.what for one in (beyond if within and has_figures else different))


def _is_bits(one: Comparison) -> bool:
    """Whether it has no distance, so that within a tolerance the figures alone decide; a file that was not written again is no such."""
    return one.what == MODEL or (one.what.startswith(FILE) and bool(one.rebuilt))


def _metric(name: str, recorded: float | None, rebuilt: float | None) -> Comparison:
    if recorded is None and rebuilt is not None and not math.isfinite(rebuilt):
        rebuilt = None
        is_equal = True
    else:
        # By their texts: one that is not a number is equal to another, minus zero is no zero, and one that is missing is no figure.
        is_equal = recorded is not None and rebuilt is not None and repr(float(recorded)) == repr(float(rebuilt))
    texts = ["none" if value is None else repr(float(value)) for value in (recorded, rebuilt)]
    apart = math.inf if recorded is None or rebuilt is None else abs(recorded - rebuilt) / max(1.0, abs(recorded))
    difference = apart if math.isfinite(apart) else None
    return Comparison(what=f"metric {name}", recorded=texts[0], rebuilt=texts[1], is_equal=is_equal, difference=difference)

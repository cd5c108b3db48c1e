"""Points of a metric: how a batch of them is packed, read back, ordered, thinned out and digested, and which is the latest.

Points are packed column by column, little-endian: all instants, all steps, all values; 24 bytes a point.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from modelyard.core.digests import Digest
from modelyard.tracking.domain import Metric

BYTES_A_POINT = 24
LARGEST = 1.7976931348623157e308

_ONE = struct.Struct("<qqd")


class Latest(NamedTuple):
    """The point that search sees: of the highest step, then instant, then value. A NaN is kept as 0 and a flag.

    Tuples of these compare as MLflow compares them.
    """

    step: int
    at: int
    value: float
    is_nan: bool


class Points(NamedTuple):
    """Points of one series as columns of one length: instants in microseconds, steps, values."""

    at: npt.NDArray[np.int64]
    step: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


def bounded(value: float) -> float:
    """`value`, an infinity as the largest double of its sign, as MLflow keeps it.

    >>> bounded(float("-inf"))
    -1.7976931348623157e+308
    """
    return math.copysign(LARGEST, value) if math.isinf(value) else value


def latest_of(metrics: Sequence[Metric]) -> Latest:
    """The latest of at least one metric of one key."""
    best = metrics[0]
    for one in metrics:
        if one.step > best.step or (one.step == best.step and (one.at > best.at or (one.at == best.at and _is_above(one, best)))):
            best = one
    is_nan = best.value != best.value
    return Latest(best.step, best.at, 0.0 if is_nan else best.value, is_nan)


def _is_above(one: Metric, other: Metric) -> bool:
    if one.value == one.value and other.value == other.value:
        return one.value > other.value
    return _ranked(one.value) > _ranked(other.value)


def _ranked(value: float) -> tuple[float, bool]:
    return (0.0, True) if value != value else (value, False)


def packed(metrics: Sequence[Metric]) -> bytes:
    """Metrics of one key, packed."""
    if len(metrics) == 1:
        only = metrics[0]
        return _ONE.pack(only.at, only.step, only.value)
    count = len(metrics)
    return struct.pack(f"<{2 * count}q{count}d", *[m.at for m in metrics], *[m.step for m in metrics], *[m.value for m in metrics])


def packed_points(points: Points) -> bytes:
    """Points, packed."""
    return points.at.astype("<i8").tobytes() + points.step.astype("<i8").tobytes() + points.value.astype("<f8").tobytes()


def unpacked(chunks: Sequence[bytes]) -> Points:
    """The points of packed chunks, one chunk after the other."""
    at, step, value = [], [], []
    for chunk in chunks:
        count = len(chunk) // BYTES_A_POINT
        at.append(np.frombuffer(chunk, "<i8", count))
        step.append(np.frombuffer(chunk, "<i8", count, 8 * count))
        value.append(np.frombuffer(chunk, "<f8", count, 16 * count))
    if not chunks:
        return Points(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))
    return Points(np.concatenate(at), np.concatenate(step), np.concatenate(value))


def by_time(points: Points) -> Points:
    """Points by instant, step and value, repeated ones once: the order of a metric's history."""
    return _ordered(points, points.step, points.at)


def by_step(points: Points) -> Points:
    """Points by step, instant and value, repeated ones once: the order of a curve."""
    return _ordered(points, points.at, points.step)


def _ordered(points: Points, minor: npt.NDArray[np.int64], major: npt.NDArray[np.int64]) -> Points:
    if len(major) < 2 or bool((major[1:] > major[:-1]).all()):
        return points
    # A NaN is one value here: it sorts as 0, after it, and repeats itself.
    is_nan = np.isnan(points.value)
    comparable = np.where(is_nan, 0.0, points.value)
    order = np.lexsort((is_nan, comparable, minor, major))
    at, step, value, flag = points.at[order], points.step[order], comparable[order], is_nan[order]
    if len(order) > 1:
        keep = np.r_[True, (np.diff(at) != 0) | (np.diff(step) != 0) | (value[1:] != value[:-1]) | (flag[1:] != flag[:-1])]
        at, step, order = at[keep], step[keep], order[keep]
    return Points(at, step, points.value[order])


def content_digest(points: Points) -> Digest:
    """The digest of a series: of its points by step, repeated ones once, packed row by row as step, instant, value."""
    return Digest("sha256:" + hashlib.sha256(_rows(by_step(points)).tobytes()).hexdigest())


def _rows(points: Points) -> npt.NDArray[np.void]:
    """Points row by row, with one bit pattern for every NaN and for both zeros: they are one point."""
    rows = np.empty(len(points.step), dtype=[("step", "<i8"), ("at", "<i8"), ("value", "<f8")])
    rows["step"], rows["at"] = points.step, points.at
    rows["value"] = np.where(np.isnan(points.value), np.nan, points.value + 0.0)
    return rows


def missing_from(known: Points, points: Points) -> Points:
    """Those of `points` that are not among the `known`, repeated ones once."""
    once = by_step(points)
    if not len(known.step) or not len(once.step):
        return once
    bits = [("step", "<i8"), ("at", "<i8"), ("value", "<i8")]
    is_new = ~np.isin(_rows(once).view(bits), _rows(known).view(bits))
    return Points(once.at[is_new], once.step[is_new], once.value[is_new])


def latest_of_points(points: Points) -> Latest:
    """The latest of at least one point."""
    is_nan = np.isnan(points.value)
    comparable = np.where(is_nan, 0.0, points.value)
    last = int(np.lexsort((is_nan, comparable, points.at, points.step))[-1])
    return Latest(int(points.step[last]), int(points.at[last]), float(comparable[last]), bool(is_nan[last]))


def sampled(points: Points, most: int) -> Points:
    """At most `most` of the points by step, evenly spread, the last one among them, as MLflow samples them."""
    ordered = by_step(points)
    count = len(ordered.step)
    if count <= most:
        return ordered
    # NTILE's buckets: the first `count % most` hold one more. The first of each bucket is kept.
    size, larger = divmod(count, most)
    firsts = np.arange(most) * size + np.minimum(np.arange(most), larger)
    firsts[-1] = count - 1
    return Points(ordered.at[firsts], ordered.step[firsts], ordered.value[firsts])


def between(points: Points, first: int, last: int) -> Points:
    """The points with a step from `first` to `last`, both among them."""
    keep = (points.step >= first) & (points.step <= last)
    return Points(points.at[keep], points.step[keep], points.value[keep])


def part(points: Points, start: int, end: int | None) -> Points:
    """The points from place `start` up to, not including, `end`."""
    return Points(points.at[start:end], points.step[start:end], points.value[start:end])

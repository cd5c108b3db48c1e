"""Points of a metric as a line to draw: over which axis, smoothed how, thinned out to what can be seen. Owns no lookup.

A line is thinned out bucket by bucket of its axis to the first, lowest, highest and last value of each: what is drawn at one
pixel a bucket is then what all points would have drawn, and no spike is lost. Methods that keep the largest triangles lose
spikes that stand alone, and those are what people look for. A value that is not a number stays, as a gap.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from modelyard.core.clock import SECOND
from modelyard.tracking.rules.series import LARGEST, Points, by_step, by_time

Axis = Literal["step", "relative", "wall"]
"""What a curve runs over: the steps that were logged, seconds since its first point, or the wall clock in milliseconds."""

Numbers = npt.NDArray[np.float64]
MOST_SMOOTHING = 0.999
KEPT_IN_A_BUCKET = 4
_SMALLEST_WEIGHT = 1e-200


class Line(NamedTuple):
    """A line as columns of one length; a NaN among the values is a gap."""

    x: Numbers
    y: Numbers


def placed(points: Points, axis: Axis) -> Line:
    """The points along an axis, repeated ones once. An infinity, which is kept as the largest double, is a gap."""
    ordered = by_step(points) if axis == "step" else by_time(points)
    values = np.where(np.abs(ordered.value) < LARGEST, ordered.value, np.nan)
    if axis == "step":
        return Line(ordered.step.astype(np.float64), values)
    if axis == "wall":
        return Line(ordered.at / 1000, values)
    start = ordered.at[0] if len(ordered.at) else 0
    return Line((ordered.at - start) / SECOND, values)


def smoothed(values: Numbers, weight: float) -> Numbers:
    """The exponential moving average of `values`, each step keeping `weight` of what came before, in [0, 0.999].

    Debiased: divided by the weights that went in, so that it starts at the first value and not at 0 (Kingma and Ba, Adam,
    2015, section 3). A NaN stays one and does not count.

    >>> smoothed(np.array([1.0, 3.0]), 0.5).round(4).tolist()
    [1.0, 2.3333]
    """
    weight = min(max(weight, 0.0), MOST_SMOOTHING)
    if weight == 0 or not len(values):
        return values
    is_number = np.isfinite(values)
    averaged = np.full(len(values), np.nan)
    found = _averaged(values[is_number], weight)
    averaged[is_number] = found / -np.expm1(np.arange(1, len(found) + 1) * np.log(weight))
    return averaged


def _averaged(values: Numbers, weight: float) -> Numbers:
    """The average from 0 on, in blocks within which the weights stay far from what a double cannot tell from 0."""
    size = max(1, int(np.log(_SMALLEST_WEIGHT) / np.log(weight)))
    result = np.empty(len(values))
    before = 0.0
    for start in range(0, len(values), size):
        block = values[start : start + size]
        powers = weight ** np.arange(1, len(block) + 1)
        result[start : start + len(block)] = powers * (before + (1 - weight) * np.cumsum(block / powers))
        before = result[start + len(block) - 1]
    return result


def within(line: Line, first: float | None, last: float | None) -> Line:
    """The part of the line from `first` to `last`, with the point before and the one behind, so that it runs to the edges."""
    low = 0 if first is None else max(int(np.searchsorted(line.x, first, "left")) - 1, 0)
    high = len(line.x) if last is None else min(int(np.searchsorted(line.x, last, "right")) + 1, len(line.x))
    return Line(line.x[low:high], line.y[low:high])


def thinned(line: Line, most: int) -> Line:
    """At most about `most` points that draw as all of them would at a pixel for every four; gaps stay gaps."""
    count = len(line.x)
    buckets = max(1, most // KEPT_IN_A_BUCKET)
    if count <= most or line.x[-1] <= line.x[0]:
        return line
    place = np.minimum(((line.x - line.x[0]) / (line.x[-1] - line.x[0]) * buckets).astype(np.int64), buckets - 1)
    begins = np.r_[True, place[1:] != place[:-1]]
    starts, bucket = np.flatnonzero(begins), np.cumsum(begins) - 1
    ends = np.r_[starts[1:], count] - 1
    lowest = _first_of_each(line.y == np.fmin.reduceat(line.y, starts)[bucket], bucket)
    highest = _first_of_each(line.y == np.fmax.reduceat(line.y, starts)[bucket], bucket)
    # One of each bucket: where every other value is a gap, all of them would be half of the points.
    gaps = _first_of_each(np.isnan(line.y), bucket)
    kept = np.unique(np.concatenate((starts, ends, lowest, highest, gaps)))
    return Line(line.x[kept], line.y[kept])


def _first_of_each(is_hit: npt.NDArray[np.bool_], bucket: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first place of a hit in each bucket that has one."""
    hits = np.flatnonzero(is_hit)
    return hits[np.r_[True, bucket[hits][1:] != bucket[hits][:-1]]] if len(hits) else hits

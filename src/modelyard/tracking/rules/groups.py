"""Groups of runs by what they have in a column, and how a metric spreads in each. Owns no lookup."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class Partition(NamedTuple):
    """Runs in groups: what each group has in common, in the order in which groups appear, and the group of each run."""

    values: list[str | None]
    place: dict[str, int]
    counts: Places


class Measured(NamedTuple):
    """The runs that have a metric, and the value of each, as columns of one length."""

    runs: Sequence[str]
    values: Numbers


class Spreads(NamedTuple):
    """A metric over groups, as columns of one length: lowest, mean, highest, and how many runs have it. NaN where none has."""

    least: Numbers
    mean: Numbers
    greatest: Numbers
    runs: Places


def partition(runs: Sequence[str], texts: Mapping[str, str]) -> Partition:
    """The runs by their texts; those without one are a group of their own."""
    # Maps over the dictionaries' own methods: tens of thousands of runs are looked up, and each step in Python would show.
    found = list(map(texts.get, runs))
    numbers = {text: n for n, text in enumerate(dict.fromkeys(found))}
    places = list(map(numbers.__getitem__, found))
    return Partition(list(numbers), dict(zip(runs, places, strict=True)), np.bincount(np.array(places, np.int64), minlength=len(numbers)))


def spreads(groups: Partition, measured: Measured) -> Spreads:
    """How a metric spreads over the groups; values of other runs are passed over."""
    place = np.fromiter(map(groups.place.get, measured.runs, itertools.repeat(-1)), np.int64, len(measured.runs))
    number = measured.values[place >= 0]
    place = place[place >= 0]
    count = len(groups.values)
    least, greatest, mean = np.full(count, np.nan), np.full(count, np.nan), np.full(count, np.nan)
    if not len(place):
        return Spreads(least, mean, greatest, np.zeros(count, np.int64))
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(place[order]) != 0])
    there = place[order][starts]
    runs = np.bincount(place, minlength=count)
    least[there] = np.minimum.reduceat(number[order], starts)
    greatest[there] = np.maximum.reduceat(number[order], starts)
    # Each value is divided first: values near the largest double have a mean, but no sum.
    mean[there] = np.add.reduceat(number[order] / runs[place[order]], starts)
    return Spreads(least, mean, greatest, runs)


def ordered(groups: Partition, by: str, means: Numbers | None) -> list[int]:
    """The groups' places by `value`, by `runs`, or by `means` where `by` names a metric; `-` before it for descending.

    Groups that have nothing to be ordered by come last either way; ties stay as they appeared.
    """
    name, is_falling = by.removeprefix("-"), by.startswith("-")
    places = range(len(groups.values))
    if name == "value":
        known = sorted((n for n in places if groups.values[n] is not None), key=lambda n: as_people_sort(groups.values[n] or ""))
        return [*(known[::-1] if is_falling else known), *(n for n in places if groups.values[n] is None)]
    weights: Numbers = groups.counts.astype(np.float64) if means is None else means
    keys = -weights if is_falling or (means is None and name != "runs") else weights
    found: list[int] = np.argsort(np.where(np.isnan(keys), np.inf, keys), kind="stable").tolist()
    return found


def as_people_sort(text: str) -> tuple[int, float, str]:
    """A key by which numbers come by size, before words by letter.

    >>> sorted(["10", "9", "adam"], key=as_people_sort)
    ['9', '10', 'adam']
    """
    try:
        number = float(text)
    except ValueError:
        return (1, 0.0, text)
    return (0, number, text) if number == number else (1, 0.0, text)

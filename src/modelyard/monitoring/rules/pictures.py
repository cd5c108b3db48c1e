"""Two samples over the same few bins, as a page draws them. Owns how fine bins become coarse ones; draws nothing."""

from collections.abc import Sequence

import msgspec
import numpy as np

from modelyard.monitoring.domain import CategoryColumn, CategoryCounts, Column, Counts, NumberColumn, NumberCounts, Observation

BINS = 16
MOST_WORDS = 8


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A range of values, or a word, with the share of either sample in it. The bounds of a word are its place."""

    low: float
    high: float
    reference: float
    current: float
    word: str = ""


def shape(column: Column, counts: Counts) -> tuple[Part, ...]:
    """A column's reference and window over at most BINS ranges of equal width, or over its most frequent categories.

    Within a bin of the reference values count as spread evenly. What lies beyond the reference's range is in the first
    or the last part. Empty where either sample is.
    """
    if isinstance(column, NumberColumn) and isinstance(counts, NumberCounts):
        return _of_numbers(column, counts)
    if isinstance(column, CategoryColumn) and isinstance(counts, CategoryCounts):
        return _of_words(column, counts)
    return ()


def _of_numbers(column: NumberColumn, counts: NumberCounts) -> tuple[Part, ...]:
    before = np.asarray(column.counts, dtype=np.float64)
    now = np.asarray(counts.counts, dtype=np.float64)
    now[0] += counts.below
    now[-1] += counts.above
    if before.sum() == 0 or now.sum() == 0 or column.high <= column.low:
        return ()
    if column.is_discrete and len(column.counts) <= BINS:
        places = (*column.edges, column.high)
        return tuple(
            Part(low=place, high=place, reference=r, current=c, word=f"{place:g}")
            for place, r, c in zip(places, (before / before.sum()).tolist(), (now / now.sum()).tolist(), strict=True)
        )
    ends = np.array((column.low, *column.edges, column.high))
    borders = np.linspace(column.low, column.high, BINS + 1)
    shares = []
    for sample in (before, now):
        cumulative = np.interp(borders, ends, np.concatenate(([0.0], np.cumsum(sample))) / sample.sum())
        shares.append(np.diff(cumulative).tolist())
    return tuple(
        Part(low=float(low), high=float(high), reference=r, current=c)
        for low, high, r, c in zip(borders[:-1], borders[1:], shares[0], shares[1], strict=True)
    )


def _of_words(column: CategoryColumn, counts: CategoryCounts) -> tuple[Part, ...]:
    words = [*column.categories, "rare ones", "unseen before"]
    before, now = [*column.counts, column.rare_count, 0], [*counts.counts, counts.rare, counts.unseen]
    if sum(before) == 0 or sum(now) == 0:
        return ()
    ranked = sorted(range(len(words)), key=lambda i: -max(before[i] / sum(before), now[i] / sum(now)))
    shown = [i for i in ranked[:MOST_WORDS] if before[i] or now[i]]
    return tuple(
        Part(low=place, high=place + 1, reference=before[i] / sum(before), current=now[i] / sum(now), word=words[i])
        for place, i in enumerate(shown)
    )


def smoothed(days: Sequence[Observation], over: int = 7) -> tuple[Observation, ...]:
    """Each day's mean of itself and the days before, `over` of them at most, weighted by their rows, with its error.

    The error is the larger of what the days' own errors give and of what their differences do.
    """
    made = []
    for n in range(len(days)):
        part = days[max(0, n - over + 1) : n + 1]
        rows = np.array([day.rows for day in part], dtype=np.float64)
        values = np.array([day.value for day in part])
        weight = rows / rows.sum()
        mean = float((weight * values).sum())
        own = float(((weight * np.array([day.standard_error for day in part])) ** 2).sum())
        between = float((weight**2 * (values - mean) ** 2).sum()) * len(part) / max(len(part) - 1, 1)
        made.append(
            Observation(
                since_at=part[0].since_at,
                until_at=part[-1].until_at,
                value=mean,
                standard_error=float(np.sqrt(max(own, between))),
                rows=int(rows.sum()),
            )
        )
    return tuple(made)

"""References and summaries of windows: counts that merge. Owns their shape; how they are made is in `rules.summaries`."""

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest


class Dispersion(msgspec.Struct, frozen=True, kw_only=True):
    """How much more the reference's own windows differ than windows of independent rows would; 1 where they do not.

    `window` is for the shape over the drift window, `day` for the shape over a day, `missing` for missing shares by day.
    """

    window: float = 1.0
    day: float = 1.0
    missing: float = 1.0


class NumberColumn(msgspec.Struct, frozen=True, kw_only=True, tag="number"):
    """A numeric column of the reference: a histogram of at most 256 bins of about equal share.

    Bin i holds the values in (edges[i-1], edges[i]]; the first begins at `low`, the last ends at `high`. Where the
    reference `is_discrete`, each bin ends at one of its values and holds that one alone: nothing is lost.
    """

    name: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    low: float
    high: float
    mean: float
    std: float
    missing: int
    is_discrete: bool = False
    dispersion: Dispersion = Dispersion()


class CategoryColumn(msgspec.Struct, frozen=True, kw_only=True, tag="category"):
    """A column of categories in the reference: counts of the most frequent, then what is known beyond them.

    `rare` is `None` where there were too many to remember: then nothing is called unseen.
    """

    name: str
    categories: tuple[str, ...]
    counts: tuple[int, ...]
    rare: tuple[str, ...] | None
    rare_count: int
    missing: int
    dispersion: Dispersion = Dispersion()


Column = NumberColumn | CategoryColumn


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was trained on, column by column; windows are held against it.

    `days` is how many days of its rows were told apart to measure dispersion; 0 where the rows came without instants.
    """

    rows: int
    columns: tuple[Column, ...]
    days: int = 0

    def column(self, name: str) -> Column | None:
        """The column of that name."""
        return next((column for column in self.columns if column.name == name), None)


class NumberCounts(msgspec.Struct, frozen=True, kw_only=True, tag="number"):
    """How many values of a window fell into each bin of the reference, below it, above it, or were none.

    `excess` is the sum of how far values lie beyond the reference's range, in millionths of its standard deviation.
    """

    counts: tuple[int, ...]
    below: int = 0
    above: int = 0
    missing: int = 0
    invalid: int = 0
    excess: int = 0
    low: float | None = None
    high: float | None = None


class CategoryCounts(msgspec.Struct, frozen=True, kw_only=True, tag="category"):
    """How often each known category occurred, and what else did. `examples` are the first few unseen ones by the alphabet."""

    counts: tuple[int, ...]
    rare: int = 0
    unseen: int = 0
    missing: int = 0
    invalid: int = 0
    examples: tuple[str, ...] = ()


Counts = NumberCounts | CategoryCounts


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of the rows that one day, which began at `since_at`, brought."""

    since_at: Instant
    summary: "WindowSummary"


class WindowSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A window of rows in the terms of one reference. Summaries merge; no row is read twice."""

    reference: Digest
    rows: int
    columns: dict[str, Counts]

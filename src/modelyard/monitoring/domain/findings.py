"""What a look at a window finds: drift, quality, levels, degradations, differences. Owns the figures, not what follows."""

from enum import StrEnum
from typing import Literal

import msgspec

from modelyard.core.clock import Instant
from modelyard.monitoring.domain.declarations import Metric
from modelyard.registry.domain import ModelName


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far a column's window lies from its reference. `effect` is what `min_effect` is held against.

    `since_at` is where the window begins in which it shows most. `distance` is the normalised Wasserstein distance, in
    standard deviations of the reference; `None` for categories.
    """

    column: str
    effect: float
    p: float
    psi: float
    jensen_shannon: float
    distance: float | None
    test: Literal["ks", "chi_square"]
    rows: int
    since_at: Instant = Instant(0)


class QualityKind(StrEnum):
    """In what way values are bad."""

    MISSING = "missing"
    OUT_OF_RANGE = "out_of_range"
    UNSEEN = "unseen"
    INVALID = "invalid"
    ABSENT = "absent"


class ColumnQuality(msgspec.Struct, frozen=True, kw_only=True):
    """The share of bad values in a window with its 95% interval, and in the reference."""

    column: str
    kind: QualityKind
    share: float
    low: float
    high: float
    reference_share: float
    p: float
    rows: int
    examples: tuple[str, ...] = ()


class SkewCause(StrEnum):
    """Why a logged vector is not what ought to have been read. Read late (the first two) it is what had been brought online by then."""

    LATE_DATA = "late_data"
    """Rows became available after the view was last brought online and before the read, which changed the value."""
    STALE = "stale"
    """As late data, where what had been brought online lay further back than the view promises, or nothing had been."""
    DEFINITION = "definition"
    """The value is what another version of the view gives."""
    FLOAT = "float"
    """Every number is equal to a billionth of itself, but not in its bits."""
    UNKNOWN = "unknown"
    """None of these explains the value."""


LATE_CAUSES = frozenset({SkewCause.LATE_DATA, SkewCause.STALE})
"""The causes with which a vector is not different: training would not see the value, but nothing else was read than had been brought."""


class SkewExample(msgspec.Struct, frozen=True, kw_only=True):
    """One feature of one vector as it was read and as it ought to have been, of a cause. Numbers are texts that keep every bit."""

    cause: SkewCause
    prediction: str
    keys: dict[str, str | int | None]
    at: Instant
    upto_at: Instant | None
    feature: str
    logged: str | None
    recomputed: str | None


class ViewSkew(msgspec.Struct, frozen=True, kw_only=True):
    """Logged online feature vectors of a view held against their recomputation from source, bit for bit.

    Of the `compared`, `different` ones are not what their source gives for their instant and for what had been brought
    online by then. An `unverifiable` one could not be told: its source can no longer be read, the log does not say how
    far the view had been brought online, or the request was dated before that. Of `logged` vectors so many were looked at:
    where that is less, a sample was drawn, and `logged` is estimated. `causes` counts those of the different, and beside
    them the vectors that were read late; `lag_s` is how far at worst what had been brought lay behind a read.
    """

    model: ModelName
    view: str
    since_at: Instant
    until_at: Instant
    compared: int
    different: int
    unverifiable: int
    logged: int = 0
    causes: dict[SkewCause, int] = {}
    lag_s: float | None = None
    examples: tuple[SkewExample, ...] = ()

    @property
    def late(self) -> int:
        """How many vectors were read as they had been brought online, which was not what ought to have been read."""
        return sum(count for cause, count in self.causes.items() if cause in LATE_CAUSES)

    @property
    def unverifiable_share(self) -> float:
        """The share of the vectors looked at that could not be told."""
        return self.unverifiable / max(self.compared + self.unverifiable, 1)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A metric on some outcomes, with its standard error."""

    metric: Metric
    value: float
    standard_error: float
    rows: int


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What a version was approved at, on `rows` outcomes.

    `by_day` is the mean of the metric's daily values, with its error: what days in service are held against. It is not
    `value`: an area under the curve over a month also ranks good days against bad ones, and is larger than day by day.
    `between_days` is the standard deviation of the true daily values. All are `None` where too few days are known.
    """

    metric: Metric
    value: float
    standard_error: float
    rows: int
    by_day: float | None = None
    by_day_error: float | None = None
    between_days: float | None = None
    days: int = 0

    @property
    def daily(self) -> float:
        """What a day's value is held against."""
        return self.value if self.by_day is None else self.by_day


class Histogram(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by rank key: scores to three digits, in order, whatever their range."""

    keys: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """The sum of a loss and of its square."""

    total: float
    squares: float


class Outcomes(msgspec.Struct, frozen=True, kw_only=True):
    """The labelled predictions of some time, enough to give every metric with its error. They merge."""

    rows: int
    positive: Histogram = Histogram()
    negative: Histogram = Histogram()
    moments: dict[str, Moments] = {}


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """A metric over the outcomes that came between `since_at` and `until_at`."""

    since_at: Instant
    until_at: Instant
    value: float
    standard_error: float
    rows: int


class Degradation(msgspec.Struct, frozen=True, kw_only=True):
    """What the sequential test says of a loss: the declared one where `evidence` reaches `threshold` and `loss` reaches `declared`.

    `value` is the mean daily level over the declared window, or since the likely onset, `since_at`, where that is later;
    `approved` is the mean daily level at approval, `loss` how much worse it is, in the metric's unit.
    """

    metric: Metric
    approved: float
    value: float
    standard_error: float
    loss: float
    declared: float
    evidence: float
    threshold: float
    since_at: Instant
    until_at: Instant
    rows: int

    @property
    def is_declared(self) -> bool:
        """Whether this is the degradation that was declared, and not chance."""
        return self.evidence >= self.threshold and self.loss >= self.declared


class PairedDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Two models on the same rows. `difference` is b minus a in the metric's unit, with a confidence interval.

    `p_worse` is the one-sided p-value of "b is no better than a": small where b is better, near 1 where it is worse.
    """

    metric: Metric
    a: float
    b: float
    difference: float
    standard_error: float
    low: float
    high: float
    confidence: float
    p_worse: float
    rows: int
    groups: int | None = None

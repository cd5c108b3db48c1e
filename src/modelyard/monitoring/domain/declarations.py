"""What a user declares to be watched: `drift`, `performance`, `quality`. Owns their checks; loads no numeric library."""

from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from modelyard.core.clock import SECOND, duration_s
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.monitoring.domain.errors import UnknownMetric

BinaryMetric = Literal["roc_auc", "accuracy", "log_loss", "brier"]
NumberMetric = Literal["mae", "rmse"]
Metric = Literal["roc_auc", "accuracy", "log_loss", "brier", "mae", "rmse"]
METRICS: tuple[Metric, ...] = get_args(Metric)
NUMBER_METRICS: tuple[NumberMetric, ...] = get_args(NumberMetric)
BINARY_METRICS: tuple[BinaryMetric, ...] = get_args(BinaryMetric)
HIGHER_IS_BETTER: frozenset[Metric] = frozenset({"roc_auc", "accuracy"})

MIN_EFFECT = 0.03
LEAST_WINDOW_S, MOST_WINDOW_S = 86400.0, 366 * 86400.0


class Drift(msgspec.Struct, frozen=True, kw_only=True, tag="drift", tag_field="monitor", forbid_unknown_fields=True):
    """Watches whether columns are distributed as they were in training."""

    columns: tuple[str, ...] | None = None
    min_effect: float = MIN_EFFECT
    window: str = "7d"

    def __post_init__(self) -> None:
        _check_share("min_effect", self.min_effect)
        _window_s(self.window)

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return round(_window_s(self.window) * SECOND)


class Performance(msgspec.Struct, frozen=True, kw_only=True, tag="performance", tag_field="monitor", forbid_unknown_fields=True):
    """Watches a metric, once labels come, against its level at approval. A loss of `drop` over `window` is a degradation."""

    metric: Metric
    drop: float
    window: str = "14d"
    relative: bool = False

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise UnknownMetric(f"{self.metric!r} is not measured", hint=nearest(str(self.metric), METRICS))
        if not self.drop > 0 or (self.drop >= 1 and (self.relative or self.metric in HIGHER_IS_BETTER)):
            raise InvalidInput(f"drop={self.drop} is no loss of {self.metric}", hint="a positive number, such as drop=0.03")
        _window_s(self.window)

    @property
    def window_us(self) -> int:
        """The window in microseconds."""
        return round(_window_s(self.window) * SECOND)


class Quality(msgspec.Struct, frozen=True, kw_only=True, tag="quality", tag_field="monitor", forbid_unknown_fields=True):
    """Watches missing, out-of-range, unseen and unreadable values, and views that went stale."""

    columns: tuple[str, ...] | None = None
    min_change: float = MIN_EFFECT

    def __post_init__(self) -> None:
        _check_share("min_change", self.min_change)


Monitor = Drift | Performance | Quality


def drift(columns: Sequence[str] | None = None, *, min_effect: float = MIN_EFFECT, window: str = "7d") -> Drift:
    """The declaration that `columns` (all, unless named) are watched for drift over `window`.

    `min_effect` is the least distance that counts, in [0, 1]: the largest difference of the cumulative shares for
    numbers, the total variation for categories. A significant distance below it is not reported.

    >>> drift(["distance"]).window
    '7d'
    """
    return Drift(columns=None if columns is None else tuple(columns), min_effect=min_effect, window=window)


def performance(metric: Metric, *, drop: float, window: str = "14d", relative: bool = False) -> Performance:
    """The declaration that a loss of `drop` against the approved level is a degradation.

    `drop` is in the metric's own unit, or a share of the approved level where `relative`; for errors such as `log_loss`
    it is a rise. Evidence is gathered over at most the last `window` of outcomes.

    >>> performance("roc_auc", drop=0.03).relative
    False
    """
    return Performance(metric=metric, drop=drop, window=window, relative=relative)


def quality(columns: Sequence[str] | None = None, *, min_change: float = MIN_EFFECT) -> Quality:
    """The declaration that the quality of `columns` (all, unless named) is watched.

    `min_change` is the least rise in the share of bad values that counts.
    """
    return Quality(columns=None if columns is None else tuple(columns), min_change=min_change)


def _window_s(window: str) -> float:
    seconds = duration_s(window)
    if not LEAST_WINDOW_S <= seconds <= MOST_WINDOW_S:
        raise InvalidInput(f"window={window!r} is not between a day and a year", hint="write it like 1d, 7d or 14d")
    return seconds


def _check_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise InvalidInput(f"{name}={value} is no share between 0 and 1", hint=f"such as {name}={MIN_EFFECT}")

"""Formulas of the feature store: freshness, and what a change of a definition changes. Pure."""

from modelyard.core.clock import SECOND, Instant
from modelyard.features.domain import FeatureView, Materialization, ViewFreshness

SELDOM_US, OFTEN_US, USUAL_US = 3600 * SECOND, 60 * SECOND, 600 * SECOND
PART = 10


def cadence_us(view: FeatureView) -> int:
    """How often a view is brought online by itself: ten times within what it promises, between a minute and an hour.

    A view that promises nothing lives for its ttl, or else changes with its shortest window; without either, every ten minutes.
    """
    windows = [window.length_us for window in view.windows]
    lives = view.freshness_us or view.ttl_us or min(windows, default=USUAL_US * PART)
    return max(OFTEN_US, min(lives // PART, SELDOM_US))


def freshness_of(view: FeatureView, last: Materialization | None, now: Instant) -> ViewFreshness:
    """How far the newest event that was brought online lies before `now`, against what the view promises.

    A view with a promise is stale before anything came, and from a microsecond beyond its promise on.
    """
    newest = last.newest_event_at if last else None
    promised = view.freshness_us
    lag = None if newest is None else max(now - newest, 0)
    return ViewFreshness(
        view=view.name,
        newest_event_at=newest,
        upto_at=last.upto_at if last else None,
        lag_s=None if lag is None else lag / SECOND,
        promised_s=None if promised is None else promised / SECOND,
        is_stale=promised is not None and (lag is None or lag > promised),
    )

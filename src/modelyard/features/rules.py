"""Formulas of the feature store: freshness, and what a change of a definition changes. Pure."""

from modelyard.core.clock import SECOND, Instant
from modelyard.features.domain import Csv, Delta, FeatureChange, FeatureView, Materialization, Sql, StaleCause, ViewFreshness

SELDOM_US, OFTEN_US, USUAL_US = 3600 * SECOND, 60 * SECOND, 600 * SECOND
PART = 10
TURNS = 3
"""So many turns a view may miss before it counts as not brought online."""


def cadence_us(view: FeatureView) -> int:
    """How often a view is brought online by itself: as it says, else ten times within what it promises, between a minute and an hour.

    A view that promises nothing lives for its ttl, or else changes with its shortest window; without either, every ten minutes.
    """
    if view.every_us is not None:
        return view.every_us
    windows = [window.length_us for window in view.windows]
    lives = view.freshness_us or view.ttl_us or min(windows, default=USUAL_US * PART)
    return max(OFTEN_US, min(lives // PART, SELDOM_US))


def stale_cause(upto_at: Instant | None, every_s: float, now: Instant) -> StaleCause:
    """Why a stale view is so: from up to when it has been brought online, which is due every so often.

    >>> hour = 3600 * SECOND
    >>> [str(stale_cause(upto, 600.0, Instant(9 * hour))) for upto in (None, Instant(8 * hour), Instant(9 * hour))]
    ['never_brought', 'not_brought', 'no_newer_event']
    """
    if upto_at is None:
        return StaleCause.NEVER_BROUGHT
    return StaleCause.NOT_BROUGHT if now - upto_at > TURNS * every_s * SECOND else StaleCause.NO_NEWER_EVENT


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
        every_s=cadence_us(view) / SECOND,
    )


def view_changes(before: FeatureView | None, after: FeatureView) -> tuple[FeatureChange, ...]:
    """What becomes of each feature: those of `after` in their order, then the ones that are no longer there.

    >>> from modelyard.features.domain import Entity, Parquet
    >>> old = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=["wind", "rain"], ttl="3h")
    >>> new = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=["wind", "sky"], ttl="1h")
    >>> [(one.kind, one.feature, one.what) for one in view_changes(old, new)]
    [('change', 'wind', ('ttl 3h -> 1h',)), ('add', 'sky', ()), ('remove', 'rain', ())]
    """
    old, new = {} if before is None else _parts(before), _parts(after)
    changes = []
    for name, parts in new.items():
        was = old.get(name)
        if was is None:
            changes.append(FeatureChange(feature=name, kind="add"))
        elif what := tuple(f"{part} {was[part]} -> {text}" for part, text in parts.items() if was[part] != text):
            changes.append(FeatureChange(feature=name, kind="change", what=what))
    return (*changes, *(FeatureChange(feature=name, kind="remove") for name in old if name not in new))


def _parts(view: FeatureView) -> dict[str, dict[str, str]]:
    """What decides each feature's values, by part of its definition and in words."""
    source, made = view.source, {one.name: one for one in view.outputs}
    aggregates = {one.name: one for one in view.aggregate}
    common = {
        "source": f"{source.kind} {source.place}",
        "version of the source": str(source.version or "newest") if isinstance(source, Delta) else "newest",
        "separator": source.separator if isinstance(source, Csv) else "none",
        "columns": ", ".join(f"{one.name}: {one.dtype}" for one in source.columns) if isinstance(source, Csv | Sql) else "its own",
        "event time": source.timestamp,
        "creation time": source.created or "none",
        "key": f"{view.entity.name}({', '.join(f'{key.name}: {key.dtype}' for key in view.entity.keys)})",
        "ttl": view.ttl or "none",
    }
    parts = {}
    for column in view.columns:
        output = made.get(column.name)
        item = None if output is None else aggregates[output.column]
        parts[column.name] = {
            "type": str(column.dtype or "as in the source"),
            "aggregate": "none" if output is None or item is None else f"{output.function}({item.column})",
            "condition": (item.where if item is not None else "") or "none",
            "window": "none" if output is None else output.window.length,
            **common,
        }
    return parts

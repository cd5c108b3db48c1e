"""Why an alert, probably: the suspects near its onset, ranked, and whether a rollback would help. Owns the ranking.

A score is no probability: it orders suspects by how directly they act and how near the onset they lie. Halving times
and weights stand below, in one place.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.monitoring.domain import Alert, AlertKind, ColumnDrift, ColumnQuality, Rollback, StaleEvidence, Suspect
from modelyard.monitoring.rules.alerting import WORDS, stale_title

DAY = 86_400 * SECOND
HALVING = 1 * DAY
FURTHEST = 7 * DAY
MOST_SUSPECTS = 8
# What each kind of suspect weighs at least, and how much more where all speaks for it.
WEIGHTS = {"view": (0.5, 0.45), "quality": (0.35, 0.4), "release": (0.25, 0.6), "drift": (0.1, 0.4)}
LIKELY = 0.5


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A version that began to answer."""

    version: int
    revision: int
    at: Instant
    cause: str = ""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What is known around an alert. `views` says, by version, which view each column comes from; releases are newest first."""

    stale: tuple[StaleEvidence, ...] = ()
    quality: tuple[ColumnQuality, ...] = ()
    drift: tuple[ColumnDrift, ...] = ()
    releases: tuple[Release, ...] = ()
    views: Mapping[int, Mapping[str, str]] = {}


def suspects(alert: Alert, context: Context, now: Instant) -> tuple[Suspect, ...]:
    """The suspects, most likely first. An alert is never its own suspect."""
    found = [
        *_stale_views(alert, context, now),
        *_bad_values(alert, context),
        *_releases(alert, context),
        *_drifted(alert, context),
    ]
    return tuple(sorted(found, key=lambda one: -one.score)[:MOST_SUSPECTS])


def rollback(alert: Alert, context: Context, ranked: tuple[Suspect, ...]) -> Rollback:
    """Whether to go back to the version before: no where it reads the same stale view, yes where the release is to blame."""
    versions = list(dict.fromkeys(release.version for release in context.releases))
    earlier = [version for version in versions if version != (alert.version or versions[0])] if versions else []
    if not earlier:
        return Rollback(version=None, helps=None, why="no other version has answered before")
    before, stale = earlier[0], stale_views(alert, ranked)
    if stale:
        return _rollback_past(stale, earlier, context.views)
    first = ranked[0] if ranked else None
    if first is not None and first.kind == "release" and first.score >= LIKELY:
        return Rollback(version=before, helps=True, why=f"{first.subject} began to answer just before; v{before} did not have this")
    if alert.kind in (AlertKind.DRIFT, AlertKind.QUALITY):
        return Rollback(version=before, helps=False, why=f"the values that come in have changed, and v{before} would be asked the same")
    return Rollback(version=before, helps=None, why="nothing was released near the onset; rather train anew")


def stale_views(alert: Alert, ranked: tuple[Suspect, ...]) -> list[str]:
    """The stale views that the alert is about, or that are among its suspects, most likely first."""
    return [alert.evidence.view] if isinstance(alert.evidence, StaleEvidence) else [one.subject for one in ranked if one.kind == "view"]


def _rollback_past(stale: list[str], earlier: Sequence[int], views: Mapping[int, Mapping[str, str]]) -> Rollback:
    """The newest earlier version that reads none of the stale views, if there is one."""
    before = earlier[0]
    free = next((version for version in earlier if version in views and not set(stale) & set(views[version].values())), None)
    if free is not None:
        return Rollback(version=free, helps=True, why=f"v{free} does not read {' and '.join(stale)}")
    if before not in views:
        return Rollback(version=before, helps=None, why=f"which views v{before} reads is not on record")
    shared = [view for view in stale if view in views[before].values()]
    return Rollback(version=before, helps=False, why=f"v{before} reads {' and '.join(shared)} too, which is stale")


def next_step(alert: Alert, ranked: tuple[Suspect, ...], advice: Rollback, unbrought: Collection[str] = ()) -> str:
    """What to do next, as a command where one does it. `unbrought` are the stale views that nothing brings online."""
    model, stale = alert.model or next(iter(alert.models), ""), stale_views(alert, ranked)
    if advice.helps:
        return f"yard rollback {model} --to {advice.version}"
    if stale and stale[0] in unbrought:
        return f"yard features materialize {stale[0]}: it brings the view online or says what keeps it; then see that a worker runs"
    if stale:
        return f"mend what writes the source of {stale[0]}: once it has new rows, they are brought online and the fallback steps back"
    first = ranked[0] if ranked else None
    if alert.kind is AlertKind.SKEW and "/" in alert.subject:
        return f"compare processor and NumPy of gateway and worker: they compute one function otherwise, /features/{alert.subject}"
    if alert.kind is AlertKind.SKEW:
        return f"see what wrote {alert.subject} online besides its source: /features/{alert.subject}"
    if alert.kind is AlertKind.UNVERIFIED:
        return f"see that the source of {alert.subject} can be read and requests carry their own time: /features/{alert.subject}"
    if alert.kind is AlertKind.QUALITY or (first is not None and first.kind == "quality"):
        return "mend the values where they come from; the model is as it was"
    return f"yard ship {model}"


def _nearness(distance: int) -> float:
    return 0.5 ** (abs(distance) / HALVING) if abs(distance) <= FURTHEST else 0.0


def _score(kind: str, part: float) -> float:
    base, more = WEIGHTS[kind]
    return base + more * min(max(part, 0.0), 1.0)


def _stale_views(alert: Alert, context: Context, now: Instant) -> list[Suspect]:
    if alert.kind is AlertKind.STALE:
        return []
    reads = set(context.views.get(alert.version or 0, {}).values())
    found = []
    for one in context.stale:
        if one.view not in reads:
            continue
        since = _stale_since(one)
        if since is not None and since > alert.since_at + DAY:
            continue  # What came after the onset did not bring it about.
        part = 1.0 if since is None else _nearness(alert.since_at - since)
        found.append(Suspect(kind="view", subject=one.view, score=_score("view", part), why=stale_title(one, now), at=since))
    return found


def _stale_since(one: StaleEvidence) -> Instant | None:
    if one.newest_event_at is None or one.promised_s is None:
        return None
    return Instant(one.newest_event_at + round(one.promised_s * SECOND))


def _bad_values(alert: Alert, context: Context) -> list[Suspect]:
    if alert.kind is AlertKind.QUALITY:
        return []
    views = context.views.get(alert.version or 0, {})
    found = []
    for one in context.quality:
        source = f", of view {views[one.column]}" if one.column in views else ""
        why = f"{WORDS[one.kind]}{source}: {one.share:.1%} of rows, {one.reference_share:.1%} in training"
        found.append(Suspect(kind="quality", subject=one.column, score=_score("quality", one.share - one.reference_share), why=why))
    return found


def _releases(alert: Alert, context: Context) -> list[Suspect]:
    if alert.kind is AlertKind.STALE:
        return []
    found = []
    for one in context.releases:
        ahead = alert.since_at - one.at
        # Days are told apart, not hours: what came the same day as the onset may have come just before it.
        if -DAY <= ahead <= FURTHEST:
            why = f"began to answer {max(ahead, 0) / (3600 * SECOND):.0f} h before the onset{': ' + one.cause if one.cause else ''}"
            part = _nearness(max(ahead, 0))
            found.append(Suspect(kind="release", subject=f"v{one.version}", score=_score("release", part), why=why, at=one.at))
    return found


def _drifted(alert: Alert, context: Context) -> list[Suspect]:
    if alert.kind in (AlertKind.DRIFT, AlertKind.STALE):
        return []
    return [
        Suspect(
            kind="drift",
            subject=one.column,
            score=_score("drift", one.effect),
            why=f"its distribution moved by {one.effect:.2f} from training",
            at=one.since_at,
        )
        for one in context.drift
    ]

"""What is around an alert: stale views, releases, the last reports, which view each column comes from. Owns no rule."""

from collections.abc import Sequence

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.features.domain import ViewFreshness
from modelyard.features.service import list_freshness
from modelyard.monitoring import store
from modelyard.monitoring.domain import MIN_EFFECT, Alert, DriftEvidence, StaleEvidence
from modelyard.monitoring.rules.causes import Context, Release
from modelyard.monitoring.rules.quality import raised
from modelyard.registry.domain import ModelName
from modelyard.serving.domain import NoSuchEndpoint, RevisionDetail
from modelyard.serving.service import list_revisions
from modelyard.storage.database import Snapshot

MOST_RELEASES = 8
REPORTED_LEVEL = 0.01


def stale_views(snapshot: Snapshot) -> tuple[StaleEvidence, ...]:
    """The views whose newest event lies further back than they promise."""
    return tuple(
        StaleEvidence(
            view=one.view, newest_event_at=one.newest_event_at, upto_at=one.upto_at, promised_s=one.promised_s, every_s=one.every_s
        )
        for one in freshness(snapshot)
        if one.is_stale
    )


def freshness(snapshot: Snapshot) -> list[ViewFreshness]:
    """How every view stands now."""
    return list_freshness(snapshot, snapshot.now())


def releases_of(snapshot: Snapshot, model: ModelName) -> tuple[Release, ...]:
    """The versions that answered as champion, newest first, each since it began to; a new share or a stale view is no release."""
    try:
        return releases(list_revisions(snapshot, SYSTEM, model, limit=50))
    except NoSuchEndpoint:
        return ()


def releases(revisions: Sequence[RevisionDetail]) -> tuple[Release, ...]:
    """The same from revisions, newest first."""
    found: list[Release] = []
    for detail in revisions:
        if detail.active_at is None:
            continue
        champion = detail.revision.traffic.champion
        release = Release(version=champion, revision=detail.revision.number, at=Instant(detail.active_at), cause=detail.revision.cause)
        if found and found[-1].version == champion:
            found[-1] = release
        else:
            found.append(release)
    return tuple(found[:MOST_RELEASES])


def context_of(snapshot: Snapshot, alert: Alert) -> Context:
    """What is known around an alert now: for its model, or for the first of those that read its view."""
    model = alert.model or next(iter(alert.models), None)
    if model is None:
        return Context(stale=stale_views(snapshot))
    report = store.find_report(snapshot, model)
    released = releases_of(snapshot, model)
    versions = dict.fromkeys([*([alert.version] if alert.version else []), *(one.version for one in released)])
    found = {version: store.find_reference(snapshot, model, version) for version in versions}
    drift = next(
        (one.evidence.columns for one in store.list_open(snapshot) if one.model == model and isinstance(one.evidence, DriftEvidence)), ()
    )
    return Context(
        stale=stale_views(snapshot),
        quality=raised(report.quality, REPORTED_LEVEL, MIN_EFFECT) if report else (),
        drift=drift,
        releases=released,
        views={version: reference.content.views for version, reference in found.items() if reference is not None},
    )

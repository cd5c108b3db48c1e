"""What the feature services keep and answer. Owns the types; no rule."""

from enum import StrEnum

import msgspec

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest, digest_of
from modelyard.features.domain.on_demand import OnDemand
from modelyard.features.domain.sets import FeatureSet
from modelyard.features.domain.sources import Push
from modelyard.features.domain.types import Value
from modelyard.features.domain.views import FeatureView


class Reason(StrEnum):
    """Why an online value is missing."""

    UNKNOWN_ENTITY = "unknown_entity"
    """No row of this entity has been seen."""
    EXPIRED = "expired"
    """The latest value is older than the view's ttl."""
    NULL = "null"
    """The latest value is null, or what is computed is no finite number."""
    EMPTY = "empty"
    """The window holds no value."""
    AHEAD = "ahead"
    """The store already holds rows that this instant must not see."""
    NOT_MATERIALIZED = "not_materialized"
    """The view has never been materialized."""


class AppliedView(msgspec.Struct, frozen=True, kw_only=True):
    """A registered view: its definition with every type known, its version (`digest`) and that version's number."""

    view: FeatureView
    digest: Digest
    number: int
    team_id: TeamId
    root: str
    applied_at: Instant
    applied_by: PrincipalId


class AppliedOnDemand(msgspec.Struct, frozen=True, kw_only=True):
    """A version of an on-demand feature that may be run: who decided so by applying it, and on how many rows it was proved.

    `numpy` is the NumPy that it was proved with.
    """

    function: OnDemand
    digest: Digest
    number: int
    team_id: TeamId
    rows: int
    numpy: str
    applied_at: Instant
    applied_by: PrincipalId


class AppliedSet(msgspec.Struct, frozen=True, kw_only=True):
    """A registered feature set over registered views."""

    set: FeatureSet
    digest: Digest
    team_id: TeamId
    applied_at: Instant
    applied_by: PrincipalId


class AppliedFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """Views and sets that were applied together."""

    views: tuple[AppliedView, ...]
    sets: tuple[AppliedSet, ...]


class Materialization(msgspec.Struct, frozen=True, kw_only=True):
    """How far a view's version has been brought online: rows available up to `upto_at` are there, and what they came from.

    `rows` and `entities` count all that were ever brought, `newest_event_at` is their latest event.
    """

    view: str
    digest: Digest
    upto_at: Instant
    newest_event_at: Instant | None
    rows: int
    entities: int
    source: Digest
    recorded_at: Instant


class NewBackfill(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A range of event times that is to be brought online anew: from `since` until before `until`, or until now."""

    since: Instant
    until: Instant | None = None


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """What was brought online anew of a view's version: the values, as of `upto_at`, of all `entities` with an event in [`since`, `until`).

    `rows` counts these events.
    """

    view: str
    digest: Digest
    since: Instant
    until: Instant
    rows: int
    entities: int
    upto_at: Instant


class ViewFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """How far a view's newest event lies back, against what is promised. `lag_s` is `None` before anything came.

    It is brought online every `every_s` seconds.
    """

    view: str
    newest_event_at: Instant | None
    upto_at: Instant | None
    lag_s: float | None
    promised_s: float | None
    is_stale: bool
    every_s: float = 600.0

    @property
    def urgency(self) -> tuple[bool, float]:
        """What puts the worse of two last: whether it is stale, and how far its newest event lies back."""
        return self.is_stale, float("inf") if self.lag_s is None else self.lag_s


class StaleCause(StrEnum):
    """Why a stale view's newest event lies so far back."""

    NEVER_BROUGHT = "never_brought"
    """Nothing of it was ever brought online."""
    NOT_BROUGHT = "not_brought"
    """Its turns went by without anything having been brought."""
    NO_NEWER_EVENT = "no_newer_event"
    """All that its source holds is online: the source has nothing newer."""


class FeatureConsumer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that reads a feature set: a model, say."""

    name: str
    href: str
    view: str
    set: str
    set_digest: Digest


class ViewReader(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model that reads a view in one version of it, the view's `digest`.

    It answers somebody now (`is_answering`), or may at any moment: it is being brought out, watches as a shadow, or is what a
    rollback leads to.
    """

    reader: str
    view: str
    digest: Digest
    is_answering: bool


class ViewSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A registered view in a list: with its freshness and how many read it."""

    applied: AppliedView
    freshness: ViewFreshness
    consumers: int


class SourceUse(msgspec.Struct, frozen=True, kw_only=True):
    """What was read for a view: the version of its definition, the digest and size of its source, and the stored history's version.

    There is no `history` where the source itself was read.
    """

    view: str
    view_digest: Digest
    source: Digest
    rows: int
    history: int | None = None


class OnlineValues(msgspec.Struct, frozen=True, kw_only=True):
    """What was read for some rows: a list per feature, in the order of the rows, null where `missing` says why.

    `ages_us` is per view how long before `at` the newest event of each row's entity lay; `upto_at` per view up to which
    instant its source had been brought online (`None`: never).
    """

    at: Instant
    columns: dict[str, list[Value]]
    ages_us: dict[str, list[int | None]]
    upto_at: dict[str, Instant | None]
    missing: dict[str, dict[int, Reason]]


class OnlineRow(msgspec.Struct, frozen=True, kw_only=True):
    """What was read for one row: by feature its value, null where `missing` says why; else as `OnlineValues`."""

    at: Instant
    values: dict[str, Value]
    ages_us: dict[str, int | None]
    upto_at: dict[str, Instant | None]
    missing: dict[str, Reason]

    def as_values(self) -> OnlineValues:
        """The same as columns of one row."""
        return OnlineValues(
            at=self.at,
            columns={name: [value] for name, value in self.values.items()},
            ages_us={name: [age_us] for name, age_us in self.ages_us.items()},
            upto_at=self.upto_at,
            missing={name: {0: reason} for name, reason in self.missing.items()},
        )


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """Events that were taken in: durable, and counted from 1 on by source with their `number`.

    `pushed_at` is the creation time that all of them got. `is_online` where the views over the source show them; where they do not
    yet, `why` says what kept them, and the next push or materialization brings them.
    """

    source: str
    number: int
    events: int
    pushed_at: Instant
    is_online: bool = True
    why: str = ""


class PushedSource(msgspec.Struct, frozen=True, kw_only=True):
    """What has been pushed to a source: how many events in how many pushes, and how many of these lie in its table already.

    `digest` stands for all of them in their order. `last_at` is the latest instant that is settled: of events that are pushed
    from now on, none is created by then. `rewritten` is odd while an erasure changes what views of other entities read of the
    flushed ones, and the next even number after it.
    """

    declaration: Push
    team_id: TeamId
    pushes: int
    events: int
    last_at: Instant
    digest: Digest
    flushed_pushes: int
    flushed_events: int
    flushed_until: Instant
    flushed_digest: Digest
    rewritten: int = 0

    def content(self, digest: Digest) -> Digest:
        """What stands for the events as they are read now, of which `digest` stands as they were pushed."""
        return digest_of([digest, self.rewritten]) if self.rewritten else digest

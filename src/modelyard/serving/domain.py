"""Endpoints, revisions of traffic, gateways, what a gateway is assigned and reports, logged predictions, and the errors.

A revision never changes: a new share, a stale view or a rollback is a new one with the next number.
"""

from enum import StrEnum
from typing import Literal

import msgspec

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.features.domain import FeatureSet
from modelyard.registry.domain import DType, Format, ModelName, Signature
from modelyard.serving.errors import BadRows as BadRows
from modelyard.serving.errors import BadTraffic as BadTraffic
from modelyard.serving.errors import CannotAnswer as CannotAnswer
from modelyard.serving.errors import NeverChampion as NeverChampion
from modelyard.serving.errors import NoSuchEndpoint as NoSuchEndpoint
from modelyard.serving.errors import NoSuchPrediction as NoSuchPrediction
from modelyard.serving.errors import NoSuchRevision as NoSuchRevision
from modelyard.serving.errors import NothingToRollBackTo as NothingToRollBackTo
from modelyard.serving.errors import RevisionMoved as RevisionMoved
from modelyard.serving.errors import TokensLapsed as TokensLapsed
from modelyard.serving.errors import TooLarge as TooLarge
from modelyard.serving.errors import VersionNotServable as VersionNotServable

LEASE_S = 15.0
"""A gateway that has not been heard of for so long is not waited for."""

TOKEN_LEASE_S = 600.0
"""How long a gateway that is cut off goes on accepting the tokens that it knew."""

OWN_NUMBERS = 100_000
"""Revisions that a gateway makes while it is cut off are numbered from here on, each gateway in so many numbers of its own."""

Cell = float | int | str | bool | None
"""One value of a row: an entity key, a request field, a feature."""


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment of the prediction log holds: how many predictions and labels, and between which ids and wall instants."""

    predictions: int = 0
    labels: int = 0
    first_id: str = ""
    last_id: str = ""
    first_at: Instant = Instant(0)
    last_at: Instant = Instant(0)


class SealedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment to which nothing is added, in the blob store under `digest`."""

    id: str
    gateway: str
    digest: Digest
    size_bytes: int
    contents: Contents


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A version and the share of entities, in [0, 1], that it answers."""

    version: int
    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise BadTraffic(f"a share of {self.share} is outside [0, 1]", hint="give a share such as 0.1 for a tenth of all entities")


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """The value that a model declares for when it cannot answer well: a number, and the views whose staleness calls for it."""

    value: float
    views: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()


class RevisionState(StrEnum):
    """Where a revision stands: one of a model is active at most, a failed one could not be loaded, a local one is one gateway's own."""

    PROPOSED = "proposed"
    PREPARED = "prepared"
    ACTIVE = "active"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    LOCAL = "local"


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers: the champion, beside it a canary for its share, shadows that answer nobody, and the fallback."""

    champion: int
    canary: Route | None = None
    shadows: tuple[int, ...] = ()
    fallback: Fallback | None = None

    def __post_init__(self) -> None:
        answering = [self.champion, *([self.canary.version] if self.canary else ())]
        if len({*answering, *self.shadows}) != len(answering) + len(self.shadows):
            raise BadTraffic(
                f"versions {[*answering, *self.shadows]} name one twice", hint="champion, canary and shadows are different versions"
            )

    @property
    def versions(self) -> tuple[int, ...]:
        """Every version that is loaded for it."""
        return (self.champion, *([self.canary.version] if self.canary else ()), *self.shadows)


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """One numbered state of a model's traffic, why it came and by whom. Each request is served under exactly one."""

    model: ModelName
    number: int
    team_id: TeamId
    traffic: Traffic
    cause: str
    actor: PrincipalId
    proposed_at: Instant


class RevisionDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A revision with what became of it: its state, when it changed, and when each gateway switched to it."""

    revision: Revision
    state: RevisionState
    prepared_at: Instant | None = None
    active_at: Instant | None = None
    ended_at: Instant | None = None
    why_failed: str = ""
    switches: tuple["Switch", ...] = ()


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """When a gateway began to serve under a revision, by its own wall clock."""

    gateway: str
    switched_at: Instant


class Proposal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new revision should be. `expects`, where given, is the revision that the proposer took for the live one."""

    champion: int
    canary: Route | None = None
    shadows: tuple[int, ...] = ()
    fallback: Fallback | None = None
    cause: str = ""
    expects: int | None = None


class RolloutStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of a rollout: the candidate answers `share` of the entities, and is the champion from 1 on."""

    version: int
    share: float
    cause: str = ""
    fallback: Fallback | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A model that is served: whose it is, its live revision, the one that is being brought out, and those of single gateways."""

    model: ModelName
    team_id: TeamId
    created_at: Instant
    live: RevisionDetail | None = None
    coming: RevisionDetail | None = None
    local: tuple[RevisionDetail, ...] = ()


class ServedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """All that a gateway needs to answer with a version: its artifact, signature and features.

    `feature_teams` are the teams whose views the set reads, as a gateway is told them: it shows their values to no other.
    """

    number: int
    format: Format
    artifact: Digest
    signature: Signature
    feature_set: FeatureSet | None = None
    feature_teams: tuple[TeamId, ...] = ()

    @property
    def keys(self) -> tuple[tuple[str, DType], ...]:
        """The entity keys that a request names, with their types."""
        return () if self.feature_set is None else tuple((key.name, key.dtype) for key in self.feature_set.keys)

    @property
    def request(self) -> tuple[tuple[str, DType], ...]:
        """The inputs that come with the request: neither keys nor features."""
        known = {name for name, _ in self.keys} | set(self.feature_set.names if self.feature_set else ())
        return tuple((column.name, column.dtype) for column in self.signature.inputs if column.name not in known)


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A revision with the versions that it names: what a gateway loads, and keeps in its folder."""

    revision: Revision
    versions: tuple[ServedVersion, ...]

    def version(self, number: int) -> ServedVersion:
        """The version of that number."""
        return next(version for version in self.versions if version.number == number)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that a gateway holds: ready to serve (`prepared_at`), and serving since `active_at`; or why it could not load it."""

    model: ModelName
    revision: int
    prepared_at: Instant | None = None
    active_at: Instant | None = None
    error: str = ""


class OwnRevision(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that a gateway made while it was cut off, by whom of its machine and when by the wall clock.

    `base` is the revision that it served under before, `away` are the versions that answered then and no longer do.
    """

    revision: Revision
    base: int
    away: tuple[int, ...]
    by: str
    decided_at: Instant


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway says of itself. Everything that it answered before `sealed_through_at` is in `sealed` or was reported before."""

    started_at: Instant
    held: tuple[Held, ...] = ()
    sealed: tuple[SealedSegment, ...] = ()
    sealed_through_at: Instant = Instant(0)
    requests: int = 0
    shed: int = 0
    log_waiting_bytes: int = 0
    is_failing: bool = False
    own: tuple[OwnRevision, ...] = ()


class GatewayToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that may be used at gateways: its id, the SHA-256 of its secret, whose it is, in which teams, until when."""

    id: str
    digest: str
    principal: PrincipalId
    expires_at: Instant
    teams: tuple[TeamId, ...]


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a gateway is to do: the revisions to hold and to serve, the tokens to accept, and when to ask again.

    `deployments` holds those of the revisions that the gateway did not report. `registered` are the segments that
    the control plane knows now, `taken_over` the gateway's own revisions that it knows; `own_number` is for the next
    of these. `replay_at` is where the replay stands in a data folder made for one.
    """

    prepare: tuple[tuple[ModelName, int], ...] = ()
    active: tuple[tuple[ModelName, int], ...] = ()
    deployments: tuple[Deployment, ...] = ()
    tokens: tuple[GatewayToken, ...] = ()
    tokens_until: Instant = Instant(0)
    registered: tuple[str, ...] = ()
    taken_over: tuple[tuple[ModelName, int], ...] = ()
    own_number: int = 0
    seal_before: Instant = Instant(0)
    replay_at: Instant | None = None
    again_s: float = 1.0


class GatewayLease(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway as the control plane last heard of it. `live` lists the revisions that it serves under."""

    gateway: str
    started_at: Instant
    seen_at: Instant
    live: dict[str, int] = {}
    is_alive: bool = True
    is_failing: bool = False
    requests: int = 0
    shed: int = 0
    log_waiting_bytes: int = 0
    sealed_through_at: Instant = Instant(0)


class Arm(StrEnum):
    """Which part of the traffic a prediction belongs to. A shadow's answer went to nobody."""

    CHAMPION = "champion"
    CANARY = "canary"
    FALLBACK = "fallback"
    SHADOW = "shadow"


class PredictionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction as it was logged: what was asked, what was read, what was answered, under which version and revision."""

    id: str
    model: ModelName
    version: int
    revision: int
    arm: Arm
    at: Instant
    wall: Instant
    value: float
    reason: str | None
    latency_us: int
    keys: dict[str, Cell]
    request: dict[str, Cell]
    features: dict[str, Cell]
    ages_us: dict[str, int | None]
    upto_at: dict[str, Instant | None]
    source: Literal["gateway", "segment", "table"]


class PredictionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which logged predictions: of a model, with event times in [since, until), of those arms; `only` names the fields wanted.

    Of a version that stands in `shares` only about that share is asked for: whole requests, drawn by the random part of
    their ids, and so the same ones each time.
    """

    model: ModelName
    since: Instant
    until: Instant
    arms: tuple[Arm, ...] = (Arm.CHAMPION, Arm.CANARY, Arm.FALLBACK)
    only: tuple[str, ...] | None = None
    shares: dict[int, float] = {}


class FoundPrediction(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction that was looked up: the answer, what shadows said to the same rows, and how long the search took."""

    answered: PredictionRecord
    shadows: tuple[PredictionRecord, ...]
    took_ms: float


class LoggedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """A segment of the prediction log that the control plane knows, and when it was compacted into the tables."""

    segment: SealedSegment
    registered_at: Instant
    compacted_at: Instant | None = None
    predictions_version: int | None = None
    labels_version: int | None = None


class LogPosition(msgspec.Struct, frozen=True, kw_only=True):
    """How far the tables are complete: every prediction answered before `complete_through_at` is in them."""

    complete_through_at: Instant
    waiting_segments: int


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """A wish that everything answered before `before_at` go to the tables at once."""

    before_at: Instant

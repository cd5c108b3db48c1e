"""What is watched of a model, and how it stands: monitors, references, reports. Owns the words; no rule."""

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.monitoring.domain.alerts import Alert
from modelyard.monitoring.domain.declarations import Drift, Metric, Monitor, Performance, Quality
from modelyard.monitoring.domain.findings import ColumnDrift, ColumnQuality, Degradation, Level, Measured, Outcomes
from modelyard.monitoring.domain.summaries import Reference
from modelyard.registry.domain import ModelName

PREDICTION = "prediction"
"""The column that a reference has for what the model answers, where it is known."""


class SkewDue(msgspec.Struct, frozen=True, kw_only=True):
    """Days up to `until_at` that are over, and when that was first seen on the machine's clock."""

    until_at: Instant
    seen_wall_at: Instant


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its monitors, and how far each has looked.

    `live` is the version whose requests are watched, live since `live_at`. `drift_to` is the end of the last day that
    drift was looked for in, `quality_at` the last look at quality, `outcomes_to` the end of the last closed cell of outcomes.
    `skew_to` is the end of the last day whose reads were recomputed; `skew_due` are days that wait until their log is complete.
    """

    model: ModelName
    team_id: TeamId
    monitors: tuple[Monitor, ...]
    set_by: PrincipalId
    set_at: Instant
    is_binary: bool = True
    live: int | None = None
    live_at: Instant | None = None
    ticked_at: Instant | None = None
    drift_to: Instant | None = None
    quality_at: Instant | None = None
    outcomes_to: Instant | None = None
    skew_to: Instant | None = None
    skew_due: SkewDue | None = None

    @property
    def drift(self) -> Drift | None:
        """Its drift monitor."""
        return next((one for one in self.monitors if isinstance(one, Drift)), None)

    @property
    def quality(self) -> Quality | None:
        """Its quality monitor."""
        return next((one for one in self.monitors if isinstance(one, Quality)), None)

    @property
    def performances(self) -> tuple[Performance, ...]:
        """Its performance monitors."""
        return tuple(one for one in self.monitors if isinstance(one, Performance))


class NewWatch(msgspec.Struct, frozen=True, kw_only=True):
    """How a model is to be watched. `is_binary` says that its labels are 0 and 1 and its answers probabilities."""

    monitors: tuple[Monitor, ...]
    is_binary: bool = True
    team_id: TeamId = DEFAULT_TEAM


class NewReference(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is held against. `views` says which view each column comes from; `levels` what it was approved at."""

    reference: Reference
    levels: tuple[Level, ...] = ()
    views: dict[str, str] = {}


class VersionReference(msgspec.Struct, frozen=True, kw_only=True):
    """A version's reference as it is kept, with the digest that its summaries name."""

    model: ModelName
    version: int
    team_id: TeamId
    digest: Digest
    content: NewReference
    made_at: Instant

    def level(self, metric: Metric) -> Level | None:
        """The level that the version was approved at."""
        return next((level for level in self.content.levels if level.metric == metric), None)


class OutcomeCell(msgspec.Struct, frozen=True, kw_only=True):
    """The outcomes of one version and arm that became known between `since_at` and `until_at`, and every metric of them."""

    version: int
    arm: str
    since_at: Instant
    until_at: Instant
    outcomes: Outcomes
    measured: tuple[Measured, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What the last looks at a model's live version found, whether or not it is alarming."""

    version: int
    drift: tuple[ColumnDrift, ...] = ()
    drift_since_at: Instant | None = None
    drift_until_at: Instant | None = None
    quality: tuple[ColumnQuality, ...] = ()
    quality_at: Instant | None = None
    degradations: tuple[Degradation, ...] = ()
    measured: tuple[Measured, ...] = ()


class ViewState(msgspec.Struct, frozen=True, kw_only=True):
    """How a view that a model reads stands against what it promises."""

    view: str
    newest_event_at: Instant | None
    promised_s: float | None
    lag_s: float | None
    is_stale: bool


class ModelMonitoring(msgspec.Struct, frozen=True, kw_only=True):
    """A model's monitoring as the interface answers it."""

    watched: Watched
    levels: tuple[Level, ...]
    report: Report | None
    views: tuple[ViewState, ...]
    alerts: tuple[Alert, ...]


class Ticked(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick did: new rows and outcomes taken in, alerts opened and closed."""

    predictions: int = 0
    outcomes: int = 0
    opened: tuple[Alert, ...] = ()
    closed: tuple[Alert, ...] = ()

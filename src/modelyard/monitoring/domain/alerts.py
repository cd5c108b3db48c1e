"""Alerts: what changed, since when, how much, why probably. Owns the words; when one opens or closes is said in `rules.alerting`."""

from enum import StrEnum
from typing import Literal, NewType

import msgspec

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.monitoring.domain.findings import ColumnDrift, ColumnQuality, Degradation, SkewCause, SkewExample
from modelyard.registry.domain import ModelName

AlertId = NewType("AlertId", str)


class AlertKind(StrEnum):
    """What an alert is about."""

    DEGRADATION = "degradation"
    STALE = "stale"
    QUALITY = "quality"
    DRIFT = "drift"
    SKEW = "skew"
    UNVERIFIED = "unverified"


SEVERITY: tuple[AlertKind, ...] = tuple(AlertKind)
"""Worst first: a measured loss, answers from old features, bad values, changed ones, unequal ones, reads of which nobody can tell."""


class DriftEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="drift"):
    """The columns that drifted, furthest first."""

    columns: tuple[ColumnDrift, ...]


class QualityEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="quality"):
    """The columns whose share of bad values rose, largest rise first."""

    columns: tuple[ColumnQuality, ...]


class DegradationEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="degradation"):
    """The declared loss, as the sequential test found it, and the window that it was declared over."""

    found: Degradation
    window: str
    relative: bool = False


class StaleEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="stale"):
    """A view whose newest event lies further back than it promises, and which is brought online every `every_s` seconds."""

    view: str
    newest_event_at: Instant | None
    upto_at: Instant | None
    promised_s: float | None
    every_s: float = 600.0


class SkewEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="skew"):
    """Logged online values of a view that differ from their recomputation."""

    view: str
    compared: int
    different: int
    causes: dict[SkewCause, int] = {}
    example: SkewExample | None = None


class UnverifiedEvidence(msgspec.Struct, frozen=True, kw_only=True, tag="unverified"):
    """Logged online values of a view, of the last days, of which too many could not be held against a recomputation."""

    view: str
    compared: int
    unverifiable: int
    days: int


Evidence = DriftEvidence | QualityEvidence | DegradationEvidence | StaleEvidence | SkewEvidence | UnverifiedEvidence


class Suspect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that may be the cause, how much speaks for it (0 to 1), and why. `at` is when it happened, where known."""

    kind: Literal["view", "quality", "release", "drift"]
    subject: str
    score: float
    why: str
    at: Instant | None = None


class Rollback(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the version before would help: `None` where the records do not tell."""

    version: int | None
    helps: bool | None
    why: str


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """The ranked suspects of an alert, whether a rollback would help, and what to do next.

    `stale` is the stale view that speaks loudest, empty where none does; `readers` are the models that read it.
    """

    alert: AlertId
    suspects: tuple[Suspect, ...]
    rollback: Rollback
    stale: str = ""
    readers: tuple[str, ...] = ()
    next: str = ""


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """That somebody has seen an alert, and what they said."""

    by: PrincipalId
    at: Instant
    note: str = ""


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """That an alert is not to be told again before `until_at`, by whom and why."""

    by: PrincipalId
    until_at: Instant
    why: str


def cause_of(kind: AlertKind, model: str | None, subject: str = "") -> str:
    """What makes two findings one alert: a model's drift, its bad values, its loss of a metric, a view that is stale.

    >>> cause_of(AlertKind.DEGRADATION, "late", "roc_auc")
    'degradation:late:roc_auc'
    """
    return ":".join(part for part in (kind.value, model, subject) if part)


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One cause for concern, open until it is over. `model` is `None` for a view, which `models` read.

    `subject` is the metric of a degradation and the view of staleness, skew and unverified reads; empty for all columns of a model.

    `since_at` is when it probably began, `opened_at` when it was found, `seen_at` when it last still held.
    """

    id: AlertId
    team_id: TeamId
    kind: AlertKind
    subject: str
    model: ModelName | None
    version: int | None
    models: tuple[ModelName, ...]
    title: str
    since_at: Instant
    opened_at: Instant
    seen_at: Instant
    evidence: Evidence
    suspects: tuple[Suspect, ...] = ()
    closed_at: Instant | None = None
    closed_why: str = ""
    noted: Noted | None = None
    silence: Silence | None = None

    @property
    def cause(self) -> str:
        """What it is about: no cause has two open alerts."""
        return cause_of(self.kind, self.model, self.subject)

    @property
    def is_open(self) -> bool:
        """Whether it still holds."""
        return self.closed_at is None

    def is_silent(self, now: Instant) -> bool:
        """Whether it is not to be told at `now`."""
        return self.silence is not None and now < self.silence.until_at

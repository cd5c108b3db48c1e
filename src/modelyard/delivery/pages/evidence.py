"""What the stages found out, as types that a page can show. Owns the reading of facts; a fact that is not there is not shown."""

from typing import TypeVar

import msgspec

from modelyard.core.clock import Instant
from modelyard.delivery.domain import Decision, DeliveryDetail, Facts, StageName
from modelyard.monitoring.domain import HIGHER_IS_BETTER, PairedDifference
from modelyard.web.parts import Tone

Read = TypeVar("Read")
INTERVAL = 1.959964
"""How many standard errors lie on each side of a 95% interval."""


class SourceUse(msgspec.Struct, frozen=True, kw_only=True):
    """A source that the snapshot was read from."""

    view: str
    source: str
    rows: int


class SnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The training snapshot: its rows, their digest, and what they were joined from."""

    rows: int | None = None
    digest: str = ""
    feature_set: str | None = None
    as_of: Instant | None = None
    sources: tuple[SourceUse, ...] = ()


class TrainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the version was trained with, each part by its digest."""

    rows: int | None = None
    source: str = ""
    environment: str = ""
    python: str = ""
    seed: int | None = None
    threads: int | None = None
    artifact: str = ""
    size_bytes: int | None = None
    content: str = ""
    kind: str = ""
    format: str = ""
    run: str = ""


class StageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The proof on the serving path: how many answers alone differed from a batch's, how far off any was, and how quick they were."""

    rows: int | None = None
    different: int | None = None
    largest: float | None = None
    from_evaluation: float | None = None
    us_a_row: float | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A data check with what it got and what it expected."""

    name: str
    got: int | float | str | list[float] | None
    expected: str
    passed: bool

    @property
    def said(self) -> str:
        """What it got, in words."""
        if isinstance(self.got, list):
            return " and ".join(f"{value:g}" for value in self.got) or "none"
        return f"{self.got:,}" if isinstance(self.got, int) else str(self.got)


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of the version with its 95% interval; `champion` is what the champion has on the same rows."""

    name: str
    value: float | None
    standard_error: float | None
    low: float | None = None
    high: float | None = None
    champion: float | None = None


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The version on the rows where a column has one value; `apart` is how far from all rows, positive where better."""

    column: str
    value: str | float | bool | None
    metric: str
    measured: float | None = msgspec.field(name="is")
    standard_error: float | None = msgspec.field(name="error", default=None)
    rows: int
    apart: float | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a decision about a version rests on. `champion` is the version that it was compared with."""

    rows: int | None = None
    since: Instant | None = None
    until: Instant | None = None
    measures: tuple[Measure, ...] = ()
    slices: tuple[Slice, ...] = ()
    checks: tuple[Check, ...] = ()
    gates: tuple[Decision, ...] = ()
    is_challenged: bool = False
    champion: int | None = None
    challenge: PairedDifference | None = None
    verdict: tuple[Tone, str] | None = None

    @property
    def gates_passed(self) -> int:
        """How many gates passed."""
        return sum(gate.passed for gate in self.gates)

    @property
    def checks_passed(self) -> int:
        """How many data checks passed."""
        return sum(check.passed for check in self.checks)


class _Evaluated(msgspec.Struct, frozen=True, kw_only=True):
    rows: int | None = None
    since: Instant | None = msgspec.field(name="from", default=None)
    until: Instant | None = msgspec.field(name="to", default=None)
    metrics: dict[str, float | None] = {}
    standard_errors: dict[str, float | None] = {}
    slices: tuple[Slice, ...] = ()


class _Checked(msgspec.Struct, frozen=True, kw_only=True):
    checks: tuple[Check, ...] = ()


class _Champion(msgspec.Struct, frozen=True, kw_only=True):
    version: int


class _Challenged(msgspec.Struct, frozen=True, kw_only=True):
    champion: _Champion | None = None
    challenge: PairedDifference | None = None
    gates: tuple[Decision, ...] = ()


def read_facts(facts: Facts, kind: type[Read]) -> Read:
    """The facts as that type; as the type without any where an older stage wrote them in another shape."""
    try:
        return msgspec.convert(facts, kind)
    except msgspec.ValidationError:
        return kind()


def evidence_of(detail: DeliveryDetail) -> Evidence:
    """What the delivery has found out about its version so far."""
    evaluated = read_facts(detail.facts(StageName.EVALUATE), _Evaluated)
    challenged = read_facts(detail.facts(StageName.CHALLENGE), _Challenged)
    return Evidence(
        rows=evaluated.rows,
        since=evaluated.since,
        until=evaluated.until,
        measures=tuple(_measure(name, value, evaluated, challenged.challenge) for name, value in evaluated.metrics.items()),
        slices=_slices(evaluated),
        checks=tuple(sorted(read_facts(detail.facts(StageName.CHECK), _Checked).checks, key=lambda one: one.passed)),
        gates=challenged.gates,
        is_challenged=bool(detail.facts(StageName.CHALLENGE)),
        champion=challenged.champion.version if challenged.champion else None,
        challenge=challenged.challenge,
        verdict=verdict_of(challenged.challenge) if challenged.challenge else None,
    )


def verdict_of(found: PairedDifference) -> tuple[Tone, str]:
    """What a paired comparison says: better or worse where the interval leaves no doubt, else neither.

    >>> verdict_of(PairedDifference(metric="roc_auc", a=0.7, b=0.72, difference=0.02, standard_error=0.004, low=0.012, high=0.028,
    ...     confidence=0.95, p_worse=0.0, rows=900))
    ('good', 'Better')
    """
    low, high = (found.low, found.high) if found.metric in HIGHER_IS_BETTER else (-found.high, -found.low)
    if low > 0:
        return "good", "Better"
    return ("bad", "Worse") if high < 0 else ("idle", "No clear difference")


def _measure(name: str, value: float | None, evaluated: _Evaluated, found: PairedDifference | None) -> Measure:
    error = evaluated.standard_errors.get(name)
    champion = found.a if found is not None and found.metric == name else None
    if value is None or error is None:
        return Measure(name=name, value=value, standard_error=error, champion=champion)
    half = INTERVAL * error
    return Measure(name=name, value=value, standard_error=error, low=value - half, high=value + half, champion=champion)


def _slices(evaluated: _Evaluated) -> tuple[Slice, ...]:
    """The slices, worst first."""
    placed = []
    for one in evaluated.slices:
        whole = evaluated.metrics.get(one.metric)
        apart = None if one.measured is None or whole is None else one.measured - whole
        if apart is not None and one.metric not in HIGHER_IS_BETTER:
            apart = -apart
        placed.append(msgspec.structs.replace(one, apart=apart))
    return tuple(sorted(placed, key=lambda one: 0.0 if one.apart is None else one.apart))

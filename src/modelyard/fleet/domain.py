"""What fleet answers: the portfolio, the six questions with their evidence, traces. Owns the types; each fact is another component's."""

from typing import Literal

import msgspec

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.core.errors import NotFound
from modelyard.delivery.domain import Delivery
from modelyard.monitoring.domain.alerts import AlertKind
from modelyard.monitoring.domain.declarations import Metric
from modelyard.registry.domain import ModelName, RiskTier

Tone = Literal["good", "warn", "bad", "idle", "busy"]
"""How something stands: well, needs a look, failed, not at work, under way."""

Component = Literal["features", "registry", "tracking", "delivery", "monitoring", "governance"]


# -- traces --


class LedgerRef(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger that vouches for something: where it stands, what it is, who acted, by the machine's time."""

    index: int
    type: str
    actor: str
    recorded_at: Instant


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing known of a link of the chain: a term and its value, which may be a digest or lead somewhere."""

    term: str
    value: str
    href: str = ""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One link of a chain: what it is, when it came, what is known of it, the entries that vouch for it, and what it rests on."""

    kind: str
    title: str
    id: str = ""
    href: str = ""
    said: str = ""
    at: Instant | None = None
    facts: tuple[Fact, ...] = ()
    entries: tuple[LedgerRef, ...] = ()
    below: tuple["Node", ...] = ()


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything upstream and downstream of one thing, and how long it took to find.

    `up` leads from the thing to what it was made from, nearest first; `down` to what was made from it.
    """

    asked: str
    sentence: str
    itself: Node
    up: tuple[Node, ...]
    down: tuple[Node, ...]
    took_ms: float


class NothingToTrace(NotFound):
    """No record has that id, or none that the caller may see."""


# -- search --


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a search found: of which kind, its name, its page, and what tells it from others."""

    kind: str
    title: str
    href: str
    detail: str = ""


# -- the six questions --


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of an answer: its name for programs, its value, and its unit where it has one."""

    name: str
    value: float | int | str | None
    unit: str = ""


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer rests on: a record with its page, or the entry of the ledger at `entry`."""

    text: str
    href: str = ""
    entry: int | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One of the six questions, answered from records: a sentence with figures, its proofs, and the time that it took.

    `source` says which operation reads the same records. Where there is no record yet, `next` says what makes one.
    """

    number: int
    component: Component
    question: str
    is_answered: bool
    tone: Tone
    sentence: str
    figures: tuple[Figure, ...] = ()
    proofs: tuple[Proof, ...] = ()
    source: str = ""
    next: str = ""
    took_ms: float = 0.0


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """The six questions, answered at `at`."""

    at: Instant
    answers: tuple[Answer, ...]
    took_ms: float


# -- the portfolio --


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """A model's figure against what it was approved at. `by_day` is the same metric day by day, oldest first."""

    metric: Metric
    value: float | None
    approved: float | None
    difference: float | None
    is_better_up: bool
    by_day: tuple[float, ...] = ()


class OldestView(msgspec.Struct, frozen=True, kw_only=True):
    """Of the views that a model reads, the one whose newest event lies furthest back, and how many are stale."""

    view: str
    newest_event_at: Instant | None
    stale: tuple[str, ...]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the portfolio. `word` says in one word how it stands; `next` what happens or is waited for, and where.

    `answers` counts predictions by UTC day of the last 30, oldest first; `answered` those since yesterday's midnight UTC.
    Both are of models that are watched; `None` for others.
    """

    model: ModelName
    team_id: TeamId
    owner: str
    risk: RiskTier
    tone: Tone
    word: str
    version: int | None
    live_since_at: Instant | None
    canary: int | None = None
    canary_share: float | None = None
    shadows: tuple[int, ...] = ()
    alerts: dict[AlertKind, int] = {}
    quality: Quality | None = None
    oldest: OldestView | None = None
    answers: tuple[int, ...] = ()
    answered: int | None = None
    delivery: Delivery | None = None
    next: str = ""
    next_href: str = ""


class Deliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries that began in the last 30 days: all, those that a trigger started, and how they ended."""

    started: int
    triggered: int
    done: int
    refused: int
    rolled_back: int

    @property
    def failure_rate(self) -> float | None:
        """The share of releases that had to be rolled back; `None` before the first release."""
        released = self.done + self.rolled_back
        return self.rolled_back / released if released else None


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """Every model that the caller may see, worst first, and what stands above them. `approvals` waits for a person."""

    rows: tuple[Row, ...]
    live: int
    healthy: int
    approvals: int
    alerts: int
    deliveries: Deliveries
    took_ms: float

"""What others say on a model's page and on a version's: plain data that their templates draw. Serving, delivery and monitoring
lie above the registry, so the composition root hands their functions down as one value, and the page asks each of them.

Owns the shapes; no HTML travels in them.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.registry.domain import ModelName, ModelVersion
from modelyard.storage.database import Snapshot
from modelyard.web.charts import Chart
from modelyard.web.parts import Link, Moment, Step, Tone

AFTER_VERSIONS = 60
"""Sections of the wide column with this order or a higher one stand below the table of versions, the others above it."""


class Phrase(msgspec.Struct, frozen=True):
    """A piece of the sentence that opens the page; a strong one is what it is about."""

    text: str
    is_strong: bool = False


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a section: a term and its value. `at`, where given, is shown as a time, and a `digest` short and copyable."""

    term: str
    value: str = ""
    tone: Literal["", "up", "down"] = ""
    href: str = ""
    at: Instant | None = None
    digest: str = ""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a section's table. With a tone it is a state: a shape and a word. `at` is shown as an age."""

    text: str = ""
    href: str = ""
    tone: Tone | None = None
    at: Instant | None = None
    is_number: bool = False


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A section's table: the heads of its columns, and rows of as many cells."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A button of a section that does something: it posts to `href`."""

    label: str
    href: str


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A card on the page: in the wide column or at the side, in the order of `order`. What is not given is not drawn.

    `live` names the topic after whose changes the card is fetched anew. With nothing in it, `empty` says what will be here
    and `command` what fills it.
    """

    id: str
    title: str
    place: Literal["main", "side"] = "main"
    order: int = 50
    note: str = ""
    live: str = ""
    chart: Chart | None = None
    steps: tuple[Step, ...] = ()
    facts: tuple[Fact, ...] = ()
    table: Table | None = None
    moments: tuple[Moment, ...] = ()
    links: tuple[Link, ...] = ()
    acts: tuple[Act, ...] = ()
    empty: str = ""
    command: str = ""


class VersionMark(msgspec.Struct, frozen=True, kw_only=True):
    """A word beside a version in the table of versions, such as `refused` or `live 90%`."""

    version: int
    word: str
    tone: Literal["", "accent", "good", "warn", "bad"] = ""
    href: str = ""


class Contribution(msgspec.Struct, frozen=True, kw_only=True):
    """All that one component says about a model: state, opening sentence, sections, marks of versions, and links to act."""

    state: tuple[Tone, str] | None = None
    phrases: tuple[Phrase, ...] = ()
    sections: tuple[Section, ...] = ()
    marks: tuple[VersionMark, ...] = ()
    tools: tuple[Link, ...] = ()


Contributor = Callable[[Snapshot, Principal, ModelName], Contribution]
"""What a component offers: its contribution to a model's page, read in the page's own snapshot."""


VersionContributor = Callable[[Snapshot, Principal, ModelVersion], tuple[Section, ...]]
"""What a component says on the page of one version."""


Approver = Callable[[Snapshot, ModelVersion], str]
"""Who let a version through, by name; empty where nobody has."""


def _nobody(_snapshot: Snapshot, _version: ModelVersion) -> str:
    return ""


class Contributors(msgspec.Struct, frozen=True, kw_only=True):
    """The components that have something to say, in the order of their sentences. Injected into the page."""

    functions: tuple[Contributor, ...] = ()
    on_version: tuple[VersionContributor, ...] = ()
    approver: Approver = _nobody

"""What others say on a run's page. Delivery lies above tracking, so the composition root hands its function down.

Owns the shape; no HTML travels in it.
"""

from collections.abc import Callable

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import Run
from modelyard.web.parts import Link, Tone


class RunEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done with the run: its state as a shape and a word, where it is told, a note, and when it was."""

    tone: Tone
    word: str
    href: str
    note: str
    at: Instant


class RunCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card at the side of a run's page. `live` names the topic after whose changes it is fetched anew, `act` is a button that posts.

    With no event, `empty` says what will be here and `command` what fills it.
    """

    id: str
    title: str
    note: str
    live: str
    events: tuple[RunEvent, ...] = ()
    act: Link | None = None
    empty: str = ""
    command: str = ""


class RunContributors(msgspec.Struct, frozen=True, kw_only=True):
    """Who has something to say of a run, for a viewer, in the snapshot of the page. Injected into the page."""

    functions: tuple[Callable[[Snapshot, Principal, Run], tuple[RunCard, ...]], ...] = ()

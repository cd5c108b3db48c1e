"""What stands around every page: who looks, where, when, in which theme, and what was just done. Owns its data only."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from litestar import Request

from modelyard.core.clock import Clock, Instant
from modelyard.web.pages import Page, Rooms
from modelyard.web.parts import Link

WebRequest = Request[Any, Any, Any]
THEMES = ("system", "light", "dark")


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks at the page, as the bar shows them."""

    name: str
    detail: str = ""
    links: tuple[Link, ...] = ()
    can_log_out: bool = True

    @property
    def initials(self) -> str:
        """Up to two letters that stand for the name."""
        parts = [part for part in self.name.replace(".", " ").replace("@", " ").split() if part[0].isalnum()]
        return "".join(part[0] for part in parts[:2]).upper() or "?"


class Note(msgspec.Struct, frozen=True):
    """What was just done, or why it was not: shown once, on the page that comes next."""

    tone: Literal["good", "warn", "bad"]
    text: str
    hint: str = ""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """All that a template may know besides its page's context."""

    title: str
    path: str
    now: Instant
    wall: Instant
    theme: str = "system"
    viewer: Viewer | None = None
    csrf: str = ""
    notes: tuple[Note, ...] = ()
    rail: tuple[Rooms, ...] = ()
    place: str = ""
    version: str = ""
    asked: str = ""
    live_url: str = ""
    live_after: int = 0


def _nothing(_: WebRequest) -> dict[str, int]:
    return {}


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What the composition root says about the frame: how to tell the viewer, the CSRF token and what waits where.

    `place` is the installation's word for itself, such as `production`. `counts` answers what waits, by a room's path.
    `position` is the last change that the event stream knows; without it pages do not follow events.
    `request_id` names the request under way, for error pages.
    """

    clock: Clock
    version: str
    pages: tuple[Page, ...]
    viewer: Callable[[WebRequest], Viewer | None]
    csrf: Callable[[WebRequest], str]
    place: str = ""
    counts: Callable[[WebRequest], Mapping[str, int]] = _nothing
    position: Callable[[], int] | None = None
    request_id: Callable[[], str] = str

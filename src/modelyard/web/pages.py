"""How a page is declared: a path, a function that answers one frozen context, a template. Owns the declaration and its
checks; knows no request, no database and no component. `docs/pages.md` walks through a first page.

A component's `pages.py` says what it shows and nothing else::

    class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
        model: Model
        versions: tuple[ModelVersion, ...]

    def show_model(snapshot: Snapshot, principal: Principal, model: ModelName, sort: str = "-number") -> ModelPage: ...

    PAGES = (
        page("/models", list_models, "registry/models.html", title="Models", nav=Nav("Build", "Models", 30)),
        page("/models/{model}", show_model, "registry/model.html"),
    )
    ACTIONS = (action("/models/{model}/alias", move_alias),)

- Resources are injected by type; names in the path come from it, the other parameters are query parameters. Reads take a
  `Snapshot`; a page never takes a `Transaction`.
- The template sees the context's fields by name, `ui` (the macros of `web/macros.html`) and `frame` (the viewer, the time,
  the navigation). It asks nothing of the database. A name that the context does not have fails when the server starts.
- `Accept: application/json` answers the context itself, so a page is also an interface.
- `{% extends "web/base.html" %}`, then the blocks `title`, `crumbs` and `sheet`. No `style=` and no inline script: the
  Content-Security-Policy refuses both. Colour by class, sizes by attribute.
- A form posts to an `action`: its function takes a `Transaction` and the form's fields, and answers `Done(to, said)`. The
  browser is sent on to `to`, where `said` is shown once. An error goes back to where the form stood.
- A region that follows events has an id and `data-live="model:late_arrival"`; it is fetched anew when that topic changes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

SECTIONS = ("", "Build", "Run", "Prove")
Section = Literal["", "Build", "Run", "Prove"]


class Nav(msgspec.Struct, frozen=True):
    """A room's place in the rail: the heading it stands below, its word, and its order under that heading."""

    section: Section
    label: str
    order: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A path, the function that answers its context, and the template that shows it.

    `ids` is the kind of id that the path takes, such as `dlv`: where a text names one, the name leads here.
    """

    path: str
    function: Callable[..., Any]
    template: str
    title: str = ""
    nav: Nav | None = None
    ids: str = ""


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """A path that a form posts to, and the function that does what the form asks."""

    path: str
    function: Callable[..., Any]


class Done(msgspec.Struct, frozen=True):
    """What an action answers: where the browser goes next, and what is said there once."""

    to: str
    said: str = ""
    kind: Literal["good", "warn"] = "good"


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the rail as a page shows it. `count` is what waits there; `None` where nothing is counted."""

    label: str
    path: str
    is_here: bool = False
    count: int | None = None


class Rooms(msgspec.Struct, frozen=True, kw_only=True):
    """A heading of the rail and the rooms below it."""

    heading: str
    rooms: tuple[Room, ...]


def page(path: str, function: Callable[..., Any], template: str, *, title: str = "", nav: Nav | None = None) -> Page:
    """The page at `path`; its title is the room's word unless it is given or the template says better.

    >>> page("/models", list, "registry/models.html", nav=Nav("Build", "Models", 30)).title
    'Models'
    """
    return Page(path=path, function=function, template=template, title=title or (nav.label if nav else ""), nav=nav)


def for_ids(kind: str, item: Page) -> Page:
    """`item` as the page of that kind of ids: where a text names one, the name leads there.

    >>> for_ids("dlv", page("/deliveries/{delivery}", list, "delivery/delivery.html")).ids
    'dlv'
    """
    return msgspec.structs.replace(item, ids=kind)


def action(path: str, function: Callable[..., Any]) -> Action:
    """The action that forms reach by a POST to `path`."""
    return Action(path=path, function=function)


def rail(pages: Iterable[Page], here: str, counts: dict[str, int]) -> tuple[Rooms, ...]:
    """The rooms of those pages that ask for a place in the rail, by heading; `here` is the path that is shown.

    A page below a room lights the room that is nearest above it. `counts` holds what waits, by path.

    >>> [r.rooms[0].is_here for r in rail([page("/models", list, "t", nav=Nav("Build", "Models", 1))], "/models/x", {})]
    [True]
    """
    placed = sorted((item.nav.order, item.path, item.nav) for item in pages if item.nav)
    lit = max((path for _, path, _ in placed if is_below(here, path)), key=len, default="")
    return tuple(
        Rooms(heading=section, rooms=rooms)
        for section in SECTIONS
        if (rooms := tuple(_room(nav, path, lit, counts) for _, path, nav in placed if nav.section == section))
    )


def _room(nav: Nav, path: str, lit: str, counts: dict[str, int]) -> Room:
    return Room(label=nav.label, path=path, is_here=path == lit, count=counts.get(path) or None)


def is_below(here: str, path: str) -> bool:
    """Whether `here` is `path` or lies below it. Everything that has no room of its own lies outside the first page, `/`.

    >>> is_below("/models/x", "/models"), is_below("/modelsx", "/models"), is_below("/models", "/")
    (True, False, False)
    """
    return here == path or (path != "/" and here.startswith(path.rstrip("/") + "/"))


def unknown_names(used: Iterable[str], context: type, known: Sequence[str]) -> tuple[str, ...]:
    """The names that a template uses and its context does not have: mistakes, found when the server starts."""
    fields = {field.name for field in msgspec.structs.fields(context)}
    return tuple(sorted(set(used) - fields - set(known)))

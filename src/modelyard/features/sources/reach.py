"""What the sources of this process may reach beyond its files, as its settings say: nothing, until a role has opened it.

Owns that one value. It is the process's, as a pool of connections would be: every way to a source leads through it, so none can
be forgotten, and what is not opened is not reached.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from modelyard.core.names import nearest
from modelyard.core.settings import FeaturesSettings
from modelyard.features.domain import SourceUnreadable
from modelyard.storage.database import Database
from modelyard.storage.tables import Tables


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """Databases by name, and the object store's own options."""

    connections: Mapping[str, str] = {}
    options: Mapping[str, str] = {}


@dataclass(frozen=True, eq=False)
class Place:
    """Where pushed events lie: the installation's own database and tables."""

    database: Database
    tables: Tables


_opened = Reach()
_place: Place | None = None


def open_reach(settings: FeaturesSettings, place: Place | None = None) -> None:
    """Lets the sources of this process reach what the settings name, events pushed to `place`, and nothing else from now on."""
    _put(Reach(connections=settings.connections, options=settings.options), place)


def _put(reach: Reach, place: Place | None) -> None:
    global _opened, _place
    _opened, _place = reach, place


@contextlib.contextmanager
def reaching(settings: FeaturesSettings, place: Place) -> Iterator[None]:
    """`open_reach` for a block; afterwards they reach what they did before."""
    before = _opened, _place
    open_reach(settings, place)
    try:
        yield
    finally:
        _put(*before)


def pushed_place(name: str) -> Place:
    """Where the events of a pushed source lie. Raises SourceUnreadable where this process reaches no installation."""
    if _place is None:
        raise SourceUnreadable(f"the events pushed to {name} cannot be read here", hint="ask the server: it keeps them")
    return _place


def reached_tables() -> Tables | None:
    """The installation's own tables, where this process reaches an installation."""
    return None if _place is None else _place.tables


def object_options() -> dict[str, str]:
    """The object store's options; what they do not say, the environment does."""
    return dict(_opened.options)


def connection_url(name: str) -> str:
    """The address of the database of that name. Raises SourceUnreadable with the nearest name."""
    if name not in _opened.connections:
        raise SourceUnreadable(
            f"the server knows no connection {name!r}",
            hint=f"{nearest(name, _opened.connections)}; an admin names it in features.connections of modelyard.toml",
        )
    return _opened.connections[name]

"""How commands print: one JSON document for programs, tables and sentences for people. Owns the form, not what is said."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from modelyard.core.clock import Instant

CONSOLE = Console(highlight=False)
STATES = {
    "done": "green",
    "approved": "green",
    "running": "blue",
    "waiting": "yellow",
    "refused": "red",
    "failed": "red",
    "rolled_back": "red",
}


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; a column whose title ends in `#` is right-aligned."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column.rstrip("#"), justify="right" if column.endswith("#") else "left")
    for row in rows:
        table.add_row(*row)
    CONSOLE.print(table)


def state(word: str) -> str:
    """A state in its colour."""
    return f"[{STATES.get(word, 'dim')}]{word.replace('_', ' ')}[/]"


def ago(at: Instant, now: Instant) -> str:
    """How long ago, in one unit.

    >>> ago(Instant(0), Instant(90_000_000))
    '1 min ago'
    """
    seconds = max((now - at) // 1_000_000, 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"

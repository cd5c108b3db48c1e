"""How commands print: one JSON document for programs, tables and sentences for people. Owns the form, not what is said."""

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from modelyard.core.clock import Instant, moment

Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="One JSON document on standard output.")]
PIPE_COLUMNS = 160
"""How wide tables are where no terminal and no `COLUMNS` says it: `grep` wants whole lines."""


def console(*, on_error: bool = False) -> Console:
    """A console on standard output, or on standard error for what is beside the answer."""
    stream = sys.stderr if on_error else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else PIPE_COLUMNS
    return Console(highlight=False, stderr=on_error, width=width)


STATES = {
    "done": "green",
    "approved": "green",
    "running": "blue",
    "waiting": "yellow",
    "refused": "red",
    "failed": "red",
    "rolled_back": "red",
}


def tell(text: str) -> None:
    """A remark for people beside the answer, on standard error, so that the answer can be piped."""
    console(on_error=True).print(text, style="dim", soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; a column whose title ends in `#` is right-aligned, one that ends in `!` is never cut or wrapped.

    Cells are printed as they are, except for the colours of `state`.
    """
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        justify: Any = "right" if column.endswith("#") else "left"
        table.add_column(column.rstrip("#!"), justify=justify, no_wrap=column.endswith("!"), overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table)


def plain(text: str) -> str:
    """`text` that came from elsewhere, for a cell or a sentence: its brackets are not taken for colours."""
    return escape(text)


def when(at: Instant | None) -> str:
    """An instant to the minute, in UTC.

    >>> when(Instant(0))
    '1970-01-01 00:00'
    """
    return "" if at is None else f"{moment(at):%Y-%m-%d %H:%M}"


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

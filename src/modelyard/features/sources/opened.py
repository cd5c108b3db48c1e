"""What every kind of source has in common once it is opened. Owns the protocol, and that a reader begins anew."""

from collections.abc import Callable, Hashable, Mapping
from typing import Protocol, TypeVar

import polars as pl

from modelyard.core.digests import Digest
from modelyard.storage.tables import TableMissing

ROW = "\x1frow"
"""The number of a row, counted over all of a source. No column of a user's can have this name: theirs are printable."""
TRIES = 3
Made = TypeVar("Made")


def read_anew(read: Callable[[], Made]) -> Made:
    """What `read` gives, begun anew where files that it had found were removed: whoever removes what was erased waits for no reader."""
    for _ in range(TRIES - 1):
        try:
            return read()
        except (FileNotFoundError, TableMissing):
            continue
    return read()


class OpenSource(Protocol):
    """A source as it stood when it was opened.

    Whoever reads holds on to it meanwhile: what some kinds have read into files of their own goes with it.
    """

    @property
    def state(self) -> Hashable:
        """What tells cheaply whether it still is what it was: of equal states the rows are equal."""

    @property
    def place(self) -> str:
        """Where it lies, for messages."""

    def digest(self) -> Digest:
        """What stands for its content in evidence."""

    def schema(self) -> Mapping[str, pl.DataType]:
        """Its columns and their types. Raises SourceUnreadable."""

    def count(self) -> int:
        """How many rows it has. Raises SourceUnreadable."""

    def scan(self) -> pl.LazyFrame:
        """Its rows in an order that is always the same, with `ROW`."""

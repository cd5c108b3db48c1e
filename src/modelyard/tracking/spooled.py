"""What a client's spool holds and a server takes in: the records of a run, in numbered batches. Owns the words; does no I/O.

A *source* is one spool: what one process logs to one run. Its batches are numbered from 1 and taken in that order, each once.
"""

import re
from typing import NewType

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict, InvalidInput
from modelyard.core.ids import new_id
from modelyard.tracking.domain import DatasetInput, RunStatus

SourceId = NewType("SourceId", str)
"""`src_` and 32 hexadecimal digits; they sort by the time at which the spools were made."""

MOST_POINTS = 4000
"""How many points a batch may hold: what a database takes in about 5 ms."""

_SOURCE_ID = re.compile(r"src_[0-9a-f]{32}")


class Started(msgspec.Struct, frozen=True, kw_only=True, tag="started"):
    """A run begins, under the id that its client gave it. The experiment is made where there is none of its name."""

    name: str
    started_at: Instant
    experiment: str = ""
    user: str = ""
    tags: dict[str, str] = {}


class Resumed(msgspec.Struct, frozen=True, kw_only=True, tag="resumed"):
    """A run goes on that is there already."""

    at: Instant


class Texts(msgspec.Struct, frozen=True, kw_only=True, tag="texts"):
    """Params and tags."""

    params: dict[str, str] = {}
    tags: dict[str, str] = {}


class Points(msgspec.Struct, frozen=True, kw_only=True, tag="points"):
    """Points of metrics: each key with its points as `rules.series` packs them, 24 bytes a point."""

    series: tuple[tuple[str, bytes], ...]


class Input(msgspec.Struct, frozen=True, kw_only=True, tag="input"):
    """A dataset that the run read."""

    dataset: DatasetInput


class File(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """An artifact. Its content comes on its own way, before this."""

    path: str
    digest: Digest
    size_bytes: int


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """The run is over, as far as its source knows.

    `is_owed` is of an end that its writer, which was killed, could not say: it counts only where no later source has taken the run up.
    """

    status: RunStatus
    at: Instant
    is_owed: bool = False


Record = Started | Resumed | Texts | Points | Input | File | Ended


class SpooledBatch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch on its way to the server: taken whole or, where the server refuses it, not at all."""

    record: Record


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The server has the batch. `is_new` is false where it had it before."""

    is_new: bool


class RunExists(Conflict):
    """Another source has begun a run under that id."""


class ContentMissing(Conflict):
    """The artifact's content has not come yet: upload it, then send the batch again."""


def new_source_id() -> SourceId:
    """A source id that sorts behind those made before."""
    return SourceId(new_id("src"))


def checked_source(source: str, sequence: int) -> SourceId:
    """`source` where it has the shape of a source's id and its batches are numbered from 1. Raises InvalidInput."""
    if not _SOURCE_ID.fullmatch(source):
        raise InvalidInput(f"{source[:60]!r} is no id of a source", hint="src_ and 32 hexadecimal digits")
    if not 1 <= sequence < 2**63:
        raise InvalidInput(f"{sequence} numbers no batch", hint="batches are numbered from 1")
    return SourceId(source)

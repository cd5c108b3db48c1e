"""Frames of the prediction log: how a request's predictions become bytes and back. Owns the codec; does no I/O.

A frame (`storage.frames`) has as its body one byte for its kind, then MessagePack. A request and
arm is one frame, column by column, so that its cost hardly grows with its rows. Floats keep their exact bits.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_of
from modelyard.serving.domain import Cell
from modelyard.storage.frames import whole_bodies

MAGIC = b"MYSEG\x00\x01\n"
MOST_FRAME_BYTES = 64 * 2**20
ID_BYTES = 16

Role = Literal["key", "request", "feature", "age", "upto"]
CellKind = Literal["float", "integer", "text", "boolean"]
FrameKind = Literal[b"L", b"P", b"G"]

LAYOUT: FrameKind = b"L"
PREDICTIONS: FrameKind = b"P"
LABELS: FrameKind = b"G"


class Field(msgspec.Struct, frozen=True, array_like=True):
    """One logged column: its name, what it is to the model, and what its cells are.

    An `age` is how old a view's value was, in microseconds; `upto` is the instant up to which the view had been brought online.
    """

    name: str
    role: Role
    kind: CellKind


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """The columns of a model version's frames, in order. Written once into each segment that uses it."""

    model: str
    version: int
    fields: tuple[Field, ...]

    @property
    def key(self) -> str:
        """What frames call it: the digest of its content, shortened."""
        return digest_of(self)[7:23]


class PredictionFrame(msgspec.Struct, frozen=True, array_like=True):
    """What one request was answered by one arm: an id and a value for each row, and each column of `layout` over the rows.

    A column of one cell holds for every row. `ids` holds 16 bytes a row. `reasons` says row by row why the fallback
    served; empty where it did not.
    """

    layout: str
    at: Instant
    wall: Instant
    revision: int
    arm: str
    latency_us: int
    ids: bytes
    values: list[float]
    columns: list[list[Cell]]
    reasons: list[str | None] = []


class LabelFrame(msgspec.Struct, frozen=True, array_like=True):
    """Late ground truth as it came: each row names a prediction by id, or its entity keys as canonical JSON."""

    model: str
    wall: Instant
    ids: list[str | None]
    keys: list[str | None]
    at: list[Instant]
    values: list[float]


Frame = Layout | PredictionFrame | LabelFrame

_encoder = msgspec.msgpack.Encoder()
_decoders: dict[bytes, msgspec.msgpack.Decoder[Frame]] = {
    LAYOUT: msgspec.msgpack.Decoder(Layout),
    PREDICTIONS: msgspec.msgpack.Decoder(PredictionFrame),
    LABELS: msgspec.msgpack.Decoder(LabelFrame),
}
_KINDS: dict[type, FrameKind] = {Layout: LAYOUT, PredictionFrame: PREDICTIONS, LabelFrame: LABELS}


def encoded(frame: Frame) -> bytes:
    """The body of a frame: its kind and its content.

    >>> decoded(encoded(LabelFrame("m", Instant(1), [None], ["[1]"], [Instant(1)], [1.0]))).keys
    ['[1]']
    """
    return _KINDS[type(frame)] + _encoder.encode(frame)


def decoded(body: bytes | memoryview) -> Frame:
    """The frame that `body` holds. Raises msgspec.DecodeError or KeyError where it holds none."""
    return _decoders[bytes(body[:1])].decode(body[1:])


def bodies(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Each whole frame's body after the magic bytes, and the offset where the frame ends; stops at the first that is not whole."""
    offset = len(MAGIC)
    if bytes(content[:offset]) == MAGIC:
        yield from whole_bodies(content, offset, MOST_FRAME_BYTES)

"""What can be read off an ONNX model's bytes without the library: whether it is whole in itself, and what it computes.

Pure. It walks Protocol Buffers by the numbers of onnx.proto3; owns no loading.
"""

import hashlib
from collections.abc import Iterator

from modelyard.core.digests import Digest
from modelyard.registry.domain import BadArtifact, FormatRefused

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
DEEPEST = 40

# Fields by message, as onnx.proto3 numbers them: which hold further messages, and which name or describe only.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function", 20: "training"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_WORDS: dict[str, frozenset[int]] = {
    "model": frozenset({2, 3, 4, 5, 6, 14}),
    "graph": frozenset({2, 10}),
    "node": frozenset({6}),
    "tensor": frozenset({12}),
    "attribute": frozenset({13}),
    "function": frozenset({8}),
}
_EXTERNAL = frozenset({13, 14})

Field = tuple[int, int, bytes]


def check_model(content: bytes) -> None:
    """Raises BadArtifact for what is no model, FormatRefused for one whose weights lie in files beside it."""
    if not any(number == 7 and kind == BYTES for number, kind, _ in fields(content)):
        raise BadArtifact("this is no ONNX model: it has no graph", hint="export the model again")
    _check(content, "model", 0)


def _check(content: bytes, message: str, depth: int) -> None:
    if depth > DEEPEST:
        raise BadArtifact(f"this ONNX model nests deeper than {DEEPEST}", hint="export the model again")
    inside = _INSIDE[message]
    for number, kind, value in fields(content):
        if message == "tensor" and number in _EXTERNAL and not (number == 14 and value == b"\x00"):
            raise FormatRefused("the model's weights lie in other files", hint="export it as one file, without external data")
        if number in inside and kind == BYTES:
            _check(value, inside[number], depth + 1)


def model_content(content: bytes) -> Digest:
    """The digest of what the model computes: without its producer, notes, and the names of graphs and nodes."""
    running = hashlib.sha256()
    _feed(running, content, "model", 0)
    return Digest("sha256:" + running.hexdigest())


def _feed(running: "hashlib._Hash", content: bytes, message: str, depth: int) -> None:
    inside, words = _INSIDE[message], _WORDS.get(message, frozenset())
    for number, kind, value in fields(content):
        if number in words:
            continue
        nested = number in inside and kind == BYTES and depth < DEEPEST
        running.update(f"{number}:{kind}:{'(' if nested else len(value)}".encode())
        if nested:
            _feed(running, value, inside[number], depth + 1)
            running.update(b")")
        else:
            running.update(value)


def fields(content: bytes) -> Iterator[Field]:
    """The fields of a message: number, wire type, and bytes (of a varint its own). Raises BadArtifact where it is cut short."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            _, end = _varint(content, place)
        elif kind == BYTES:
            size, place = _varint(content, place)
            end = place + size
        elif kind in (FIXED64, FIXED32):
            end = place + (8 if kind == FIXED64 else 4)
        else:
            raise _cut()
        if end > len(content) or not number:
            raise _cut()
        yield number, kind, content[place:end]
        place = end


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            raise _cut()
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _cut()


def _cut() -> BadArtifact:
    return BadArtifact("this is no ONNX model: its bytes do not hold together", hint="export the model again")

"""Frames in append-only files: a length, a CRC-32 over length and body, and the body; little-endian. Owns the bytes; does no I/O.

A tail that was being written when the machine died fails its length or its checksum, and is not read.
"""

import zlib
from collections.abc import Iterator
from struct import Struct as Packing

HEAD = Packing("<II")
LENGTH = Packing("<I")


def framed(body: bytes) -> bytes:
    """`body` with its length and checksum before it."""
    length = len(body)
    return HEAD.pack(length, zlib.crc32(body, zlib.crc32(LENGTH.pack(length)))) + body


def whole_bodies(content: memoryview, offset: int, most_bytes: int) -> Iterator[tuple[int, memoryview]]:
    """Each whole frame's body from `offset` on, and the offset where the frame ends; stops at the first that is not whole.

    >>> [bytes(body) for _, body in whole_bodies(memoryview(framed(b"a") + framed(b"bc") + b"torn"), 0, 9)]
    [b'a', b'bc']
    """
    while offset + HEAD.size < len(content):
        length, checksum = HEAD.unpack_from(content, offset)
        start = offset + HEAD.size
        end = start + length
        if not 0 < length <= most_bytes or end > len(content):
            return
        body = content[start:end]
        if zlib.crc32(body, zlib.crc32(content[offset : offset + LENGTH.size])) != checksum:
            return
        yield end, body
        offset = end


def claimed_size(content: bytes, most_bytes: int) -> int:
    """How many bytes the frame says it takes that begins `content`; 0 where it says nothing that may be.

    >>> claimed_size(framed(b"abc")[:9], 3), claimed_size(framed(b"abc"), 2), claimed_size(b"torn", 9)
    (11, 0, 0)
    """
    if len(content) < HEAD.size:
        return 0
    (length,) = LENGTH.unpack_from(content)
    return HEAD.size + length if 0 < length <= most_bytes else 0

"""Bytes that are read in place: words of 64 bits in sections, found by a directory in front. Owns the format.

A record is: how many sections, where each ends (in words, counted from the first section), the sections. Little-endian. A section
holds whole numbers, floats, wide numbers (a power of two, a width, then each number in so many words), lists (where each ends,
then all of them), or texts (where each ends in bytes, then all of them, filled up with zeros).
"""

import itertools
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T", int, float)
WORD = (1 << 64) - 1

assert sys.byteorder == "little", "records are written as the processor has them"


def whole(numbers: Iterable[int]) -> bytes:
    """A section of whole numbers of 64 bits."""
    return array("q", numbers).tobytes()


def floats(numbers: Iterable[float]) -> bytes:
    """A section of floats."""
    return array("d", numbers).tobytes()


def wide(numbers: Sequence[int], exponent: int) -> bytes:
    """A section of whole numbers of any size, in units of `2**exponent`."""
    width = max(max(numbers).bit_length(), min(numbers).bit_length()) // 64 + 1 if numbers else 1
    head = whole((exponent, width))
    return head + (whole(numbers) if width == 1 else b"".join([one.to_bytes(8 * width, "little", signed=True) for one in numbers]))


def lists(parts: Sequence[bytes]) -> bytes:
    """A section of lists, each of them as a section of numbers."""
    return whole(itertools.accumulate(len(part) // 8 for part in parts)) + b"".join(parts)


def texts(parts: Sequence[str]) -> bytes:
    """A section of texts."""
    contents = [part.encode() for part in parts]
    joined = b"".join(contents)
    return whole(itertools.accumulate(map(len, contents))) + joined + bytes(-len(joined) % 8)


def record(sections: Sequence[bytes]) -> bytes:
    """The sections as one record."""
    ends = itertools.accumulate(len(section) // 8 for section in sections)
    return whole((len(sections), *ends)) + b"".join(sections)


class Record:
    """A record's sections, read in place: nothing is decoded but what is asked for."""

    __slots__ = ("_bytes", "_first", "_words")

    def __init__(self, content: bytes) -> None:
        self._bytes = memoryview(content)
        self._words = self._bytes.cast("q")
        self._first = self._words[0] + 1

    def _bounds(self, section: int) -> tuple[int, int]:
        return self._first + (self._words[section] if section else 0), self._first + self._words[section + 1]

    def whole(self, section: int) -> memoryview:
        """Whole numbers."""
        begin, end = self._bounds(section)
        return self._words[begin:end]

    def floats(self, section: int) -> "memoryview[float]":
        """Floats."""
        begin, end = self._bounds(section)
        return self._bytes[8 * begin : 8 * end].cast("d")

    def wide(self, section: int) -> "Wide":
        """Whole numbers of any size."""
        begin, end = self._bounds(section)
        return Wide(self._words[begin:end], self._bytes[8 * begin : 8 * end])

    def parts(self, section: int, count: int) -> list[bytes]:
        """`count` lists, each as a section of its own."""
        begin, end = self._bounds(section)
        ends = self._words[begin : begin + count].tolist()
        data = self._bytes[8 * (begin + count) : 8 * end].tobytes()
        return [data[8 * first : 8 * last] for first, last in zip([0, *ends], ends, strict=False)] if data else [b""] * count

    def lists(self, section: int, count: int) -> "Lists[int]":
        """`count` lists of whole numbers."""
        begin, end = self._bounds(section)
        return Lists(self._words[begin : begin + count], self._words[begin + count : end])

    def float_lists(self, section: int, count: int) -> "Lists[float]":
        """`count` lists of floats."""
        begin, end = self._bounds(section)
        return Lists(self._words[begin : begin + count], self._bytes[8 * (begin + count) : 8 * end].cast("d"))

    def texts(self, section: int, count: int) -> "Texts":
        """`count` texts."""
        begin, end = self._bounds(section)
        return Texts(self._words[begin : begin + count], self._bytes[8 * (begin + count) : 8 * end])


class Wide:
    """Numbers of any size, in units of `2**exponent`."""

    __slots__ = ("_bytes", "_width", "_words", "exponent")

    def __init__(self, words: memoryview, content: memoryview) -> None:
        self.exponent, self._width = words[0], words[1]
        self._words, self._bytes = words, content

    def __len__(self) -> int:
        return (len(self._words) - 2) // self._width

    def __getitem__(self, place: int) -> int:
        where = 2 + place * self._width
        if self._width == 1:
            return int(self._words[where])
        if self._width == 2:
            return int((self._words[where + 1] << 64) | (self._words[where] & WORD))
        return int.from_bytes(self._bytes[8 * where : 8 * (where + self._width)], "little", signed=True)

    def tolist(self) -> list[int]:
        """All of them."""
        return self._words[2:].tolist() if self._width == 1 else [self[place] for place in range(len(self))]


class Lists(Generic[T]):
    """Lists behind one another."""

    __slots__ = ("_data", "_ends")

    def __init__(self, ends: "memoryview[int]", data: "memoryview[T]") -> None:
        self._ends: memoryview[int] = ends
        self._data: memoryview[T] = data

    def __getitem__(self, place: int) -> "memoryview[T]":
        part: memoryview[T] = self._data[self._ends[place - 1] if place else 0 : self._ends[place]]
        return part

    def since(self, place: int) -> "memoryview[T]":
        """Those from `place` on, as one."""
        rest: memoryview[T] = self._data[self._ends[place - 1] if place else 0 :]
        return rest


class Texts:
    """Texts behind one another."""

    __slots__ = ("_data", "_ends")

    def __init__(self, ends: memoryview, data: memoryview) -> None:
        self._ends, self._data = ends, data

    def __getitem__(self, place: int) -> str:
        return str(self._data[self._ends[place - 1] if place else 0 : self._ends[place]], "utf-8")

    def __len__(self) -> int:
        return len(self._ends)

    def tolist(self) -> list[str]:
        """All of them."""
        return [self[place] for place in range(len(self._ends))]

"""The Merkle tree of RFC 6962 over tiles of 256 hashes (C2SP tlog-tiles): growth, roots, proofs and their verification.

Owns hashes and where they stand. What a leaf says is in `leaf`; where tiles are kept is in the store.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from modelyard.ledger.domain import Hash, LogCorrupt, ProofInvalid

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
TILE_BYTES = TILE_WIDTH * HASH_BYTES
EMPTY_ROOT = Hash(hashlib.sha256(b"").digest())


class Tile(NamedTuple):
    """Where a tile stands: its level, leaves' hashes being level 0, and its number within the level."""

    level: int
    number: int


ReadTile = Callable[[Tile], bytes]
"""Gives a tile's hashes, one after the other: all 256, or as many as the right edge has."""


def leaf_hash(leaf: bytes) -> Hash:
    """The hash of a leaf: SHA-256 over 0x00 and its bytes."""
    return Hash(hashlib.sha256(b"\x00" + leaf).digest())


def node_hash(left: bytes, right: bytes) -> Hash:
    """The hash of an inner node: SHA-256 over 0x01 and both children."""
    return Hash(hashlib.sha256(b"\x01" + left + right).digest())


def folded(hashes: bytes) -> Hash:
    """The root over `hashes`, whose number is a power of two."""
    row = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        row = [hashlib.sha256(b"\x01" + row[at] + row[at + 1]).digest() for at in range(0, len(row), 2)]
    return Hash(row[0])


def grown(read: ReadTile, size: int, hashes: Sequence[bytes]) -> dict[Tile, bytes]:
    """The tiles that change when leaves with `hashes` join a tree of `size` leaves, each with its new content.

    Reads the right edge only: at most one tile a level.
    """
    changed: dict[Tile, bytes] = {}
    level, count, joining = 0, size, b"".join(hashes)
    while joining:
        index, width = divmod(count, TILE_WIDTH)
        content = (_checked(read, Tile(level, index), width) if width else b"") + joining
        full = []
        for at in range(0, len(content), TILE_BYTES):
            part = content[at : at + TILE_BYTES]
            changed[Tile(level, index + at // TILE_BYTES)] = part
            if len(part) == TILE_BYTES:
                full.append(folded(part))
        level, count, joining = level + 1, index, b"".join(full)
    return changed


def tile_widths(size: int) -> dict[int, tuple[int, int]]:
    """For each level of a tree of `size` leaves: how many full tiles it has, and how wide the partial one is (0: none).

    >>> tile_widths(70_000)
    {0: (273, 112), 1: (1, 17), 2: (0, 1)}
    """
    widths = {}
    level, count = 0, size
    while count:
        widths[level] = divmod(count, TILE_WIDTH)
        level, count = level + 1, count // TILE_WIDTH
    return widths


def root_hash(read: ReadTile, size: int) -> Hash:
    """The root of the first `size` leaves; needs the tiles of the right edge of that size only."""
    return _range_hash(read, 0, size) if size else EMPTY_ROOT


def inclusion_path(read: ReadTile, index: int, size: int) -> list[Hash]:
    """The audit path of leaf `index` in the tree of `size` leaves, from the leaf upwards. Raises ProofInvalid."""
    if not 0 <= index < size:
        raise ProofInvalid(f"a tree of {size} leaves has no leaf {index}", hint="ask for a size above the entry's index")
    path: list[Hash] = []
    start, end = 0, size
    while end - start > 1:
        split = start + _split(end - start)
        if index < split:
            path.append(_range_hash(read, split, end))
            end = split
        else:
            path.append(_range_hash(read, start, split))
            start = split
    return path[::-1]


def consistency_path(read: ReadTile, first: int, second: int) -> list[Hash]:
    """The proof that the tree of `first` leaves begins that of `second`. Empty for equal sizes and for an empty first."""
    if not 0 <= first <= second:
        raise ProofInvalid(f"a tree of {first} leaves cannot begin one of {second}", hint="give the smaller size first")
    path: list[Hash] = []
    start, end = 0, second
    while first and first < end:
        split = start + _split(end - start)
        if first <= split:
            path.append(_range_hash(read, split, end))
            end = split
        else:
            path.append(_range_hash(read, start, split))
            start = split
    if start:
        path.append(_range_hash(read, start, end))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Does nothing where `path` leads from the leaf's hash to `root` (RFC 9162, section 2.1.3.2). Raises ProofInvalid."""
    if not 0 <= index < size:
        raise ProofInvalid(f"a tree of {size} leaves has no leaf {index}", hint="check index and size of the proof")
    at, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise ProofInvalid(f"the proof has {len(path)} hashes, more than a tree of {size} leaves is deep")
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    if last or found != root:
        raise ProofInvalid(
            f"the proof of leaf {index} does not lead to the root of size {size}", hint="the entry was changed or never logged"
        )


def verify_consistency(first: int, second: int, path: Sequence[bytes], first_root: bytes, second_root: bytes) -> None:
    """Does nothing where `path` shows the first tree to begin the second (RFC 9162, section 2.1.4.2). Raises ProofInvalid."""
    forked = ProofInvalid(f"the tree of {second} leaves does not begin with that of {first}", hint="the log's history was changed")
    if not 0 <= first <= second:
        raise ProofInvalid(f"a tree of {first} leaves cannot begin one of {second}", hint="give the smaller size first")
    if first in (0, second):
        if path or first_root != (second_root if first else EMPTY_ROOT):
            raise forked
        return
    steps = list(path) if first & (first - 1) else [first_root, *path]
    if not steps or _folded_both(steps, first - 1, second - 1) != (first_root, second_root):
        raise forked


def _folded_both(steps: Sequence[bytes], at: int, last: int) -> tuple[bytes, bytes] | None:
    """The roots of the smaller and the larger tree that a consistency proof leads to; None where its length is wrong."""
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, step)
        at, last = at >> 1, last >> 1
    return None if last else (old, new)


def _split(count: int) -> int:
    """The largest power of two below `count`: how many leaves go to the left."""
    return 1 << (count - 1).bit_length() - 1


def _range_hash(read: ReadTile, start: int, end: int) -> Hash:
    """The hash over leaves `start` to `end`, a range that the tree's recursion meets."""
    count = end - start
    if count & (count - 1) == 0:
        level, height = divmod(count.bit_length() - 1, TILE_HEIGHT)
        index, offset = divmod(start >> TILE_HEIGHT * level, TILE_WIDTH)
        width = offset + (1 << height)
        return folded(_checked(read, Tile(level, index), width)[offset * HASH_BYTES :])
    split = start + _split(count)
    return node_hash(_range_hash(read, start, split), _range_hash(read, split, end))


def _checked(read: ReadTile, tile: Tile, width: int) -> bytes:
    """The first `width` hashes of a tile. Raises LogCorrupt where it has fewer."""
    content = read(tile)
    if len(content) < width * HASH_BYTES:
        raise LogCorrupt(
            f"tile {tile.level}/{tile.number} holds {len(content) // HASH_BYTES} hashes, expected {width}",
            hint="the stored tree was changed from outside; verify the log and restore a backup",
        )
    return content[: width * HASH_BYTES]

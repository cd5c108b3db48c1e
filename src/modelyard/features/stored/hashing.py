"""The hash that says in which bucket an entity's rows lie. It is part of the layout on disk: its values never change.

It is our own, over canonical bytes, because no library promises its hash for the next version or another machine.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import polars as pl

Hashes = npt.NDArray[np.uint64]

WORDS = 8
"""Texts of up to so many words of 8 bytes are hashed in columns, longer ones one by one."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_PADDING = b"\0" * 7


def entity_hashes(keys: pl.DataFrame) -> Hashes:
    """A hash of 64 bits for each row of key columns (string or int64), in their order; a null counts as 0.

    Whole numbers are mixed by the finalizer of SplitMix64 (Steele, Lea, Flood, Fast splittable pseudorandom number generators,
    OOPSLA 2014). A text begins with its length in bytes of UTF-8 and takes in its words of 8 bytes, little-endian, the last
    filled up with zeros; one longer than 64 bytes counts as the first 8 bytes of its BLAKE2b. Columns are chained.

    >>> [hex(int(one)) for one in entity_hashes(pl.DataFrame({"id": [1], "name": ["EWR"]}))]
    ['0xe9c528266aba926e']
    """
    found = np.zeros(keys.height, np.uint64)
    for column in keys.get_columns():
        found = _mixed(found ^ (_numbers(column) if column.dtype == pl.Int64 else _texts(column)))
    return found


def bucket_of(hashes: Hashes, buckets: int) -> npt.NDArray[np.uint16]:
    """The bucket of each hash: its highest bits, so that twice as many buckets split each one in two. `buckets` is a power of two."""
    bits = buckets.bit_length() - 1
    return (hashes >> np.uint64(64 - bits) if bits else np.zeros_like(hashes)).astype(np.uint16)


def _mixed(values: Hashes) -> Hashes:
    mixed = values + _GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _numbers(column: pl.Series) -> Hashes:
    return column.fill_null(0).to_numpy().view(np.uint64)


def _texts(column: pl.Series) -> Hashes:
    content = column.fill_null("").cast(pl.Binary).alias("t").to_frame()
    lengths = content["t"].bin.size().to_numpy()
    found = _mixed(lengths.astype(np.uint64))
    padded = content.select(pl.col("t") + pl.lit(_PADDING))
    for word in range(min(-(-int(lengths.max(initial=0)) // 8), WORDS)):
        part = padded.select(pl.col("t").bin.slice(8 * word, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little"))["t"]
        there = lengths > 8 * word
        found = np.where(there, _mixed(found ^ part.fill_null(0).to_numpy()), found)
    for place in np.flatnonzero(lengths > 8 * WORDS).tolist():
        found[place] = int.from_bytes(hashlib.blake2b(content["t"][place], digest_size=8).digest(), "little")
    return found

"""What stands for many values where all of them would be too many: for percentiles and for the number of distinct ones.

Values are kept as they are up to a number, and within it answers are exact. Beyond, a percentile's value is at most half a
percent off, but for subnormal numbers (buckets of equal ratio; Masson, Rim, Lee, DDSketch, VLDB 2019), and a number of
distinct values has a standard error of 4.5% (the least hashes; Bar-Yossef et al., Counting distinct elements in a data
stream, RANDOM 2002).
Both can be put together from parts, in any order.
"""

import bisect
import hashlib
import itertools
import math
import struct
from collections import Counter
from collections.abc import Iterable, Sequence

MOST_VALUES = 128
"""Numbers of one tile that are kept as they are."""
RELATIVE_ERROR = 0.005
MOST_HASHES = 512
"""Hashes of one tile that are kept; one more says how far they reach."""

LARGEST_POWER = 709.7827
"""Of e, in the floats."""

_RATIO = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_LOWEST = -(2**63)
_SHIFT = 80_000
"""Above every bucket's number of a positive float: the others' lie below its opposite, zero's is 0."""


def bucket_of(value: float) -> int:
    """The number of the bucket that holds `value`; numbers rise with values."""
    if value == 0.0:
        return 0
    place = math.ceil(math.log(abs(value)) / _RATIO) + _SHIFT
    return place if value > 0 else -place


def value_of(bucket: int) -> float:
    """The value that stands for a bucket: none in it is further off than the relative error.

    >>> abs(value_of(bucket_of(123.4)) / 123.4 - 1) <= 0.00501
    True
    """
    if bucket == 0:
        return 0.0
    power = (abs(bucket) - _SHIFT) * _RATIO
    # The middle of (exp(power - ratio), exp(power)], as seen by ratios; capped, since the last bucket reaches beyond the floats.
    size = math.exp(min(power - math.log((1 + math.exp(_RATIO)) / 2), LARGEST_POWER))
    return math.copysign(size, bucket)


def buckets_of(values: Iterable[float]) -> list[int]:
    """The buckets that hold `values`, rising, each followed by how many it holds."""
    return list(itertools.chain.from_iterable(sorted(Counter(map(bucket_of, values)).items())))


def percentile(values: Iterable[float], buckets: Sequence[int], share: float) -> float | None:
    """The percentile of values and of what buckets (with their counts) stand for, between the two values nearest to it."""
    ranked = sorted(values)
    if not buckets:
        if not ranked:
            return None
        place = (len(ranked) - 1) * share
        below = int(place)
        low, high = ranked[below], ranked[min(below + 1, len(ranked) - 1)]
        return _between(low, high, place - below)
    pairs = [(value, 1) for value in ranked]
    pairs += [(value_of(bucket), count) for bucket, count in zip(buckets[::2], buckets[1::2], strict=True)]
    pairs.sort()
    ends = list(itertools.accumulate(count for _, count in pairs))
    place = (ends[-1] - 1) * share
    below = int(place)
    low = pairs[bisect.bisect_right(ends, below)][0]
    high = pairs[bisect.bisect_right(ends, min(below + 1, ends[-1] - 1))][0]
    return _between(low, high, place - below)


def _between(low: float, high: float, part: float) -> float:
    half = part * (high / 2 - low / 2)
    return low + half + half


def hash_of(value: float | str) -> int:
    """64 bits that stand for a value, as a signed number."""
    if isinstance(value, str):
        content = value.encode()
    else:
        content = struct.pack("<q", value) if isinstance(value, int) else struct.pack("<d", value)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little", signed=True)


def least_hashes(values: Iterable[float | str]) -> list[int]:
    """The least hashes of `values`, rising: all of them, or the most that are kept and the next one."""
    return sorted(set(map(hash_of, values)))[: MOST_HASHES + 1]


def distinct(parts: Sequence[Sequence[int]], singles: Iterable[int]) -> int:
    """How many distinct values parts' least hashes and single ones stand for together: exact where every part has all of its own."""
    reaches = [part[-1] for part in parts if len(part) > MOST_HASHES]
    known = set(singles).union(*parts)
    if not reaches:
        return len(known)
    reach = min(reaches)
    return round(sum(one < reach for one in known) / ((reach - _LOWEST) / 2**64))

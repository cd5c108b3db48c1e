"""Identifiers: UUIDv7 for what must sort by time, MLflow-shaped ids for runs and experiments. Owns their shape only."""

import os
import secrets
import threading
import uuid

from modelyard.core.clock import Instant, wall_now

_lock = threading.Lock()
_last = (0, 0)


def uuid7(at: Instant | None = None) -> uuid.UUID:
    """A UUID version 7 (RFC 9562): milliseconds, a 12-bit counter within one millisecond, 62 random bits.

    Ids made in one process without `at` increase strictly. With `at`, the time bits are that instant's.

    >>> uuid7().version
    7
    """
    global _last  # noqa: PLW0603 - the counter of RFC 9562, section 6.2, is one a process
    if at is None:
        with _lock:
            milliseconds, counter = max((wall_now() // 1000, 0), (_last[0], _last[1] + 1))
            if counter > 0xFFF:
                milliseconds, counter = milliseconds + 1, 0
            _last = (milliseconds, counter)
    else:
        milliseconds, counter = at // 1000, secrets.randbits(12)
    tail = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return uuid.UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | counter << 64 | 0b10 << 62 | tail)


def new_id(prefix: str) -> str:
    """A time-sorted id with a typed prefix.

    >>> new_id("dlv").startswith("dlv_")
    True
    """
    return f"{prefix}_{uuid7().hex}"


def id_instant(text: str) -> Instant:
    """The instant inside a UUIDv7 id, prefixed or not, to the millisecond."""
    return Instant((uuid.UUID(hex=text.rpartition("_")[2]).int >> 80) * 1000)


def hex_id() -> str:
    """A random 32-digit id, the shape of an MLflow run id."""
    return secrets.token_hex(16)


def decimal_id() -> str:
    """A random 18-digit id, the shape of an MLflow experiment id."""
    return str(10**17 + secrets.randbelow(9 * 10**17))

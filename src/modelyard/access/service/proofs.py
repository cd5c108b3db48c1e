"""Proven tokens, remembered for a moment, so that a program's requests do not each ask the database. Owns how long.

A change of roles, accounts or tokens that this process made ends every proof at once; one that another process made, with
the lease of a proof.
"""

from typing import NamedTuple

from modelyard.access import store
from modelyard.access.domain import Authenticated
from modelyard.access.rules import secret_hash
from modelyard.core.clock import SECOND, Clock, Instant

LEASE_S = 1.0
MOST = 1024


class _Proof(NamedTuple):
    found: Authenticated
    changes: int
    since: Instant


class Proofs:
    """What `Authorization` headers have proven lately, under the hash of their text. May be shared by threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, _Proof] = {}

    def find(self, header: str) -> Authenticated | None:
        """Who the header proved to be, while that still holds."""
        proof = self._kept.get(secret_hash(header))
        if proof is None or proof.changes != store.count_changes() or not 0 <= self._clock.wall() - proof.since < LEASE_S * SECOND:
            return None
        return proof.found

    def count_changes(self) -> int:
        """What `keep` wants to know from before the database was read."""
        return store.count_changes()

    def keep(self, header: str, found: Authenticated, changes: int) -> None:
        """Remembers what the header has proven; `changes` is the count from before the database was read."""
        if len(self._kept) >= MOST:
            self._kept = {}
        self._kept[secret_hash(header)] = _Proof(found, changes, self._clock.wall())

"""How often what proves a token has changed: roles, accounts, revocations. Owns that count alone; it is this process's own."""

import threading

from modelyard.storage.database import Transaction


class _Changes:
    def __init__(self) -> None:
        self.count = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self.count += 1


_changes = _Changes()


def note_change(tx: Transaction) -> None:
    """Counts the change once it is durable, before whoever made it is answered."""
    tx.after_commit(_changes.add)


def count_changes() -> int:
    """How many changes this process has made. What was read before a change is not to be relied on after it."""
    return _changes.count

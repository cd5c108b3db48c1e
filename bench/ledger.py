"""How fast the ledger is: recording, sequencing, signing, proving, verifying. `python bench/ledger.py [URL]` prints JSON."""

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable

from modelyard.core.clock import SystemClock
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.rules.merkle import grown, leaf_hash
from modelyard.ledger.service import (
    LogKey,
    get_entry,
    include_now,
    prove_consistency,
    record,
    sequence_pending,
    sign_checkpoint,
    verify_log,
)
from modelyard.storage.database import Database, Transaction
from modelyard.storage.schema import METADATA

ENTRIES = 100_000
BATCH = 250
PROOFS = 300
DATA = {"model": "late_arrival", "version": 14, "metrics": {"roc_auc": 0.7123, "log_loss": 0.4451}, "cause": "schedule"}


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def entry(number: int) -> NewEntry:
    """An entry of a usual size."""
    return NewEntry(type="registry.version_registered", subject=f"model:m{number % 50}/{number}", actor="prn_0190c0ffee", data=DATA)


def measured(url: str, entries: int = ENTRIES) -> dict[str, float]:
    """The figures, by name; rates are per second, times in microseconds."""
    database, key = Database.open(url, SystemClock()), LogKey.new("modelyard.local/bench")
    METADATA.create_all(database.engine)

    def record_some(tx: Transaction, start: int) -> None:
        for number in range(start, start + BATCH):
            record(tx, entry(number))

    def record_all() -> None:
        for start in range(0, entries, BATCH):
            database.write(lambda tx, start=start: record_some(tx, start))  # type: ignore[misc] # bound per turn

    result = {"entries": float(entries)}
    result["recorded_per_s"] = entries / seconds(record_all)
    result["sequenced_per_s"] = entries / seconds(lambda: sequence_pending(database, "bench"))
    result["checkpoint_us"] = 1e6 * seconds(lambda: database.write(lambda tx: sign_checkpoint(tx, key)))
    choose = random.Random(0)
    with database.read() as snapshot:
        result["proven_entry_us"] = 1e6 / PROOFS * seconds(lambda: [get_entry(snapshot, choose.randrange(entries)) for _ in range(PROOFS)])
        result["consistency_us"] = (
            1e6 / PROOFS * seconds(lambda: [prove_consistency(snapshot, choose.randrange(1, entries), entries) for _ in range(PROOFS)])
        )
        result["verified_per_s"] = entries / seconds(lambda: verify_log(snapshot, key.verifier))

    def gate() -> None:
        for _ in range(50):
            include_now(database, key, "bench", database.write(lambda tx: record(tx, entry(0))))

    result["gate_us"] = 1e6 / 50 * seconds(gate)
    hashes = [leaf_hash(b"%d" % number) for number in range(entries)]
    result["tree_append_us"] = 1e6 / entries * seconds(lambda: grown(lambda tile: b"", 0, hashes))
    database.close()
    return {name: round(value, 2) for name, value in result.items()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measured(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/ledger.db"), indent=2))

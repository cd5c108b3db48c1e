"""The ledger's operations: entries with proofs, checkpoints, consistency, verification. Decides nothing."""

from modelyard.ledger import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/ledger", service.log_facts, name="get_ledger"),
    operation("GET", "/ledger/entries", service.read_entries, name="list_ledger_entries"),
    operation("GET", "/ledger/entries/{index}", service.read_entry, name="get_ledger_entry"),
    operation("GET", "/ledger/entries/{index}/proof", service.prove_inclusion, name="prove_ledger_inclusion"),
    operation("GET", "/ledger/checkpoint", service.latest_checkpoint, name="latest_ledger_checkpoint"),
    operation("GET", "/ledger/checkpoints/{size}", service.get_checkpoint, name="get_ledger_checkpoint"),
    operation("GET", "/ledger/consistency", service.prove_consistency, name="prove_ledger_consistency"),
    operation("POST", "/ledger/verification", service.verify, name="verify_ledger"),
)

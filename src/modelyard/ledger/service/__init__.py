"""What other components do with the ledger: record, follow events, sequence, prove, verify. Owns no rule of the log itself."""

from modelyard.ledger.rules.merkle import leaf_hash, verify_consistency, verify_inclusion
from modelyard.ledger.rules.note import VerifierKey, opened_checkpoint, parse_verifier_key
from modelyard.ledger.service.events import advance, cursor, first_positions, list_events
from modelyard.ledger.service.keys import LogKey
from modelyard.ledger.service.proofs import (
    entry_position,
    get_checkpoint,
    get_entry,
    latest_checkpoint,
    list_entries,
    list_types,
    log_facts,
    prove_consistency,
    prove_inclusion,
    read_entries,
    read_entry,
)
from modelyard.ledger.service.recording import erase_personal, find_personal, record
from modelyard.ledger.service.sequencing import (
    include_now,
    lease_sequencer,
    sequence_batch,
    sequence_pending,
    sign_checkpoint,
    tick,
    wait_included,
)
from modelyard.ledger.service.verification import ContentDigest, Contents, stopped, verify, verify_log

__all__ = [
    "ContentDigest",
    "Contents",
    "LogKey",
    "VerifierKey",
    "advance",
    "cursor",
    "entry_position",
    "erase_personal",
    "find_personal",
    "first_positions",
    "get_checkpoint",
    "get_entry",
    "include_now",
    "latest_checkpoint",
    "leaf_hash",
    "lease_sequencer",
    "list_entries",
    "list_events",
    "list_types",
    "log_facts",
    "opened_checkpoint",
    "parse_verifier_key",
    "prove_consistency",
    "prove_inclusion",
    "read_entries",
    "read_entry",
    "record",
    "sequence_batch",
    "sequence_pending",
    "sign_checkpoint",
    "stopped",
    "tick",
    "verify",
    "verify_consistency",
    "verify_inclusion",
    "verify_log",
    "wait_included",
]

"""What auditors are given to trust, once and early: public keys, a checkpoint, the policy. Owns the record of it."""

from modelyard.access.domain import Principal
from modelyard.governance.domain import TRUST_GIVEN, Trust
from modelyard.governance.service.dossiers import own_trust
from modelyard.governance.service.keys import RoleKeys
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import LogKey, latest_checkpoint, list_entries, record
from modelyard.storage.database import Transaction

MOST_KNOWN = 200


def give_trust(tx: Transaction, principal: Principal, log_key: LogKey, keys: RoleKeys) -> Trust:
    """What an auditor keeps and later holds bundles against. Later bundles prove that the log grew out of the checkpoint in it.

    Raises NoSuchCheckpoint before the first one.
    """
    checkpoint = latest_checkpoint(tx)
    known = {one.data.get("size") for one in list_entries(tx, type=TRUST_GIVEN, limit=MOST_KNOWN).entries}
    if checkpoint.size not in known:
        record(tx, NewEntry(type=TRUST_GIVEN, subject="ledger", actor=principal.id, data={"size": checkpoint.size}))
    return own_trust(log_key, keys, checkpoint.note)

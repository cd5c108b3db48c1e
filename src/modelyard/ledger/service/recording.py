"""Recording: an entry in the transaction of the change it is about, and personal data that can be erased again."""

import secrets
from typing import Any

import msgspec

from modelyard.core.ids import new_id
from modelyard.ledger import store
from modelyard.ledger.domain import EntryId, NewEntry, NoSuchEntry, PersonalData
from modelyard.ledger.rules.leaf import SALT_BYTES, PendingEntry, canonical_data, commitment
from modelyard.storage.database import Snapshot, Transaction

ERASED = "ledger.personal_erased"


def record(tx: Transaction, entry: NewEntry) -> EntryId:
    """Records `entry` within the change's own transaction: both are durable, or neither is. Its index comes later.

    Entries of one transaction keep their order; so do those of transactions that saw each other's changes. Raises
    InvalidInput for data that has no canonical JSON form or is too long.
    """
    entry_id = EntryId(new_id("ent"))
    committed = None
    if entry.personal is not None:
        salt, content = secrets.token_bytes(SALT_BYTES), canonical_data(entry.personal, "personal data")
        committed = commitment(salt, content)
        store.put_personal(tx, entry_id, salt, content)
    store.put_pending(
        tx,
        PendingEntry(
            id=entry_id,
            type=entry.type,
            subject=entry.subject,
            actor=entry.actor,
            team_id=entry.team_id,
            occurred_at=tx.now(),
            recorded_at=tx.wall(),
            data=canonical_data(entry.data, "data"),
            digest=entry.digest,
            commitment=committed,
        ),
    )
    return entry_id


def find_personal(snapshot: Snapshot, entry_id: EntryId) -> PersonalData | None:
    """The personal data behind an entry's commitment, with the salt that opens it; None where the entry has none."""
    found = store.list_personal(snapshot, [entry_id]).get(entry_id)
    if found is None:
        return None
    data = None if found.content is None else msgspec.json.decode(found.content, type=dict[str, Any])
    return PersonalData(entry_id=entry_id, data=data, salt=found.salt, erased_at=found.erased_at)


def erase_personal(tx: Transaction, entry_id: EntryId, *, actor: str, reason: str) -> EntryId | None:
    """Erases the personal data of an entry for good and records that; the log verifies as before.

    The answer is the entry about the erasure, None where the data was erased before. Raises NoSuchEntry where there
    never was any. Copies in backups are not reached.
    """
    found = store.list_personal(tx, [entry_id]).get(entry_id)
    if found is None:
        raise NoSuchEntry(f"no entry {entry_id} with personal data", hint="see the entry's page for what it holds")
    if found.erased_at is not None:
        return None
    store.erase_personal(tx, entry_id, tx.wall())
    return record(tx, NewEntry(type=ERASED, subject=f"entry:{entry_id}", actor=actor, data={"reason": reason}))

"""The gate between what was decided and what it lets happen: the decisions' entries stand in the log, under a signed checkpoint."""

from modelyard.delivery.domain import Facts
from modelyard.delivery.machine import Waits
from modelyard.delivery.service import find_approval
from modelyard.delivery.stages.yard import Job, Yard
from modelyard.ledger.domain import EntryId, EntryNotIncluded
from modelyard.ledger.service import include_now
from modelyard.storage.database import Snapshot

PATIENCE_S = 0.5
"""How long another process may keep the log's order to itself before the stage goes back to wait for its turn."""


def waits_for_the_log(yard: Yard, job: Job, facts: Facts) -> Waits | None:
    """None once everything that the delivery rests on is proven by a checkpoint, which is signed now if need be.

    Where another process gives entries their order for longer than a moment, the stage waits and keeps `facts`.
    """
    with yard.database.read() as snapshot:
        now, entries = snapshot.now(), _decisions(snapshot, job)
    try:
        for entry in entries:
            include_now(yard.database, yard.log_key, yard.holder, entry, timeout_s=PATIENCE_S)
    except EntryNotIncluded as error:
        return Waits(wake_at=now, facts=facts, reason=f"waits for the log: {error.message}")
    return None


def _decisions(snapshot: Snapshot, job: Job) -> list[EntryId]:
    """The entries of the approval and of the stages that are done, gates among them; the last one first, for the log has it last."""
    approval = find_approval(snapshot, job.delivery.id)
    found = [None if approval is None else approval.entry, *(stage.entry for stage in job.detail.stages)]
    return [entry for entry in reversed(found) if entry is not None]

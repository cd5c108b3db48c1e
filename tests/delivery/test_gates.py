"""Nothing is registered and no traffic moves before the log proves, under a signed checkpoint, what was decided."""

from collections.abc import Callable

import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.errors import NotFound
from modelyard.delivery.domain import STAGES, StageName
from modelyard.delivery.machine import Outcome, Waits
from modelyard.delivery.stages.release import register
from modelyard.delivery.stages.rollout import roll_out
from modelyard.delivery.stages.yard import Job, Yard
from modelyard.ledger.domain import Entry, NewEntry, NoSuchCheckpoint, NoSuchEntry
from modelyard.ledger.service import latest_checkpoint, lease_sequencer, list_entries, record, sequence_pending, verify_log
from modelyard.serving.service import get_endpoint
from modelyard.storage.database import Database
from tests.delivery.rolling import brought, claim, end
from tests.serving.world import LATE


def covered(database: Database) -> list[Entry]:
    """The entries that a signed checkpoint covers, in their order; none while nothing is signed."""
    with database.read() as snapshot:
        try:
            size = latest_checkpoint(snapshot).size
        except NoSuchCheckpoint:
            return []
        return list_entries(snapshot, before=size, limit=100).entries[::-1]


def hold_sequencer(database: Database, lease_s: float) -> None:
    """Another process takes the order of entries to itself for so long."""
    assert database.write(lambda tx: lease_sequencer(tx, "another", lease_s=lease_s)) is not None


def test_a_share_is_proposed_under_a_checkpoint_over_the_gates_and_the_approval(database: Database, yard: Yard) -> None:
    job = brought(database, StageName.APPROVE)
    assert covered(database) == []
    found = roll_out(yard, job)
    decided = [(one.type, one.data.get("stage")) for one in covered(database)]
    assert ("delivery.approved", None) in decided
    assert {("delivery.stage_done", name) for name in STAGES[: STAGES.index(StageName.ROLL_OUT)]} <= set(decided)
    end(database, claim(database), found)
    with database.read() as snapshot:
        assert get_endpoint(snapshot, SYSTEM, LATE).coming is not None
        assert verify_log(snapshot, yard.log_key.verifier).is_sound


@pytest.mark.parametrize(("stage", "last"), [(register, StageName.CHALLENGE), (roll_out, StageName.APPROVE)])
def test_while_another_process_keeps_the_order_to_itself_the_stage_waits(
    database: Database, yard: Yard, stage: Callable[[Yard, Job], Outcome], last: StageName
) -> None:
    job = brought(database, last)
    hold_sequencer(database, 3600.0)
    found = stage(yard, job)
    assert isinstance(found, Waits)
    assert (found.apply, "waits for the log" in found.reason, covered(database)) == (None, True, [])
    end(database, claim(database), found)
    assert claim(database).stage is STAGES[STAGES.index(last) + 1]
    with database.read() as snapshot, pytest.raises(NotFound):
        get_endpoint(snapshot, SYSTEM, LATE)


def test_once_the_other_process_is_done_the_rollout_goes_on(database: Database, yard: Yard) -> None:
    job = brought(database, StageName.APPROVE)
    hold_sequencer(database, 3600.0)
    assert roll_out(yard, job).apply is None
    hold_sequencer(database, -1.0)
    assert roll_out(yard, job).apply is not None
    assert "delivery.approved" in {one.type for one in covered(database)}


def test_what_others_have_sequenced_is_signed_and_what_is_signed_is_not_signed_again(database: Database, yard: Yard) -> None:
    job = brought(database, StageName.APPROVE)
    sequence_pending(database, "another")
    hold_sequencer(database, 3600.0)
    assert roll_out(yard, job).apply is not None
    size = len(covered(database))
    database.write(lambda tx: record(tx, NewEntry(type="delivery.started", subject="model:other", actor=SYSTEM.id, data={})))
    assert roll_out(yard, job).apply is not None
    assert len(covered(database)) == size


def test_a_decision_whose_entry_is_nowhere_lets_no_traffic_move(database: Database, yard: Yard) -> None:
    job = brought(database, StageName.APPROVE)
    database.write(lambda tx: tx.connection.exec_driver_sql("DELETE FROM ledger_outbox"))
    with pytest.raises(NoSuchEntry):
        roll_out(yard, job)

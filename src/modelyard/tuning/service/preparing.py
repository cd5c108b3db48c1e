"""The reading of a study's rows as work: taken up under a lease and a fence, given back, ended. `tuning.rows` does the reading."""

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.delivery.domain import FencedOff
from modelyard.storage.database import Transaction
from modelyard.tuning.domain import Study, StudyRows, StudyState
from modelyard.tuning.service.ending import end_study
from modelyard.tuning.store import studies

MOST_ATTEMPTS = 3


def claimed_preparation(tx: Transaction, holder: str, lease_s: float) -> Study | None:
    """A study whose rows are to be read, taken up by `holder`; None where there is none. One that took workers down with it fails."""
    lease_now = tx.lease_time()
    for found, is_abandoned in studies.list_open(tx, lease_now):
        if found.state is StudyState.RUNNING or (found.state is StudyState.PREPARING and not is_abandoned):
            continue
        taken = msgspec.structs.replace(found, state=StudyState.PREPARING, fence=found.fence + 1, attempt=found.attempt + 1, holder=holder)
        if not studies.update_study(tx, taken, found.fence, Instant(lease_now + round(lease_s * SECOND))):
            continue
        if taken.attempt > MOST_ATTEMPTS:
            end_study(tx, taken, StudyState.FAILED, f"{MOST_ATTEMPTS} workers ended before its rows were read; the last was {found.holder}")
            continue
        return taken
    return None


def extended_preparation(tx: Transaction, held: Study, lease_s: float) -> None:
    """Extends the lease. Raises FencedOff where the study was stopped or taken up by another."""
    if not studies.extend_study(tx, held, Instant(tx.lease_time() + round(lease_s * SECOND))):
        raise _fenced_off(held)


def prepared(tx: Transaction, held: Study, rows: StudyRows) -> None:
    """Has the study give out its trials from now on. Raises FencedOff."""
    _put(tx, held, state=StudyState.RUNNING, rows=rows, attempt=0)


def given_back_preparation(tx: Transaction, held: Study) -> None:
    """Has the study taken up at once by another worker, as if this one had not begun. Raises FencedOff."""
    _put(tx, held, state=StudyState.WAITING, attempt=held.attempt - 1)


def broken_preparation(tx: Transaction, held: Study, reason: str, *, may_pass: bool) -> None:
    """Has the study taken up once more where that may help, else it has failed. Raises FencedOff."""
    if may_pass and held.attempt < MOST_ATTEMPTS:
        _put(tx, held, state=StudyState.WAITING, reason=reason)
    else:
        end_study(tx, _current(tx, held), StudyState.FAILED, reason)


def _put(tx: Transaction, held: Study, **changes: object) -> None:
    """Whoever asked for more trials meanwhile is heard: all but the changes is as the study stands."""
    after = msgspec.structs.replace(_current(tx, held), holder="", **changes)
    studies.update_study(tx, after, held.fence)


def _current(tx: Transaction, held: Study) -> Study:
    found = studies.find_study(tx, held.id)
    if found is None or found.fence != held.fence:
        raise _fenced_off(held)
    return found


def _fenced_off(held: Study) -> FencedOff:
    return FencedOff(
        f"{held.holder} no longer holds the study {held.id} (fence {held.fence})", hint="it was stopped, or another worker has it"
    )

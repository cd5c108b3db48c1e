"""Reproductions as records: asked for, taken up under a lease and a fence, ended once with a ledger entry.

Owns their transitions and who may ask. How a version is made again is `rebuilding`'s business.
"""

import contextlib
import re
from collections.abc import Callable, Mapping

import msgspec

from modelyard.access.domain import SYSTEM, Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import Conflict, InvalidInput, NotFound
from modelyard.core.ids import new_id
from modelyard.delivery import store
from modelyard.delivery.domain import (
    DeliveryDetail,
    DeliveryId,
    FencedOff,
    NewReproduction,
    NotReproducible,
    Reproduction,
    ReproductionId,
    ReproductionState,
    ReproductionStep,
    Swaps,
    Verdict,
)
from modelyard.delivery.machine import detail_of
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.domain import ModelName, ModelVersion
from modelyard.registry.service import show_version
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.domain import Run, RunId
from modelyard.tracking.service import get_run, list_all_files

MOST_ATTEMPTS = 3
RECORD = "modelyard/record.json"
"""The file of a run that says how our client's code was called."""
DELIVERY_TAG = "modelyard.delivery"
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,80}==[A-Za-z0-9][A-Za-z0-9.!+_-]{0,40}")


def start_reproduction(tx: Transaction, principal: Principal, model: ModelName, version: int, body: NewReproduction) -> Reproduction:
    """Asks for a version to be made again; one of that version that has not ended, or of that key, is the one that is asked for.

    Raises NotReproducible where the version's records do not say what it came from, Conflict for a key of another reproduction,
    InvalidInput, NoSuchModel, NoSuchVersion, NotAllowed.
    """
    found = show_version(tx, principal, model, version).version
    require(principal, Role.CONTRIBUTOR, found.team_id)
    wanted = _new(tx, principal, found.team_id, body)
    wanted = msgspec.structs.replace(wanted, model=model, version=version, run=found.run)
    return _asked(tx, wanted, body.key, lambda: check_reproducible(found))


def start_run_reproduction(tx: Transaction, principal: Principal, run_id: RunId, body: NewReproduction) -> Reproduction:
    """Asks for a run to be made again; for the version that its delivery registered, where there is one.

    Raises NotReproducible where its records do not say what it came from, InvalidInput, NoSuchRun, NotAllowed.
    """
    found = get_run(tx, principal, run_id)
    require(principal, Role.CONTRIBUTOR, found.facts.team_id)
    detail = delivery_of_run(tx, run_id, found.tags)
    if detail is not None and detail.delivery.version is not None:
        return start_reproduction(tx, principal, ModelName(detail.delivery.model), detail.delivery.version, body)
    model = detail.delivery.model if detail is not None else None
    wanted = msgspec.structs.replace(_new(tx, principal, found.facts.team_id, body), model=model, run=run_id)
    return _asked(tx, wanted, body.key, lambda: check_run_reproducible(tx, found))


def _new(tx: Transaction, principal: Principal, team: TeamId, body: NewReproduction) -> Reproduction:
    return Reproduction(
        id=ReproductionId(new_id("rpr")),
        team_id=team,
        model=None,
        version=None,
        state=ReproductionState.WAITING,
        asked_by=principal.id,
        asked_at=tx.now(),
        swaps=checked_swaps(body.swaps),
    )


def _asked(tx: Transaction, wanted: Reproduction, key: str, check: Callable[[], None]) -> Reproduction:
    """What is wanted, or the one under way that is the same, or the one of that key. Raises Conflict for a key of something else."""
    # A key is its caller's own: nobody takes the one that an audit asks under.
    kept = digest_bytes(f"{wanted.team_id}/{wanted.asked_by}/{key}".encode()) if key else wanted.id
    before = store.find_reproduction(tx, kept)
    if before is not None:
        if (before.subject, before.swaps) != (wanted.subject, wanted.swaps):
            raise Conflict(f"the key {key[:80]!r} stands for another reproduction, of {before.name}", hint="use a new key")
        return before
    asked = store.list_reproductions(tx, [wanted.team_id], model=wanted.model, version=wanted.version, run=wanted.run)
    for one in asked:
        if one.state is not ReproductionState.ENDED and one.swaps == wanted.swaps:
            return one
    check()
    store.put_reproduction(tx, wanted, kept)
    data = {"reproduction": wanted.id, "swaps": msgspec.to_builtins(wanted.swaps)}
    entry = NewEntry(type="delivery.reproduction_asked", subject=wanted.subject, actor=wanted.asked_by, data=data, team_id=wanted.team_id)
    record(tx, entry)
    return wanted


def checked_swaps(swaps: Swaps) -> Swaps:
    """The swaps. Raises InvalidInput for a package without its version."""
    for package in swaps.packages:
        if not PINNED.fullmatch(package):
            raise InvalidInput(f"{package[:80]!r} names no version of a package", hint="write it as in lightgbm==4.5.0")
    return swaps


def delivery_of_run(snapshot: Snapshot, run: str, tags: Mapping[str, str]) -> DeliveryDetail | None:
    """The delivery that made the run: the one that its tag names, if that names the run. A tag is anybody's to write."""
    with contextlib.suppress(NotFound):
        detail = detail_of(snapshot, DeliveryId(tags.get(DELIVERY_TAG, "")))
        return detail if detail.delivery.run == run else None
    return None


def check_run_reproducible(snapshot: Snapshot, run: Run) -> None:
    """Raises NotReproducible where it is not recorded what the run came from, or not yet what came of it."""
    if delivery_of_run(snapshot, run.facts.id, run.tags) is not None:
        return
    if not run.facts.status.is_final:
        raise NotReproducible(
            f"the run {run.facts.id} has not ended: what it left is not all there to compare", hint="ask again once it has ended"
        )
    if not any(one.path == RECORD for one in list_all_files(snapshot, SYSTEM, run.facts.id)):
        raise NotReproducible(
            f"the run {run.facts.id} was made neither by a delivery nor by modelyard.start: nothing can be made again from records",
            hint="yard ship and modelyard.start make runs with all records",
        )
    if not run.facts.status.is_final:
        raise NotReproducible(f"the run {run.facts.id} has not ended", hint="make it again once it has")


def check_reproducible(version: ModelVersion) -> None:
    """Raises NotReproducible where it is not recorded what the version came from."""
    missing = [name for name in ("run", "source", "environment", "snapshot", "content") if getattr(version, name) is None]
    if missing:
        raise NotReproducible(
            f"{version.model} v{version.number} has no recorded {missing[0].replace('_', ' ')}, so nothing can be made again from records",
            hint="versions that yard ship delivers record all that they came from",
        )


def get_reproduction(snapshot: Snapshot, principal: Principal, reproduction: ReproductionId) -> Reproduction:
    """One reproduction with every comparison. Raises NotFound, also where it is another team's."""
    found = store.find_reproduction(snapshot, reproduction)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NotFound(f"there is no reproduction {reproduction[:80]}", hint="yard reproduce MODEL/VERSION starts one")
    return found


def list_reproductions(snapshot: Snapshot, principal: Principal, model: str | None = None) -> list[Reproduction]:
    """Reproductions of the caller's teams, newest first, at most 200."""
    return store.list_reproductions(snapshot, principal.teams, model=model)


def list_version_reproductions(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> list[Reproduction]:
    """The reproductions of one version, newest first, at most 200."""
    return store.list_reproductions(snapshot, principal.teams, model=model, version=version)


def list_run_reproductions(snapshot: Snapshot, principal: Principal, run_id: RunId) -> list[Reproduction]:
    """The reproductions of one run, and of the version that it became, newest first, at most 200."""
    return store.list_reproductions(snapshot, principal.teams, run=run_id)


def is_claimable(snapshot: Snapshot) -> bool:
    """Whether some reproduction waits to be taken up: a look that keeps nobody else from writing."""
    return store.find_claimable_reproduction(snapshot, snapshot.lease_time()) is not None


def claimed_reproduction(tx: Transaction, holder: str, lease_s: float) -> Reproduction | None:
    """A reproduction that waits to be taken up, taken up by `holder`; None where there is none.

    One that took several workers down with it is ended as failed instead, and the next is looked for the next time.
    """
    lease_now = tx.lease_time()
    found = store.find_claimable_reproduction(tx, lease_now)
    if found is None:
        return None
    taken = msgspec.structs.replace(
        found,
        state=ReproductionState.RUNNING,
        fence=found.fence + 1,
        attempt=found.attempt + 1,
        holder=holder,
        started_at=found.started_at if found.started_at is not None else tx.now(),
        started_wall_at=found.started_wall_at if found.started_wall_at is not None else tx.wall(),
        steps=(),
        doing="",
    )
    if not store.update_reproduction(tx, taken, found.fence, Instant(lease_now + round(lease_s * SECOND))):
        return None
    if taken.attempt > MOST_ATTEMPTS:
        ended_reproduction(tx, failed(taken, f"{MOST_ATTEMPTS} workers ended before it did; the last was {found.holder}"))
        return None
    return taken


def extended_reproduction(tx: Transaction, held: Reproduction, lease_s: float) -> None:
    """Extends the lease. Raises FencedOff where another worker has taken the reproduction up."""
    if not store.extend_reproduction(tx, held, Instant(tx.lease_time() + round(lease_s * SECOND))):
        raise _fenced_off(held)


def advanced(tx: Transaction, held: Reproduction, doing: str, step: ReproductionStep | None = None) -> Reproduction:
    """The reproduction with a step behind it and `doing` under way, as those who follow it see it. Raises FencedOff."""
    after = msgspec.structs.replace(held, doing=doing, steps=(*held.steps, step) if step is not None else held.steps)
    if not store.update_reproduction(tx, after, held.fence):
        raise _fenced_off(held)
    return after


def given_back_reproduction(tx: Transaction, held: Reproduction) -> None:
    """Has the reproduction taken up at once by another worker, as if this one had not begun it. Raises FencedOff."""
    after = msgspec.structs.replace(held, state=ReproductionState.WAITING, attempt=held.attempt - 1, holder="")
    if not store.update_reproduction(tx, after, held.fence):
        raise _fenced_off(held)


def put_back(tx: Transaction, held: Reproduction, reason: str) -> None:
    """Has the reproduction taken up again after a store was away, or ends it as failed when that happened too often. Raises FencedOff."""
    if held.attempt >= MOST_ATTEMPTS:
        ended_reproduction(tx, failed(held, reason))
        return
    if not store.update_reproduction(tx, msgspec.structs.replace(held, state=ReproductionState.WAITING, reason=reason), held.fence):
        raise _fenced_off(held)


def failed(held: Reproduction, reason: str) -> Reproduction:
    """The reproduction, failed for that reason."""
    return msgspec.structs.replace(held, verdict=Verdict.FAILED, reason=reason[:2000])


def ended_reproduction(tx: Transaction, found: Reproduction) -> Reproduction:
    """The reproduction, ended with its verdict and recorded. Raises FencedOff and changes nothing where it is held by another."""
    began = found.started_wall_at if found.started_wall_at is not None else tx.wall()
    after = msgspec.structs.replace(
        found, state=ReproductionState.ENDED, doing="", ended_at=tx.now(), duration_s=round((tx.wall() - began) / SECOND, 3)
    )
    if not store.update_reproduction(tx, after, found.fence):
        raise _fenced_off(found)
    data = {
        "reproduction": after.id,
        "verdict": after.verdict,
        "reason": after.reason,
        "asked_by": after.asked_by,
        "snapshot": after.snapshot,
        "artifact": after.artifact,
        "content": after.content,
        "tolerance": after.tolerance,
        "swaps": msgspec.to_builtins(after.swaps),
        "differences": msgspec.to_builtins(after.differences),
        "is_enclosed": after.is_enclosed,
        "duration_s": after.duration_s,
        "processor": after.processor,
        "comparisons": msgspec.to_builtins(after.comparisons),
    }
    record(tx, NewEntry(type="delivery.reproduced", subject=after.subject, actor=SYSTEM.id, data=data, team_id=after.team_id))
    return after


def _fenced_off(held: Reproduction) -> FencedOff:
    return FencedOff(
        f"{held.holder} no longer holds the reproduction {held.id} (fence {held.fence})",
        hint="another worker has taken it up; nothing of this attempt was kept",
    )

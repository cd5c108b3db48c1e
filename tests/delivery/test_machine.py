"""The state machine on both databases: one worker a stage, exactly one end, whatever dies meanwhile."""

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, TeamId
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import NotFound
from modelyard.delivery import store
from modelyard.delivery.domain import (
    STAGES,
    Cause,
    CauseKind,
    Claim,
    Delivery,
    DeliveryDetail,
    DeliveryId,
    DeliveryState,
    DeliveryUnderWay,
    FencedOff,
    StageName,
    StageState,
)
from modelyard.delivery.machine import (
    Done,
    Stopped,
    Waits,
    begun,
    broken,
    cancelled,
    claimed,
    detail_of,
    ended,
    extended,
    new_delivery_id,
    woken,
)
from modelyard.delivery.rules import MOST_ATTEMPTS, current_stage
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.storage.database import Database, Transaction
from modelyard.tracking.domain import NewRun, RunFacts, RunId, RunStatus
from modelyard.tracking.service import NewExperiment, create_experiment, create_run, delete_run, finish_run, get_run_facts

LEASE_S = 10.0


def started(database: Database, model: str = "late", key: str = "", until: StageName = StageName.WATCH) -> Delivery:
    delivery = Delivery(
        id=new_delivery_id(),
        team_id=DEFAULT_TEAM,
        model=model,
        cause=Cause(kind=CauseKind.PERSON, actor=SYSTEM.id),
        declaration=digest_bytes(b""),
        state=DeliveryState.RUNNING,
        created_at=Instant(0),
        created_wall_at=Instant(0),
        until=until,
    )
    return database.write(lambda tx: begun(tx, delivery, key or delivery.id))


def claim(database: Database, holder: str = "w1") -> Claim:
    found = database.write(lambda tx: claimed(tx, holder, LEASE_S))
    assert found is not None
    return found[0]


def detail(database: Database, delivery: DeliveryId) -> DeliveryDetail:
    with database.read() as snapshot:
        return detail_of(snapshot, delivery)


def test_a_delivery_goes_through_its_stages_in_order(database: Database) -> None:
    delivery = started(database)
    seen = []
    for _ in STAGES:
        held = claim(database)
        seen.append(held.stage)
        database.write(lambda tx, held=held: ended(tx, held, Done(facts={"at": held.stage})))  # type: ignore[misc]  # a bound default
    found = detail(database, delivery.id)
    assert tuple(seen) == STAGES
    assert found.delivery.state is DeliveryState.DONE
    assert found.facts(StageName.TRAIN) == {"at": "train"}
    assert database.write(lambda tx: claimed(tx, "w1", LEASE_S)) is None


def test_the_same_key_is_the_same_delivery_and_a_model_has_one_at_a_time(database: Database) -> None:
    first = started(database, key="k")
    assert started(database, key="k").id == first.id
    with pytest.raises(DeliveryUnderWay, match=first.id):
        started(database)
    started(database, model="other")


def test_two_workers_never_hold_one_stage(database: Database) -> None:
    started(database)
    claim(database, "w1")
    assert database.write(lambda tx: claimed(tx, "w2", LEASE_S)) is None


def test_an_abandoned_stage_is_taken_up_and_the_old_holder_is_fenced_off(database: Database) -> None:
    delivery = started(database)
    abandoned = database.write(lambda tx: claimed(tx, "w1", -1.0))  # a lease that has run out, by whichever clock leases go
    assert abandoned is not None
    old = abandoned[0]
    new = claim(database, "w2")
    assert (new.stage, new.fence) == (old.stage, old.fence + 1)
    for act in (
        lambda tx: ended(tx, old, Done(facts={"by": "w1"})),
        lambda tx: extended(tx, old, LEASE_S),
        lambda tx: broken(tx, old, "late"),
    ):
        with pytest.raises(FencedOff):
            database.write(act)
    database.write(lambda tx: ended(tx, new, Done(facts={"by": "w2"})))
    assert detail(database, delivery.id).facts(StageName.SNAPSHOT) == {"by": "w2"}


def test_a_stage_ends_once(database: Database) -> None:
    started(database)
    held = claim(database)
    database.write(lambda tx: ended(tx, held, Done(facts={})))
    with pytest.raises(FencedOff):
        database.write(lambda tx: ended(tx, held, Done(facts={})))


def test_what_a_stage_changes_is_undone_with_its_failure(database: Database) -> None:
    delivery = started(database)
    held = claim(database)

    def work(tx: object) -> dict[str, object]:
        raise NotFound("gone")

    with pytest.raises(NotFound):
        database.write(lambda tx: ended(tx, held, Done(facts={}, apply=work)))
    assert current_stage(detail(database, delivery.id)).state is StageState.RUNNING
    database.write(lambda tx: extended(tx, held, LEASE_S))


def test_a_stage_that_breaks_down_is_tried_again_and_then_fails(database: Database) -> None:
    delivery = started(database)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        held = claim(database)
        found = database.write(lambda tx, held=held: broken(tx, held, "disk"))  # type: ignore[misc]
        assert current_stage(found).attempt == attempt
    ended_at = detail(database, delivery.id)
    assert ended_at.delivery.state is DeliveryState.FAILED
    assert [stage.state for stage in ended_at.stages] == [StageState.FAILED] + [StageState.SKIPPED] * (len(STAGES) - 1)


def abandon(database: Database, times: int) -> None:
    """So many workers take the stage up and die; their leases have run out, by whichever clock leases go."""
    for number in range(times):
        assert database.write(lambda tx, number=number: claimed(tx, f"w{number}", -1.0)) is not None  # type: ignore[misc]


def test_a_stage_that_takes_its_workers_down_fails_its_delivery_and_says_so(database: Database) -> None:
    delivery = started(database)
    abandon(database, MOST_ATTEMPTS)
    assert database.write(lambda tx: claimed(tx, "last", LEASE_S)) is None
    found = detail(database, delivery.id)
    assert (found.delivery.state, found.stages[0].state) == (DeliveryState.FAILED, StageState.FAILED)
    assert found.stages[0].reason == "4 workers ended before snapshot did; the last was w3"
    assert found.delivery.ended_wall_at is not None
    started(database)
    assert claim(database, "last").stage is StageName.SNAPSHOT


def test_a_worker_that_is_only_slow_is_fenced_off_by_the_end_of_its_delivery(database: Database) -> None:
    started(database)
    abandon(database, MOST_ATTEMPTS - 1)
    slow = database.write(lambda tx: claimed(tx, "slow", -1.0))
    assert slow is not None
    assert database.write(lambda tx: claimed(tx, "last", LEASE_S)) is None
    with pytest.raises(FencedOff):
        database.write(lambda tx: ended(tx, slow[0], Done(facts={})))


def test_a_stage_that_gets_on_between_the_ends_of_its_workers_is_not_given_up(database: Database) -> None:
    started(database)
    for _ in range(2):
        abandon(database, MOST_ATTEMPTS - 1)
        held = claim(database)
        database.write(lambda tx, held=held: ended(tx, held, Waits(wake_at=Instant(0), facts={})))  # type: ignore[misc]
    assert claim(database).stage is StageName.SNAPSHOT


def run_of(database: Database, delivery: DeliveryId, *, is_evaluated: bool = False) -> RunId:
    """A run that the delivery opened, ended by its evaluation or not."""

    def opened(tx: Transaction) -> RunId:
        experiment = create_experiment(tx, SYSTEM, NewExperiment(name="late", team_id=DEFAULT_TEAM)).id
        run = create_run(tx, SYSTEM, NewRun(experiment_id=experiment)).facts.id
        store.update_delivery(tx, msgspec.structs.replace(detail_of(tx, delivery).delivery, run=run))
        return finish_run(tx, SYSTEM, run).id if is_evaluated else run

    return database.write(opened)


def run_facts(database: Database, run: RunId) -> RunFacts:
    """The run as it stands."""
    with database.read() as snapshot:
        return get_run_facts(snapshot, SYSTEM, run)


def end_delivery(database: Database, delivery: DeliveryId, state: DeliveryState) -> None:
    """The delivery ends so."""
    if state is DeliveryState.CANCELLED:
        database.write(lambda tx: cancelled(tx, delivery, SYSTEM.id, "changed our mind", state))
    elif state is DeliveryState.DONE:
        held = claim(database)
        database.write(lambda tx: ended(tx, held, Done(facts={})))
    else:
        held = claim(database)
        database.write(lambda tx: ended(tx, held, Stopped(state=state, reason="no", facts={})))


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (DeliveryState.FAILED, RunStatus.FAILED),
        (DeliveryState.REFUSED, RunStatus.FAILED),
        (DeliveryState.CANCELLED, RunStatus.KILLED),
        (DeliveryState.DONE, RunStatus.FINISHED),
    ],
)
def test_the_run_of_a_delivery_ends_with_it(database: Database, state: DeliveryState, status: RunStatus) -> None:
    delivery = started(database, until=StageName.SNAPSHOT)
    run = run_of(database, delivery.id)
    end_delivery(database, delivery.id, state)
    found = run_facts(database, run)
    assert (found.status, found.ended_at is not None, found.content_digest is not None) == (status, True, True)


def test_a_run_that_its_evaluation_ended_stays_as_it_is(database: Database) -> None:
    delivery = started(database)
    run = run_of(database, delivery.id, is_evaluated=True)
    end_delivery(database, delivery.id, DeliveryState.CANCELLED)
    assert run_facts(database, run).status is RunStatus.FINISHED


def test_a_delivery_whose_run_was_deleted_can_be_cancelled(database: Database) -> None:
    delivery = started(database)
    run = run_of(database, delivery.id)
    database.write(lambda tx: delete_run(tx, SYSTEM, run))
    end_delivery(database, delivery.id, DeliveryState.CANCELLED)
    assert run_facts(database, run).status is RunStatus.RUNNING
    assert detail(database, delivery.id).delivery.state is DeliveryState.CANCELLED


def test_a_waiting_stage_is_taken_up_when_its_hour_comes_or_when_it_is_woken(database: Database, clock: FixedClock) -> None:
    delivery = started(database)
    held = claim(database)
    database.write(lambda tx: ended(tx, held, Waits(wake_at=Instant(tx.now() + 60_000_000), facts={"step": 1})))
    assert database.write(lambda tx: claimed(tx, "w1", LEASE_S)) is None
    clock.advance(60)
    again = claim(database)
    database.write(lambda tx: ended(tx, again, Waits(wake_at=None, facts={"step": 2})))
    assert database.write(lambda tx: claimed(tx, "w1", LEASE_S)) is None
    database.write(lambda tx: woken(tx, delivery.id, StageName.SNAPSHOT))
    assert claim(database).stage is StageName.SNAPSHOT
    assert detail(database, delivery.id).facts(StageName.SNAPSHOT) == {"step": 2}


def test_a_refusal_ends_the_delivery_and_skips_the_rest(database: Database) -> None:
    delivery = started(database)
    held = claim(database)
    database.write(lambda tx: ended(tx, held, Stopped(state=DeliveryState.REFUSED, reason="too few rows", facts={"rows": 3})))
    found = detail(database, delivery.id)
    assert (found.delivery.state, found.stages[0].reason, found.stages[0].facts) == (DeliveryState.REFUSED, "too few rows", {"rows": 3})
    started(database)


def test_cancelling_fences_off_whoever_works_on_it(database: Database) -> None:
    delivery = started(database)
    held = claim(database)
    database.write(lambda tx: cancelled(tx, delivery.id, SYSTEM.id, "changed our mind", DeliveryState.CANCELLED))
    with pytest.raises(FencedOff):
        database.write(lambda tx: ended(tx, held, Done(facts={})))


def test_until_names_the_last_stage(database: Database) -> None:
    delivery = started(database, until=StageName.CHECK)
    for _ in range(2):
        held = claim(database)
        database.write(lambda tx, held=held: ended(tx, held, Done(facts={})))  # type: ignore[misc]
    assert detail(database, delivery.id).delivery.state is DeliveryState.DONE


def test_every_transition_is_in_the_ledger(database: Database) -> None:
    started(database, until=StageName.SNAPSHOT)
    held = claim(database)
    database.write(lambda tx: ended(tx, held, Done(facts={"rows": 1})))
    sequence_pending(database, "test")
    with database.read() as snapshot:
        types = [event.type for event in list_events(snapshot, -1)]
    assert types == ["delivery.started", "delivery.stage_done", "delivery.ended"]


def test_a_page_of_deliveries_is_full_whosever_lie_between(database: Database) -> None:
    mine = started(database, model="first")
    for number in range(3):
        other = msgspec.structs.replace(mine, id=new_delivery_id(), team_id=TeamId("other"), model=f"other{number}")
        database.write(lambda tx, other=other: begun(tx, other, other.id))  # type: ignore[misc]
    with database.read() as snapshot:
        assert [one.id for one in store.list_deliveries(snapshot, None, None, None, 1, teams=(DEFAULT_TEAM,))] == [mine.id]
        assert len(store.list_deliveries(snapshot, None, None, None, 9)) == 4

"""The six questions: answered from records alone, and honest where there is none."""

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, Principal
from modelyard.core.clock import Instant
from modelyard.delivery import store as delivery_store
from modelyard.delivery.domain import CauseKind, Reproduction, ReproductionId, ReproductionState, Verdict
from modelyard.fleet.domain import Answer
from modelyard.fleet.service import get_questions
from modelyard.monitoring import store as monitoring_store
from modelyard.monitoring.domain import Alert, SkewCause, ViewSkew
from modelyard.monitoring.service import Loss, list_losses
from tests.fleet.world import BOB, EVE, LATE, MAX, Fleet
from tests.monitoring.world import DAY


def asked(fleet: Fleet, number: int, principal: Principal = EVE) -> Answer:
    """The answer to one of them."""
    with fleet.database.read() as snapshot:
        found = get_questions(snapshot, principal, *fleet.stores)
    assert [one.number for one in found.answers] == [1, 2, 3, 4, 5, 6]
    assert sum(one.took_ms for one in found.answers) <= found.took_ms
    return found.answers[number - 1]


def figures(answer: Answer) -> dict[str, object]:
    """The figures by name."""
    return {one.name: one.value for one in answer.figures}


def test_without_records_every_question_says_so_and_none_invents_a_figure(registered: Fleet) -> None:
    for number in range(1, 7):
        answer = asked(registered, number)
        assert (answer.is_answered, answer.tone, answer.figures, answer.proofs) == (False, "idle", (), ())
        assert answer.sentence.startswith("No ")


@pytest.mark.parametrize(("different", "tone"), [(0, "good"), (3, "bad")])
def test_equal_features_are_counted_over_all_views(fleet: Fleet, different: int, tone: str) -> None:
    spans = [(1, 400, different, 0), (2, 600, 0, 7)]
    skews = [
        ViewSkew(model=LATE, view="weather", since_at=Instant(0), until_at=Instant(end), compared=n, different=d, unverifiable=u)
        for end, n, d, u in spans
    ]
    fleet.database.write(lambda tx: monitoring_store.put_skew(tx, DEFAULT_TEAM, skews))
    answer = asked(fleet, 1)
    assert (answer.tone, figures(answer)) == (tone, {"compared": 1000, "different": different, "unverifiable": 7, "late": 0})
    assert answer.proofs[0].href == "/features/weather"
    assert not asked(fleet, 1, MAX).is_answered


def test_reads_that_were_late_are_told_and_too_many_that_cannot_be_judged_are_a_failure(fleet: Fleet) -> None:
    now = fleet.world.clock.now()
    causes = {SkewCause.LATE_DATA: 5, SkewCause.STALE: 2}
    late = ViewSkew(
        model=LATE, view="weather", since_at=Instant(now - DAY), until_at=now, compared=99, different=0, unverifiable=1, causes=causes
    )
    fleet.database.write(lambda tx: monitoring_store.put_skew(tx, DEFAULT_TEAM, [late]))
    answer = asked(fleet, 1)
    assert (answer.tone, figures(answer)["late"]) == ("good", 7)
    assert "7 of the equal ones were read late" in answer.sentence
    assert answer.proofs[0].text.endswith("(late data 5 and stale 2)")
    unproven = msgspec.structs.replace(late, view="delays", unverifiable=2)
    fleet.database.write(lambda tx: monitoring_store.put_skew(tx, DEFAULT_TEAM, [unproven]))
    answer = asked(fleet, 1)
    assert (answer.tone, answer.next) == ("bad", "see why: /features/delays")
    assert "Not proven for delays: 2.0% of a month's vectors cannot be judged" in answer.sentence


def test_the_newest_prediction_is_traced_to_its_version(fleet: Fleet) -> None:
    fleet.predict()
    fleet.world.clock.advance(1)
    newest = fleet.predict()
    answer = asked(fleet, 2)
    found = figures(answer)
    assert (found["prediction"], found["model"], found["version"]) == (newest, "late", 1)
    assert isinstance(found["trace"], float)
    assert {"registry.version_registered", "delivery.approval_asked"} <= {one.text for one in answer.proofs if one.entry is not None}
    assert not asked(fleet, 2, MAX).is_answered


def test_manual_steps_are_those_of_people_and_not_of_policies_or_triggers(registered: Fleet) -> None:
    registered.deliver(1)
    registered.deliver(2, kind=CauseKind.SCHEDULE)
    registered.refuse(2)
    last = registered.deliver(3, kind=CauseKind.PERSON, by=BOB)
    answer = asked(registered, 4)
    assert figures(answer) == {"human_last": 2, "human_average": 1.0, "human": 3, "automatic": 3, "deliveries": 3}
    assert answer.proofs[0].href == f"/deliveries/{last}"
    assert [one.text for one in answer.proofs[1:]] == ["delivery.started by a person", "delivery.approved by a person"]


def test_a_loss_is_told_with_its_outcomes_its_delay_and_how_many_alarms_were_false(fleet: Fleet) -> None:
    for _ in range(3):
        fleet.world.day()
    quiet = asked(fleet, 5)
    assert (quiet.is_answered, figures(quiet)) == (True, {"watched": 1, "alarms": 0})
    onset = fleet.world.clock.now()
    opened = [alert for _ in range(8) for alert in fleet.world.day(skill=0.2).opened if alert.kind == "degradation"]
    fleet.world.events("monitoring.alert_opened")
    answer = asked(fleet, 5)
    found = figures(answer)
    assert (found["alarms"], found["false_alarms"], found["opened_at"]) == (1, 0, opened[0].opened_at)
    assert isinstance(found["outcomes"], int)
    assert found["outcomes"] <= (opened[0].opened_at - onset) // DAY * 300 + 300
    assert found["delay"] == pytest.approx((opened[0].opened_at - opened[0].since_at) / DAY, abs=0.01)
    assert any(one.entry is not None for one in answer.proofs)


def alert(fleet: Fleet) -> Alert:
    """A loss that was found."""
    return next(one for _ in range(8) for one in fleet.world.day(skill=0.2).opened if one.kind == "degradation")


def test_an_alarm_is_false_only_where_the_level_came_back_before_any_later_look(fleet: Fleet) -> None:
    fleet.world.day()
    found = alert(fleet)
    seen_again = msgspec.structs.replace(found, seen_at=Instant(found.opened_at + DAY))
    assert Loss(alert=found, end="recovered").is_false
    assert not Loss(alert=seen_again, end="recovered").is_false
    assert not Loss(alert=found, end="replaced").is_false
    assert not Loss(alert=found, end="open").is_false
    closed = [one for _ in range(5) for one in fleet.world.day().closed if one.kind == "degradation"]
    with fleet.database.read() as snapshot:
        assert [(one.alert.id, one.end) for one in list_losses(snapshot, EVE)] == [(closed[0].id, "recovered")]
        assert list_losses(snapshot, MAX) == []


@pytest.mark.parametrize(("verdict", "tone", "same"), [(Verdict.IDENTICAL, "good", 1), (Verdict.DIFFERENT, "bad", 0)])
def test_a_rebuild_is_told_with_its_verdict_and_how_long_it_took(fleet: Fleet, verdict: Verdict, tone: str, same: int) -> None:
    made = Reproduction(
        id=ReproductionId("rpr_1"), team_id=DEFAULT_TEAM, model=LATE, version=1, state=ReproductionState.ENDED, asked_by=EVE.id,
        asked_at=fleet.world.clock.now(), verdict=verdict, duration_s=41.2,
    )  # fmt: skip
    fleet.database.write(lambda tx: delivery_store.put_reproduction(tx, made, "key"))
    answer = asked(fleet, 3)
    assert (answer.tone, figures(answer)["verdict"], figures(answer)["same"]) == (tone, verdict.value, same)
    assert "late v1 was rebuilt from its records in a fresh environment in 41 s" in answer.sentence
    assert answer.proofs[0].href == "/reproductions/rpr_1"
    assert not asked(fleet, 3, MAX).is_answered

"""The portfolio: a row for every model from what the components recorded, for whoever may see it, at the cost of a few queries."""

import pytest
import sqlalchemy as sa

from modelyard.access.domain import SYSTEM, Principal, TeamId
from modelyard.core.clock import SECOND
from modelyard.delivery.domain import CauseKind
from modelyard.fleet.domain import Portfolio, Row
from modelyard.fleet.rules import needs_a_look
from modelyard.fleet.service import get_portfolio
from modelyard.monitoring.domain import AlertKind, NewWatch, drift
from modelyard.monitoring.service import set_monitors
from modelyard.registry.domain import ModelName, NewModel, RiskTier
from modelyard.registry.service import ensure_model
from modelyard.serving.domain import Proposal, Route
from modelyard.serving.service import propose_revision
from modelyard.storage.database import Transaction
from tests.conftest import START
from tests.fleet.world import EVE, LATE, MAX, Fleet


def portfolio(fleet: Fleet, principal: Principal = EVE) -> Portfolio:
    """The portfolio as somebody sees it."""
    with fleet.database.read() as snapshot:
        return get_portfolio(snapshot, principal)


def only(fleet: Fleet) -> Row:
    """The one row."""
    (row,) = portfolio(fleet).rows
    return row


def test_a_healthy_model_says_what_is_live_since_when_and_how_it_does(fleet: Fleet) -> None:
    began = fleet.world.clock.now()
    for _ in range(4):
        fleet.world.day()
    found = portfolio(fleet)
    (row,) = found.rows
    assert (row.tone, row.word, row.version, row.live_since_at) == ("good", "Healthy", 1, began)
    assert (found.live, found.healthy, found.alerts, found.approvals) == (1, 1, 0, 0)
    assert row.answers == (0,) * 25 + (300, 300, 300, 300, 0)
    assert row.answered == 300
    assert row.quality is not None
    assert row.quality.value is not None
    assert row.quality.difference == pytest.approx(row.quality.value - (row.quality.approved or 0))
    assert len(row.quality.by_day) == 4
    assert not needs_a_look(row)


def test_the_worst_alert_is_the_models_word_and_all_are_counted(fleet: Fleet) -> None:
    fleet.world.day()
    for _ in range(5):
        fleet.world.day(skill=0.1, shift=2.0)
    row = only(fleet)
    assert (row.tone, row.word) == ("bad", "Degraded")
    assert row.alerts == {AlertKind.DEGRADATION: 1, AlertKind.DRIFT: 1}
    assert row.next.startswith("roc_auc fell")
    assert row.next_href.startswith("/alerts/alt_")
    assert portfolio(fleet).healthy == 0


def test_a_view_that_the_live_version_reads_says_how_old_its_data_is_and_that_it_is_stale(registered: Fleet) -> None:
    world = registered.world
    world.watch(drift())
    world.train(1, drift(), views={"wind": "weather"})
    world.release(1)
    world.bring(0)
    world.clock.advance(9 * 3600)
    world.day()
    row = only(registered)
    assert row.oldest is not None
    assert (row.oldest.view, row.oldest.newest_event_at, row.oldest.stale) == ("weather", START, ("weather",))
    assert (row.word, row.alerts) == ("Stale", {AlertKind.STALE: 1})
    assert row.next.startswith("weather is stale")


def test_what_waits_for_a_person_comes_first_and_says_for_whom(fleet: Fleet) -> None:
    fleet.wait(2)
    row = only(fleet)
    assert (row.tone, row.word, row.next, row.next_href) == ("warn", "Waiting", "v2 waits for approval by team default", "/approvals")
    assert portfolio(fleet).approvals == 1


def test_deliveries_of_a_month_are_counted_by_how_they_began_and_ended(registered: Fleet) -> None:
    registered.deliver(1)
    registered.world.clock.advance(40 * 86_400)
    registered.deliver(2, kind=CauseKind.DEGRADATION)
    registered.deliver(3)
    last = registered.refuse(3)
    found = portfolio(registered)
    counted = found.deliveries
    assert (counted.started, counted.triggered, counted.done, counted.rolled_back) == (3, 2, 2, 1)
    assert counted.failure_rate == pytest.approx(1 / 3)
    assert found.rows[0].delivery is not None
    assert found.rows[0].delivery.id == last
    assert (found.rows[0].word, found.rows[0].next) == ("Not served", "Ship it")


def test_a_canary_shows_with_its_share(fleet: Fleet) -> None:
    body = Proposal(champion=1, canary=Route(version=2, share=0.1), shadows=(3,))
    fleet.database.write(lambda tx: propose_revision(tx, SYSTEM, LATE, body))
    fleet.world.obey()
    row = only(fleet)
    assert (row.version, row.canary, row.canary_share, row.shadows) == (1, 2, 0.1, (3,))


def test_other_teams_see_none_of_it(fleet: Fleet) -> None:
    fleet.wait(2)
    found = portfolio(fleet, MAX)
    assert (found.rows, found.live, found.approvals, found.alerts, found.deliveries.started) == ((), 0, 0, 0, 0)


def more(tx: Transaction, count: int) -> None:
    """Registers and watches so many models."""
    for number in range(count):
        name, risk = ModelName(f"m{number}"), RiskTier.HIGH if number % 2 else RiskTier.MINIMAL
        ensure_model(tx, SYSTEM, NewModel(name=name, risk=risk, team_id=TeamId("default")))
        set_monitors(tx, SYSTEM, name, NewWatch(monitors=(drift(),)))


def test_its_queries_do_not_grow_with_the_models(fleet: Fleet) -> None:
    def counted() -> int:
        asked: list[str] = []
        with fleet.database.read() as snapshot:
            sa.event.listen(snapshot.connection, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement))
            get_portfolio(snapshot, EVE)
        return len(asked)

    few = counted()
    fleet.database.write(lambda tx: more(tx, 30))
    assert counted() == few
    found = portfolio(fleet)
    assert len(found.rows) == 31
    assert [row.risk for row in found.rows[1:16]] == [RiskTier.HIGH] * 15
    assert found.took_ms * 1000 < SECOND

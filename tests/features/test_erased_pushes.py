"""Erasure where events are pushed: what was erased comes online with no later push, and a push still costs what it brings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock
from modelyard.features import service
from modelyard.features.domain import NewErasure
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.service import bringing
from tests.features.shop import ON_SQLITE, Shop, click

pytestmark = ON_SQLITE
WHO = NewErasure(entity="user", keys={"user": "ann"}, why="asked for")


@pytest.fixture(autouse=True)
def _erasures(shop: Shop, tmp_path: Path) -> Iterator[None]:
    service.open_erasures(shop.database, ErasureKey.open(tmp_path / "erasures.key"))
    yield
    open_tombstones(None)


@pytest.mark.parametrize("is_flushed", [False, True])
def test_an_event_that_was_ahead_when_it_was_erased_comes_online_with_no_later_push(
    shop: Shop, clock: FixedClock, is_flushed: bool
) -> None:
    shop.push(click("bob"), click("ann"))
    shop.push(click("ann", hours=0.1, amount=5))  # six minutes ahead
    if is_flushed:
        shop.flush()
    clock.advance(600)
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    clock.advance(1)
    assert shop.push(click("bob", amount=3)).is_online
    clock.advance(1)
    assert shop.read("ann", "bob") == shop.offline("ann", "bob")
    assert shop.read("ann")["amount"] == [None]
    assert shop.push(click("ann", amount=4)).is_online
    clock.advance(1)
    assert shop.read("ann", "bob") == shop.offline("ann", "bob")
    assert shop.read("ann")["amount_count_1h"] == [1]


def test_after_an_erasure_a_push_reads_what_is_new_alone(shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.push(click("ann"), click("bob"))
    clock.advance(1)
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    assert shop.push(click("bob")).is_online  # all rows, once
    monkeypatch.setattr(bringing, "load_history", lambda *_: pytest.fail("all rows were read"))
    for amount in (2.0, 3.0):
        clock.advance(1)
        assert shop.push(click("bob", amount=amount), click("ann", amount=amount)).is_online
        shop.flush()
    service.materialize(shop.database, shop.online, SYSTEM, ["clicks_of", "last_click"])
    clock.advance(1)
    assert shop.read("ann", "bob") == shop.offline("ann", "bob")
    assert shop.read("ann", "bob")["amount_count_1h"] == [2, 4]

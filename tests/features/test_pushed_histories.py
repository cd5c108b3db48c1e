"""Stored histories of pushed events: what is new alone is laid out, and nobody can tell by an answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, Instant
from modelyard.features import service
from modelyard.features.domain import FeatureView, NewErasure
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.join import Questions
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import StoredHistory, source_of
from modelyard.features.stored.ingest import written
from modelyard.features.stored.upkeep import tidied
from modelyard.storage.tables import Tables
from tests.features.shop import LAST, ON_SQLITE, SUMS, Shop, click

pytestmark = ON_SQLITE
USERS = ["ann", "bob", "cy", "nobody"]


@pytest.fixture
def histories(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Histories:
    monkeypatch.setattr("modelyard.features.offline.HISTORY_BYTES", 1)
    return Histories(shop.tables)


def files(histories: Histories, history: StoredHistory) -> set[str]:
    return {one.path for one in histories.tables.contents(history.table, history.version).files}


def answers(histories: Histories, view: FeatureView, upto: Instant) -> list[dict[str, Any]]:
    """At many instants up to one, each user's features and what was read for them."""
    at = np.repeat(np.linspace(upto - 10**9, upto, 20).astype(np.int64), len(USERS))
    found, use = histories.answered(view, view.names, Questions.of(pl.DataFrame({"user": USERS * 20}), at), Path())
    return [*found.to_dicts(), {"source": use.source, "rows": use.rows}]


def check(shop: Shop, histories: Histories, view: FeatureView, folder: Path) -> None:
    """The history answers as one that is laid out at once."""
    anew = Histories(Tables.open(f"file://{folder / 'anew' / str(shop.database.clock.now())}"))
    assert answers(histories, view, shop.database.clock.now()) == answers(anew, view, shop.database.clock.now())


@pytest.mark.parametrize("declared", [LAST, SUMS], ids=["plain", "windows"])
def test_what_was_pushed_since_is_laid_out_alone_whatever_was_flushed_or_merged_meanwhile(
    declared: FeatureView, shop: Shop, histories: Histories, clock: FixedClock, tmp_path: Path
) -> None:
    view = service.resolved_view(declared, Path())
    before: set[str] = set()
    for number in range(6):
        shop.push(click(USERS[number % 3], -number % 4, amount=number), click("bob", amount=float(number % 2)))
        clock.advance(1)
        if number % 3 == 2:
            shop.flush()
        found = histories.ready(view, Path())
        assert (before < files(histories, found), found.laid.rows, len(found.laid.files)) == (True, 2 * number + 2, 1)
        check(shop, histories, view, tmp_path)
        if number == 3:
            assert tidied(histories, source_of(view, Path()), most_runs=1)
        before = files(histories, histories.ready(view, Path()))


def test_after_an_erasure_all_is_laid_out_once_and_then_what_is_new_alone(
    shop: Shop, histories: Histories, clock: FixedClock, tmp_path: Path, _erasures: None
) -> None:
    view = service.resolved_view(SUMS, Path())
    shop.push(click(), click("bob"))
    clock.advance(1)
    first = files(histories, histories.ready(view, Path()))
    service.erase_entity(shop.database, shop.online, SYSTEM, NewErasure(entity="user", keys={"user": "ann"}, why="asked for"))
    second = files(histories, histories.ready(view, Path()))
    assert not first & second
    for _ in range(2):
        shop.push(click(), click("bob", amount=4))
        clock.advance(1)
        shop.flush()
        check(shop, histories, view, tmp_path)
    assert second < files(histories, histories.ready(view, Path()))


@pytest.fixture
def _erasures(shop: Shop, tmp_path: Path) -> Iterator[None]:
    service.open_erasures(shop.database, ErasureKey.open(tmp_path / "erasures.key"))
    yield
    open_tombstones(None)


def test_a_push_while_a_history_is_laid_out_disturbs_nobody(
    shop: Shop, histories: Histories, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    view, whole = service.resolved_view(LAST, Path()), written
    shop.push(click())

    def pushed_meanwhile(*given: Any) -> Any:
        shop.push(click("bob", amount=7))
        shop.flush()
        return whole(*given)

    with monkeypatch.context() as patch:
        patch.setattr("modelyard.features.stored.histories.written", pushed_meanwhile)
        assert histories.ready(view, Path()).laid.rows == 1
    clock.advance(1)
    assert histories.ready(view, Path()).laid.rows == 2
    check(shop, histories, view, tmp_path)


def test_a_history_of_which_is_not_known_any_more_what_it_holds_is_laid_out_anew(
    shop: Shop, histories: Histories, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("modelyard.features.store.pushed.MOST_HEADS", 0)
    view = service.resolved_view(SUMS, Path())
    shop.push(click())
    before = files(histories, histories.ready(view, Path()))
    shop.push(click("bob"))
    shop.flush()
    clock.advance(1)
    assert not before & files(histories, histories.ready(view, Path()))
    check(shop, histories, view, tmp_path)

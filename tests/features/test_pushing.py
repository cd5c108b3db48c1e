"""Pushed events: online at once, offline the same before and after their flush, and once whatever dies in between."""

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import FixedClock, moment
from modelyard.core.digests import Digest
from modelyard.features import service
from modelyard.features.domain import FeatureSet, FeatureView, Pushed, ViewReader
from modelyard.features.history import load_history
from modelyard.features.materialization import Change, find_mark, planned
from modelyard.features.online import OnlineReader
from modelyard.features.store.pushed import SOURCES
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.database import Database
from modelyard.storage.idempotency import UNDER_WAY, Attempt
from modelyard.storage.online import LmdbStore, open_online
from modelyard.storage.replay import begin_replay, clock_of
from modelyard.storage.tables import Tables
from tests.features.shop import LAST, ON_SQLITE, Shop, click


def test_an_event_is_online_and_offline_once_its_push_is_answered(shop: Shop, clock: FixedClock) -> None:
    assert shop.read("ann")["amount"] == [None]
    pushed = shop.push(click(amount=2), click("bob", -0.5, note="é"))
    assert (pushed.number, pushed.events, pushed.is_online) == (1, 2, True)
    clock.advance(1)
    found = shop.read("ann", "bob", "cy")
    assert found["amount"] == [2.0, 1.5, None]
    assert found["note"] == [None, "é", None]
    assert found["amount_count_1h"] == [1, 1, None]
    assert shop.offline("ann", "bob", "cy") == found
    assert shop.flush() == 2
    assert shop.offline("ann", "bob", "cy") == shop.read("ann", "bob", "cy") == found
    assert shop.flush() == 0


def any_event(random: np.random.Generator, now: datetime) -> dict[str, Any]:
    """An event as they come: late or of a time ahead, often at the same instant as another one, with and without values."""
    minutes = int(random.choice([-1500, -61, -60, -30, -1, 0, 0, 5]))
    event: dict[str, Any] = {"user": f"u{random.integers(6)}", "item": int(random.integers(3))}
    event["at"] = (now.replace(second=0, microsecond=0) + timedelta(minutes=minutes)).isoformat()
    values = {"amount": float(random.normal()), "is_new": bool(random.integers(2)), "note": str(random.integers(3)), "seen": event["at"]}
    return event | {name: value for name, value in values.items() if random.random() < 0.8}


@ON_SQLITE
def test_whatever_comes_when_online_is_what_all_rows_give_and_offline_is_the_same(
    shop: Shop, clock: FixedClock, random: np.random.Generator, tmp_path: Path
) -> None:
    users = [f"u{number}" for number in range(7)]
    for _ in range(10):
        for _ in range(int(random.integers(1, 4))):
            clock.advance(0.5)
            assert shop.push(*(any_event(random, moment(clock.now())) for _ in range(int(random.integers(1, 5))))).is_online
        clock.advance(float(random.choice([0.000001, 1, 240])))
        match int(random.integers(4)):
            case 0:
                shop.flush()
            case 1:
                service.materialize(shop.database, shop.online, SYSTEM)
        service.materialize(shop.database, shop.online, SYSTEM, ["clicks_of", "last_click"])
        assert shop.read(*users) == shop.offline(*users)
    check_against_all_rows(shop, tmp_path)


def check_against_all_rows(shop: Shop, folder: Path) -> None:
    """Marks and lists of entities are those of a store that is made anew from all rows."""
    for view in applied_views(shop):
        mark = find_mark(shop.online, view)
        assert mark is not None
        anew = LmdbStore.open(folder / f"anew-{view.name}", durable=False, map_bytes=1 << 24)
        whole: Change = planned(load_history(view, folder), anew, mark.upto_at)
        assert whole.after == mark
        pages = [key for key, _ in whole.closing]
        assert shop.online.get_many(pages) == [content for _, content in whole.closing]
        anew.close()


def applied_views(shop: Shop) -> Sequence[FeatureView]:
    with shop.database.read() as snapshot:
        return [one.applied.view for one in service.list_views(snapshot, SYSTEM)]


def test_a_push_reads_what_is_new_alone_and_meets_a_materialization_in_between(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.push(click())
    monkeypatch.setattr("modelyard.features.service.bringing.load_history", None)
    clock.advance(1)
    service.materialize(shop.database, shop.online, SYSTEM)
    # The clock has not moved since that materialization: what it has seen stays what it was.
    pushed = shop.push(click(amount=9))
    assert pushed.pushed_at > clock.now()
    assert pushed.is_online
    clock.advance(1)
    shop.flush()
    assert shop.push(click(amount=4)).is_online
    service.materialize(shop.database, shop.online, SYSTEM)
    clock.advance(1)
    assert shop.read("ann")["amount_sum_1d"] == [14.5]


def test_no_training_row_sees_an_event_before_it_was_pushed(shop: Shop, clock: FixedClock) -> None:
    before = clock.now()
    clock.advance(60)
    pushed = shop.push(click(amount=5))
    shop.flush()
    assert shop.offline("ann", at=moment(before))["amount"] == [None]
    assert shop.offline("ann", at=moment(pushed.pushed_at) - timedelta(microseconds=1))["amount_count_1h"] == [None]
    assert shop.offline("ann", at=moment(pushed.pushed_at))["amount"] == [5.0]


STEPS = {
    "before anything": ("modelyard.features.store.pushed.plan_flush", "before"),
    "after the plan": ("modelyard.storage.tables.Tables.append", "before"),
    "after the table": ("modelyard.storage.tables.Tables.append", "after"),
    "after the note": ("modelyard.features.store.pushed.forget_pushes", "before"),
    "while tidying": ("modelyard.storage.tables.Tables.compact", "after"),
}


class Killed(BaseException):
    """As if the process had died here: nothing that comes after is done."""


@ON_SQLITE
@pytest.mark.parametrize("step", STEPS)
def test_a_flush_that_dies_at_any_step_loses_and_doubles_nothing(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    name, when = STEPS[step]
    monkeypatch.setattr("modelyard.features.service.pushing.TIDY_EVERY", 1)
    shop.push(click(amount=1), click("bob", amount=2))
    shop.flush()
    shop.push(click(amount=3))

    with monkeypatch.context() as patch:
        package, _, attribute = name.rpartition(".")
        owner: Any = Tables if package.endswith("Tables") else __import__(package, fromlist=["_"])
        whole = getattr(owner, attribute)

        def dying(*given: Any, **named: Any) -> Any:
            if when == "after":
                whole(*given, **named)
            raise Killed

        patch.setattr(owner, attribute, dying)
        with pytest.raises(Killed):
            shop.flush()
    # More has come before somebody goes on: what the first try had named stays one batch.
    shop.push(click(amount=4))
    clock.advance(1)
    expected = shop.read("ann", "bob")
    assert (expected["amount_count_1d"], expected["amount_sum_1d"]) == ([3, 1], [8.0, 2.0])
    assert shop.offline("ann", "bob") == expected
    shop.flush()
    assert shop.offline("ann", "bob") == expected
    assert sorted(shop.tables.scan("pushed_events/clicks").collect()["amount"]) == [1.0, 2.0, 3.0, 4.0]


@ON_SQLITE
def test_a_push_that_dies_before_it_is_online_comes_online_with_the_next(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.push(click("bob"))
    with monkeypatch.context() as patch:
        patch.setattr("modelyard.features.service.pushing.carry_out", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            shop.push(click(amount=3))
    shop.flush()
    assert shop.push(click("bob", amount=2)).is_online
    clock.advance(1)
    assert shop.read("ann")["amount_sum_1d"] == [3.0]
    assert shop.offline("ann", "bob") == shop.read("ann", "bob")


@ON_SQLITE
def test_an_older_version_that_something_served_reads_is_online_once_a_push_is_answered(
    shop: Shop, clock: FixedClock, tmp_path: Path
) -> None:
    older = next(one for one in applied_views(shop) if one.name == "last_click")
    service.apply_features(shop.database, SYSTEM, [FeatureSet("clicks", [replace(LAST, ttl="3h")])], tmp_path)
    reader = ViewReader(reader="shop v1", view=older.name, digest=older.digest, is_answering=True)
    shop.database.write(lambda tx: service.put_readers(tx, "endpoint:shop", DEFAULT_TEAM, [reader]))
    for amount in (2.0, 3.0):
        shop.push(click(amount=amount))
        clock.advance(1)
        shop.flush()
        found = OnlineReader(FeatureSet("older", [older])).read(shop.online, [{"user": "ann"}], shop.database.clock.now())
        assert found.columns["amount"] == shop.read("ann")["amount"] == [amount]


@ON_SQLITE
def test_a_database_that_was_set_back_without_its_tables_doubles_nothing(
    shop: Shop, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    shop.push(click("cy"))
    shop.flush()
    with shop.database.read() as snapshot:
        backup = dict(snapshot.connection.execute(sa.select(SOURCES)).mappings().one())
    shop.push(click(amount=1))
    shop.flush()
    shop.database.write(lambda tx: tx.connection.execute(sa.update(SOURCES).values(backup)))
    clock.advance(1)
    shop.push(click(amount=2))
    clock.advance(1)
    before = shop.offline("ann", "cy")
    assert before["amount_sum_1h"] == [2.0, 1.5]
    for _ in range(2):
        assert shop.flush() == 0
        assert "holds 1 events that the database does not know, from push 2 on" in caplog.text
        assert shop.offline("ann", "cy") == before


def test_pushes_flushes_and_materializations_at_once_lose_and_double_nothing(shop: Shop, clock: FixedClock) -> None:
    def pushing(number: int) -> list[Pushed]:
        return [shop.push(click(f"u{number}", amount=1), click("all", amount=1)) for _ in range(4)]

    def others(_: int) -> None:
        for _ in range(3):
            shop.flush()
            service.materialize(shop.database, shop.online, SYSTEM)

    with ThreadPoolExecutor(6) as pool:
        beside = [pool.submit(others, number) for number in range(2)]
        pushes = [one for some in pool.map(pushing, range(4)) for one in some]
        assert [task.result() for task in beside] == [None, None]
    assert sorted(one.number for one in pushes) == [*range(1, 17)]
    assert all(one.is_online for one in pushes)
    clock.advance(1)
    users = ["u0", "u1", "u2", "u3", "all"]
    assert shop.read(*users)["amount_count_1d"] == [4, 4, 4, 4, 16]
    assert shop.read(*users) == shop.offline(*users)
    shop.flush()
    assert shop.tables.row_count("pushed_events/clicks") == 32
    assert shop.read(*users) == shop.offline(*users)


@ON_SQLITE
def test_a_large_change_that_was_cut_short_is_made_good_by_the_next_push(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop.push(click())
    clock.advance(1)
    monkeypatch.setattr(LmdbStore, "at_once", 2)
    with monkeypatch.context() as patch:
        whole, calls = LmdbStore.put_many, itertools.count()

        def dying(*given: Any, **named: Any) -> None:
            if next(calls) == 3:
                raise Killed
            whole(*given, **named)

        patch.setattr(LmdbStore, "put_many", dying)
        with pytest.raises(Killed):
            shop.push(click("bob"), click("cy"), click("dee"))
    clock.advance(1)
    assert shop.push(click("eve"), click("cy", amount=2)).is_online
    clock.advance(1)
    assert shop.read("ann", "bob", "cy", "eve")["amount_sum_1d"] == [1.5, 1.5, 3.5, 1.5]
    check_against_all_rows(shop, tmp_path)


@ON_SQLITE
def test_files_that_were_merged_do_not_stay_for_ever(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("modelyard.features.service.pushing.TIDY_EVERY", 2)
    monkeypatch.setattr(shop.tables, "vacuum", partial(shop.tables.vacuum, retention_hours=0))
    for _ in range(6):
        shop.push(click())
        shop.flush()
    assert 0 < len([*(tmp_path / "tables" / "pushed_events" / "clicks.delta").glob("*.parquet")]) < 4
    clock.advance(1)
    assert shop.offline("ann") == shop.read("ann")


@pytest.mark.server
@ON_SQLITE
def test_events_are_online_in_redis_too(shop: Shop, redis_url: str, clock: FixedClock) -> None:
    online = open_online(redis_url)
    there = Shop(shop.database, online, shop.tables)
    for user in ("ann", "bob", "ann"):
        clock.advance(1)
        assert there.push(click(user)).is_online
    there.flush()
    clock.advance(1)
    assert there.read("ann", "bob")["amount_count_1h"] == [2, 1]
    assert there.read("ann", "bob") == there.offline("ann", "bob")
    online.close()


@ON_SQLITE
def test_a_request_that_died_before_its_answer_and_is_sent_again_counts_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    token = UNDER_WAY.set(Attempt(caller="shop", key="k", request=Digest("sha256:1")))
    try:
        with monkeypatch.context() as patch:
            patch.setattr("modelyard.features.service.pushing.carry_out", lambda *_: (_ for _ in ()).throw(Killed))
            with pytest.raises(Killed):
                shop.push(click(amount=3))
        shop.flush()
        again = shop.push(click(amount=3))
        assert (again.number, again.is_online) == (1, True)
        UNDER_WAY.set(Attempt(caller="shop", key="k", request=Digest("sha256:2")))
        assert shop.push(click(amount=4)).number == 2
    finally:
        UNDER_WAY.reset(token)
    assert shop.flush() == 1


@ON_SQLITE
def test_in_a_replay_events_are_created_at_its_instant_and_are_online_at_once(shop: Shop, database: Database, clock: FixedClock) -> None:
    database.write(lambda tx: begin_replay(tx, tx.now()))
    replayed = database.with_clock(clock_of(database))
    playing = Shop(replayed, shop.online, shop.tables)
    first = playing.push(click(amount=1))
    service.materialize(replayed, shop.online, SYSTEM)
    assert playing.push(click(amount=2), click("bob")).pushed_at == first.pushed_at == replayed.clock.now()
    assert playing.read("ann", "bob")["amount_sum_1d"] == [3.0, 1.5]
    assert playing.offline("ann", "bob") == playing.read("ann", "bob")
    replayed.close()


@ON_SQLITE
def test_where_the_online_store_is_held_the_events_are_durable_and_that_is_said(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelyard.features.service.pushing.PATIENCE_S", 0.0)
    with shop.online.alone(0.0):
        pushed = shop.push(click(amount=3))
    assert (pushed.is_online, "brought values online for more than" in pushed.why) == (False, True)
    clock.advance(1)
    assert shop.offline("ann")["amount"] == [3.0]
    assert shop.push(click("bob")).is_online
    assert shop.read("ann")["amount"] == [3.0]


@ON_SQLITE
def test_a_flush_is_one_entry_that_covers_its_events_and_says_how_far_they_are_online(shop: Shop, clock: FixedClock) -> None:
    shop.push(click(), click())
    clock.advance(7)
    last = shop.push(click())
    shop.flush()
    sequence_pending(shop.database, "tests")
    with shop.database.read() as snapshot:
        (entry,) = list_entries(snapshot, type="features.events_flushed").entries
        known = service.get_pushed_source(snapshot, SYSTEM, "clicks")
        brought = {one.view: one.upto_at for one in service.list_materializations(snapshot, SYSTEM)}
    assert (known.events, known.flushed_events, known.digest) == (3, 3, entry.digest)
    assert (entry.data["pushes"], entry.data["events"], entry.data["table_version"]) == ([1, 2], 3, 1)
    assert set(brought.values()) == {last.pushed_at}

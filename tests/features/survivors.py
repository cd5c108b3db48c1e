"""What must hold once processes that pushed, flushed, brought online and merged were killed: nothing is lost, nothing is there twice."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import lmdb
import polars as pl
from msgspec import Struct

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant, moment
from modelyard.features import service
from modelyard.features.domain import FeatureSet, FeatureView
from modelyard.features.erased import view_files
from modelyard.features.history import load_history
from modelyard.features.join import Questions
from modelyard.features.materialization import carry_out, find_mark, planned
from modelyard.features.offline import offline_values
from modelyard.features.rows import CREATED, EVENT, ROW, source_rows
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.shape import as_normalised
from modelyard.features.stored.upkeep import tidied
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.online import LmdbStore
from tests.features.dying import ACKNOWLEDGED, BEGUN, MAP_BYTES, USERS, VISITS, events_of, numbers_in, write_visits
from tests.features.shop import CLICKS, SET, Shop

TABLE = "pushed_events/clicks"


class Left(Struct, frozen=True):
    """What the killed have left behind: the installation, its folder, and the instant that their events are counted from."""

    shop: Shop
    folder: Path
    base: Instant

    def begin(self) -> None:
        """Applies the views, and makes their first file."""
        (self.folder / "visits").mkdir()
        write_visits(self.folder, 0)
        sets = [SET, FeatureSet("visits", [VISITS])]
        service.apply_features(self.shop.database, SYSTEM, sets, self.folder)

    @property
    def views(self) -> list[FeatureView]:
        """The views that stand."""
        with self.shop.database.read() as snapshot:
            return [one.applied.view for one in service.list_views(snapshot, SYSTEM)]

    def pushed(self) -> dict[int, list[tuple[Any, ...]]]:
        """The events that are there offline, by the number of their push."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        view = next(one for one in self.views if one.name == "last_click")
        rows = view_files(view, self.folder).scan().select("item", "user", "at", "amount", "note").collect()
        for number, *values in rows.rows():
            found.setdefault(number, []).append(tuple(values))
        return found

    def sent(self, number: int) -> list[tuple[Any, ...]]:
        """The events of a push as they were sent."""
        events = events_of(number, self.base)
        return [(one["user"], datetime.fromisoformat(one["at"]), one["amount"], one["note"]) for one in events]


def check_nothing_is_lost_or_doubled(left: Left) -> None:
    """Every acknowledged push is offline once, in whole; every other at most once, in whole; online are all acknowledged ones."""
    found, acknowledged = left.pushed(), numbers_in(left.folder / ACKNOWLEDGED)
    assert len(set(acknowledged)) == len(acknowledged)
    for number in numbers_in(left.folder / BEGUN):
        there = sorted(found.get(number, []))
        assert there == sorted(left.sent(number)) or (number not in acknowledged and not there), f"push {number}: {there}"
    online = left.shop.read(*USERS)["amount_count_1d"]
    least = Counter(event["user"] for number in acknowledged for event in events_of(number, left.base))
    most = Counter(event[0] for events in found.values() for event in events)
    for user, count in zip(USERS, online, strict=True):
        assert least[user] <= (count or 0) <= most[user], f"{user}: {count} online"


def check_flushes(left: Left) -> None:
    """The flushes that the ledger has follow each other without a gap, and their rows are in the table once."""
    database = left.shop.database
    sequence_pending(database, "tests")
    with database.read() as snapshot:
        known = service.get_pushed_source(snapshot, SYSTEM, CLICKS.name)
        entries = list_entries(snapshot, type="features.events_flushed", limit=1000).entries
    spans = sorted(tuple(entry.data["pushes"]) for entry in entries)
    assert [begin for begin, _ in spans] == [1, *(end + 1 for _, end in spans[:-1])]
    assert spans[-1][1] == known.pushes == known.flushed_pushes
    assert left.shop.tables.row_count(TABLE) == known.events == sum(entry.data["events"] for entry in entries)


def check_histories(left: Left) -> None:
    """A stored history holds its source's rows, answers as the rows do, and merging changes no answer."""
    histories = Histories(left.shop.tables)
    for view in left.views:
        history = histories.ready(view, left.folder)
        files = histories.tables.contents(history.table, history.version).files
        stored = as_normalised(pl.concat(pl.read_parquet(file.uri, hive_partitioning=False) for file in files), view)
        rows = source_rows(view, view_files(view, left.folder)).drop(ROW).collect()
        assert stored.sort(pl.all()).equals(rows.sort(pl.all()))
        asked = questions(view, rows)
        expected = in_memory(view, asked, left.folder)
        assert histories.values(view, view.names, asked, history).equals(expected)
        tidied(histories, source_of(view, left.folder), most_runs=1)
        histories.tables.vacuum(history.table)
        assert histories.values(view, view.names, asked, histories.ready(view, left.folder)).equals(expected)


def questions(view: FeatureView, rows: pl.DataFrame) -> Questions:
    """At each row's instants, and after them."""
    keys = rows.select(key.name for key in view.entity.keys)
    at = pl.concat([rows[EVENT], rows[CREATED], rows[CREATED] + 3600 * SECOND])
    return Questions.of(pl.concat([keys] * 3), at.to_numpy())


def in_memory(view: FeatureView, asked: Questions, root: Path) -> pl.DataFrame:
    """The answers without any stored history."""
    return offline_values(FeatureSet("checked", [view]), asked.keys, asked.at, {view.name: root})[0]


def check_online_is_what_all_rows_give(left: Left) -> None:
    """The online store is, byte for byte, the one that is made anew of all rows. Closes it."""
    store = left.shop.online
    anew = LmdbStore.open(left.folder / "anew", durable=False, map_bytes=MAP_BYTES)
    for view in left.views:
        mark = find_mark(store, view)
        assert mark is not None
        carry_out(anew, [planned(load_history(view, left.folder), anew, mark.upto_at)])
    anew.close()
    store.close()
    found, made = contents(left.folder / "online"), contents(left.folder / "anew")
    assert found.keys() == made.keys()
    assert [key for key in found if found[key] != made[key]] == []


def contents(folder: Path) -> dict[bytes, bytes]:
    """All that an online store holds."""
    with lmdb.open(str(folder), readonly=True) as environment, environment.begin() as transaction, transaction.cursor() as cursor:
        return dict(cursor)


def check_all(left: Left) -> None:
    """All of it: as it was left, and once what was under way has been done."""
    check_nothing_is_lost_or_doubled(left)
    shop, users, ask = left.shop, USERS, moment(left.shop.database.clock.now())
    before = shop.offline(*users, at=ask)
    shop.flush()
    service.materialize(shop.database, shop.online, SYSTEM)
    check_nothing_is_lost_or_doubled(left)
    check_flushes(left)
    check_histories(left)
    for _ in range(2):
        assert shop.offline(*users, at=ask) == before
        shop.tables.compact(TABLE)
        shop.tables.vacuum(TABLE)
    assert shop.read(*users) == shop.offline(*users)
    check_online_is_what_all_rows_give(left)

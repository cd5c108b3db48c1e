"""What the worker takes off the disk after an erasure: no byte of the entity is left in what Modelyard stores, whatever is killed."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, iso, moment
from modelyard.core.settings import FeaturesSettings
from modelyard.features import offline, service
from modelyard.features.domain import Entity, Erasure, FeatureSet, FeatureView, NewErasure, Parquet
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.history import load_history
from modelyard.features.service import Purging, erasing
from modelyard.features.sources.pushed import table_of
from modelyard.features.sources.reach import Place, open_reach
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import StoredHistory
from modelyard.features.stored.upkeep import FOLDER
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.tables import Tables
from tests.features.hours import at
from tests.features.shop import CLICKS, ON_SQLITE, SUMS, Shop, click

pytestmark = ON_SQLITE
ANN, NOTE, OTHER = "ann-4711-distinctive", "her-words-0815", "bob-words-0816"
WHO = NewErasure(entity="user", keys={"user": ANN}, why="asked for")


@pytest.fixture(autouse=True)
def _erasures(shop: Shop, tmp_path: Path) -> Iterator[None]:
    service.open_erasures(shop.database, ErasureKey.open(tmp_path / "erasures.key"))
    yield
    open_tombstones(None)


def purge(shop: Shop) -> int:
    within = Purging(database=shop.database, histories=Histories(shop.tables), online=shop.online, holder="w1")
    return service.purge_erased(within, lambda: 0)


def purge_all(shop: Shop) -> None:
    assert any(purge(shop) for _ in range(3))


def erased(shop: Shop) -> Erasure:
    with shop.database.read() as snapshot:
        return service.list_erasures(snapshot, SYSTEM)[0]


def holding(folder: Path, *texts: str) -> set[str]:
    """The files below `folder` that hold one of the texts, but for what LMDB has freed."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "online"]
    return {path.name for path in files if any(text.encode() in path.read_bytes() for text in texts)}


@pytest.mark.parametrize("is_flushed", [False, True])
def test_no_byte_of_pushed_events_is_left_and_others_keep_theirs(
    shop: Shop, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_flushed: bool
) -> None:
    monkeypatch.setattr(offline, "HISTORY_BYTES", 0)  # so that rows are read anew each time
    shop.push(click(ANN, note=NOTE, amount=5), click("bob", note=OTHER))
    if is_flushed:
        shop.flush()
    shop.push(click(ANN, note=NOTE))
    clock.advance(1)
    assert holding(tmp_path, ANN, NOTE)
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    assert erased(shop).removed_at is None
    before = items(shop)
    purge_all(shop)
    assert holding(tmp_path, ANN, NOTE) == set()
    assert holding(tmp_path, OTHER)
    assert items(shop) == before  # an item's mean counts what was paid, whoever paid it
    assert shop.read(ANN, "bob") == shop.offline(ANN, "bob")
    clock.advance(1)
    shop.push(click(ANN, amount=2))
    clock.advance(1)
    assert shop.offline(ANN)["amount_sum_1h"] == [2.0]
    assert purge(shop) == 0


def test_of_a_row_that_others_read_their_columns_stay_and_her_key_only_where_it_is_theirs(
    shop: Shop, clock: FixedClock, tmp_path: Path
) -> None:
    pairs = FeatureView("pairs", Entity("pair", keys={"user": "string", "item": "int64"}), CLICKS, features=["is_new"])
    visitors = FeatureView("visitors", Entity("item", dtype="int64"), CLICKS, aggregate={"user": ["distinct"]}, windows=["1h"])
    shop.push(click(ANN, note=NOTE, is_new=True), click("bob", note=OTHER, is_new=True))
    clock.advance(1)

    def table() -> list[tuple[object, ...]]:
        service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
        clock.advance(1)
        purge_all(shop)
        return shop.tables.scan(table_of("clicks")).select("user", "item", "amount", "is_new", "note").sort("note").collect().rows()

    with_pairs = service.apply_features(shop.database, SYSTEM, [FeatureSet("pairs", [pairs]), FeatureSet("visitors", [visitors])], tmp_path)
    assert with_pairs.sets
    assert table() == [(ANN, 7, 1.5, True, None), ("bob", 7, 1.5, True, OTHER)]
    pair = NewErasure(entity="pair", keys={"user": ANN, "item": 7}, why="asked for")
    service.erase_entity(shop.database, shop.online, SYSTEM, pair)
    assert table() == [(None, 7, 1.5, None, None), ("bob", 7, 1.5, True, OTHER)]
    assert holding(tmp_path, ANN, NOTE) == set()


def test_a_key_that_others_read_as_a_value_is_gone_from_their_histories_and_from_online_too(
    shop: Shop, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "HISTORY_BYTES", 1)
    buyers = FeatureView("buyers", Entity("item", dtype="int64"), CLICKS, features=["user"])
    service.apply_features(shop.database, SYSTEM, [FeatureSet("buyers", [buyers])], tmp_path)
    histories = Histories(shop.tables)
    shop.push(click("bob"), click(ANN, 0.5))
    service.keep_histories(shop.database, histories, "w1")
    clock.advance(1)

    def last_buyer() -> list[object]:
        with shop.database.read() as snapshot:
            online = service.read_features(snapshot, shop.online, SYSTEM, "buyers", [{"item": 7}]).columns["user"]
            feature_set = service.get_set(snapshot, SYSTEM, "buyers").set
        labels = pl.DataFrame({"item": [7], "ask": [moment(clock.now())]})
        return [*online, *service.historical_rows(shop.database, feature_set, labels, "ask", histories).frame["user"]]

    clock.advance(3600)
    service.materialize(shop.database, shop.online, SYSTEM)
    assert last_buyer() == [ANN, ANN]
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    clock.advance(1)
    assert purge(shop) == 0  # the item's row stood online as it was
    purge_all(shop)
    assert holding(tmp_path, ANN) == set()
    assert last_buyer() == [None, None]


def items(shop: Shop) -> dict[str, list[Any]]:
    with shop.database.read() as snapshot:
        online = service.read_features(snapshot, shop.online, SYSTEM, "items", [{"item": 7}]).columns
        feature_set = service.get_set(snapshot, SYSTEM, "items").set
    open_reach(FeaturesSettings(), Place(shop.database, shop.tables))  # as another process would: it has seen no event yet
    labels = pl.DataFrame({"item": [7], "ask": [moment(shop.database.clock.now())]})
    frame = service.historical_rows(shop.database, feature_set, labels, "ask").frame.drop("item", "ask")
    assert frame.to_dict(as_series=False) == online
    return online


def test_the_ledger_says_when_it_was_asked_for_and_when_all_was_gone(shop: Shop, clock: FixedClock) -> None:
    shop.push(click(ANN))
    clock.advance(1)
    done = service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    clock.advance(60)
    assert [purge(shop) for _ in range(3)] == [0, 1, 0]
    assert erased(shop).removed_at == shop.database.clock.now()
    sequence_pending(shop.database, "tests")
    with shop.database.read() as snapshot:
        entries = {one.type: one for one in list_entries(snapshot).entries}
    asked, gone = entries["features.entity_erased"], entries["features.erasure_completed"]
    assert (asked.data["erasure"], gone.data["erasure"], gone.data["pushed_sources"]) == (done.id, done.id, ["clicks"])
    assert gone.data["erased_at"] == iso(done.erased_at) < gone.data["removed_at"] == iso(shop.database.clock.now())


@pytest.mark.parametrize("step", ["append", "write_one", "exchange", "vacuum"])
def test_a_worker_that_dies_in_between_leaves_the_rest_to_the_next(
    shop: Shop, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    shop.push(click(ANN, note=NOTE), click("bob"))
    shop.flush()
    shop.push(click(ANN, note=NOTE))
    clock.advance(1)
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    before = shop.offline("bob")

    def dying(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        target = "modelyard.storage.table_files.TableFiles" if step == "write_one" else "modelyard.storage.tables.Tables"
        patch.setattr(f"{target}.{step}", dying)
        with pytest.raises(KeyboardInterrupt):
            purge(shop)
    assert shop.offline("bob") == before
    for path in tmp_path.rglob("*.parquet"):
        os.utime(path, (0, 0))  # long ago, for files of writes that ended with the worker
    purge_all(shop)
    assert holding(tmp_path, ANN, NOTE) == set()
    assert shop.offline(ANN, "bob")["amount_count_1h"] == [None, 1]


def test_an_erasure_that_ended_before_the_entity_had_left_the_online_store_is_made_good(
    shop: Shop, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.push(click(ANN), click("bob"))
    clock.advance(1)
    with monkeypatch.context() as patch:
        patch.setattr(erasing, "remove_entity", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    assert shop.read(ANN)["amount"] == [1.5]
    purge_all(shop)
    assert shop.read(ANN, "bob") == shop.offline(ANN, "bob")
    assert shop.read(ANN)["amount"] == [None]


def test_a_reader_of_the_old_files_begins_anew(shop: Shop, clock: FixedClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.push(click(ANN, note=NOTE), click("bob"))
    shop.flush()
    clock.advance(1)
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    open_reach(FeaturesSettings(), Place(shop.database, shop.tables))  # as another process would: it has seen no event yet
    scan, calls = Tables.scan, []

    def replaced(tables: Tables, name: str, version: int | None = None) -> pl.LazyFrame:
        found = scan(Tables.open(f"file://{tmp_path / 'tables'}"), name, tables.version(name))
        calls.append(name)
        if len(calls) == 1:
            purge_all(shop)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Tables, "scan", replaced)
        found = load_history(SUMS, tmp_path)
    assert len(calls) > 1
    assert found.rows["user"].to_list() == ["bob"]


SAID = FeatureView("said", Entity("user"), Parquet("said.parquet", "at"), features=["words"])


def write_said(folder: Path, of_bob: str) -> None:
    rows = [(ANN, at(0), NOTE), ("bob", at(0), of_bob)]
    pl.DataFrame(rows, schema=["user", "at", "words"], orient="row").write_parquet(folder / "said.parquet")


@pytest.fixture
def said(shop: Shop, tmp_path: Path, clock: FixedClock, monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[str]]:
    """A stored history of two users, one of whom has just been erased; the files of histories that hold something of her."""
    monkeypatch.setattr(offline, "HISTORY_BYTES", 1)
    write_said(tmp_path, OTHER)
    service.apply_features(shop.database, SYSTEM, [FeatureSet("said", [SAID])], tmp_path)
    service.keep_histories(shop.database, Histories(shop.tables), "w1")
    clock.advance(1)
    assert holding(tmp_path / "tables" / FOLDER, ANN)
    service.erase_entity(shop.database, shop.online, SYSTEM, WHO)
    return lambda: holding(tmp_path / "tables" / FOLDER, ANN, NOTE)


def test_a_stored_history_is_laid_out_without_the_entity_and_its_old_files_go(
    shop: Shop, said: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = pl.DataFrame({"user": [ANN, "bob"], "ask": [at(1)] * 2})
    with shop.database.read() as snapshot:
        feature_set = service.get_set(snapshot, SYSTEM, "said").set
    ready, calls = Histories.ready, itertools.count()

    def interrupted(self: Histories, view: FeatureView, root: Path) -> StoredHistory:
        found = ready(self, view, root)
        if next(calls) == 0:  # a join has found its history, of which the worker makes another and removes the files
            write_said(root, "other words")
            self.tables.vacuum(ready(self, view, root).table, retention_hours=0, include_unfinished=False)
        return found

    purge_all(shop)
    assert said() == set()
    monkeypatch.setattr(Histories, "ready", interrupted)
    rows = service.historical_rows(shop.database, feature_set, labels, "ask", Histories(shop.tables))
    assert rows.frame["words"].to_list() == [None, "other words"]
    assert next(calls) > 1


def test_a_history_that_nobody_uses_or_whose_source_is_gone_is_removed(shop: Shop, said: Callable[[], set[str]], tmp_path: Path) -> None:
    (tmp_path / "said.parquet").unlink()
    purge_all(shop)
    assert said() == set()
    assert shop.tables.names(FOLDER) == []

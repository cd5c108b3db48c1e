"""A view that is brought online bucket by bucket out of its stored history leaves the store that one held in memory leaves."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.features import large
from modelyard.features.backfill import Wanted, refilled, refilling
from modelyard.features.domain import Aggregate, Entity, FeatureView, Parquet
from modelyard.features.history import load_history
from modelyard.features.large import planned_large, refilled_large
from modelyard.features.layout import mark_key
from modelyard.features.materialization import Change, carry_out, planned
from modelyard.features.stored import Histories, states
from modelyard.storage.online import LmdbStore, OnlineUnavailable
from modelyard.storage.tables import Tables
from tests.features.oracle import US

SOURCE = Parquet("rows/*.parquet", timestamp="at", created="made")
PAIR = Entity("pair", keys={"who": "string", "place": "int64"})
PLAIN = FeatureView("plain", PAIR, SOURCE, features={"x": "float64", "n": "int64", "label": "string"})
SUMMED = FeatureView(
    "summed",
    Entity("who"),
    SOURCE,
    aggregate=[Aggregate("x", ("mean", "std", "p90", "last"), dtype="float64"), Aggregate("label", "distinct", dtype="string")],
    windows=["20s", "90s"],
)
VIEWS = pytest.mark.parametrize("view", [PLAIN, SUMMED], ids=["plain", "summed"])
LAST = 100 * US


@pytest.fixture(autouse=True)
def many_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred rows make a dozen buckets."""
    monkeypatch.setattr(states, "BUCKET_BYTES", 1024)


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[LmdbStore]]:
    """Two empty stores."""
    made = [LmdbStore.open(tmp_path / f"online-{number}", durable=False, map_bytes=1 << 26) for number in range(2)]
    yield made
    for one in made:
        one.close()


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    """Where histories are laid out."""
    return Histories(Tables.open(f"file://{tmp_path}/tables"))


def put_file(folder: Path, name: str, seed: int, since: int, until: int, names: int = 60) -> None:
    """Rows of events in a span of seconds, some of them late or tied, of nobody or without a value."""
    rng, count = np.random.default_rng(seed), 150
    event = rng.integers(since, until, count)
    moment = pl.Datetime("us", "UTC")
    late = np.where(rng.random(count) < 0.3, rng.integers(0, until - since, count), 0)
    frame = pl.DataFrame(
        {
            "who": [None if one == 7 else f"é{one}" * (1 + one % 5) for one in rng.integers(0, names, count).tolist()],
            "place": rng.integers(-1, 2, count),
            "at": pl.Series(event * US).cast(moment),
            "made": pl.Series((event + late) * US).cast(moment),
            "x": [None if one < -1 else one for one in rng.normal(0, 1, count).round(1).tolist()],
            "n": rng.integers(0, 3, count),
            "label": rng.choice(["", "a", "é"], count),
        }
    )
    (folder / "rows").mkdir(exist_ok=True)
    frame.write_parquet(folder / "rows" / f"{name}.parquet")


def held(store: LmdbStore) -> dict[bytes, bytes]:
    """All that stands in a store."""
    with store._environment.begin() as reading, reading.cursor() as cursor:
        return {bytes(key): bytes(value) for key, value in cursor}


def bring(store: LmdbStore, view: FeatureView, folder: Path, upto: int, histories: Histories | None = None) -> Change:
    if histories is None:
        change = planned(load_history(view, folder), store, upto)
    else:
        change = planned_large(histories, view, folder, store, upto)
    carry_out(store, [change])
    return change


@VIEWS
@pytest.mark.parametrize("held_bytes", [0, large.HELD_BYTES], ids=["written at once", "held"])
def test_both_ways_leave_the_same_store_byte_for_byte(
    view: FeatureView, held_bytes: int, stores: list[LmdbStore], histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "HELD_BYTES", held_bytes)
    monkeypatch.setattr(large, "ENTITIES_A_PAGE", 7)
    monkeypatch.setattr("modelyard.features.materialization.ENTITIES_A_PAGE", 7)

    def both(upto: int) -> tuple[Any, ...]:
        small, parted = bring(stores[0], view, tmp_path, upto), bring(stores[1], view, tmp_path, upto, histories)
        assert held(stores[0]) == held(stores[1])
        assert (small.after, small.is_anew) == (parted.after, parted.is_anew)
        return parted.is_anew, parted.new_rows > 0

    put_file(tmp_path, "a", 1, 0, 60)
    assert both(30 * US) == (False, True)
    assert both(30 * US) == (False, False)
    assert both(58 * US) == (False, True)
    put_file(tmp_path, "b", 2, 59, LAST // US)
    assert both(80 * US) == (False, True)
    put_file(tmp_path, "a", 3, 0, 60, names=20)
    assert both(70 * US)[0]
    assert both(LAST) == (False, True)


@VIEWS
def test_a_range_is_backfilled_bucket_by_bucket_as_it_is_in_memory(
    view: FeatureView, stores: list[LmdbStore], histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "HELD_BYTES", 0)
    put_file(tmp_path, "a", 1, 0, LAST // US)
    for store in stores:
        mark = bring(store, view, tmp_path, LAST).after
        whole = held(store)
        store.delete_many(key for place, key in enumerate(whole) if place % 3 and key != mark_key(view.digest))
    wanted = Wanted(mark, 10 * US, 25 * US)
    history = load_history(view, tmp_path)
    small = refilled(history, stores[0], wanted)
    carry_out(stores[0], [refilling(history, mark, small)])
    change, parted = refilled_large(histories, view, tmp_path, stores[1], wanted)
    carry_out(stores[1], [change])
    assert held(stores[0]) == held(stores[1])
    assert held(stores[0]).items() < whole.items()
    assert (small.rows, small.entities) == (parted.rows, parted.entities)
    assert 1 < small.entities < small.rows < history.rows.height
    carry_out(stores[1], [refilled_large(histories, view, tmp_path, stores[1], Wanted(mark, 0, LAST))[0]])
    assert held(stores[1]) == whole


class Dying(LmdbStore):
    """A store whose process ends after so many writes."""

    writes = 0
    left = 2**30

    def put_many(self, items: Iterable[tuple[bytes, bytes]], *, gone: Iterable[bytes] = ()) -> None:
        if self.writes >= self.left:
            raise OnlineUnavailable("killed", hint="")
        self.writes += 1
        super().put_many(items, gone=gone)


@VIEWS
def test_one_that_was_killed_between_any_two_writes_is_made_good_by_the_next(
    view: FeatureView, stores: list[LmdbStore], histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large, "HELD_BYTES", 1500)
    deaths = 0
    for left in (0, 1, 4):
        dying = Dying(LmdbStore.open(tmp_path / f"dying-{left}", durable=False, map_bytes=1 << 26)._environment)
        for seed, upto in ((1, 50 * US), (1, 70 * US), (2, LAST)):
            # First all, then what is new, then everything anew.
            put_file(tmp_path, "a", seed, 0, 90, names=60 // seed)
            dying.writes, dying.left = 0, left
            try:
                bring(dying, view, tmp_path, upto, histories)
            except OnlineUnavailable:
                deaths += 1
            dying.left = 2**30
            bring(dying, view, tmp_path, upto, histories)
            bring(stores[0], view, tmp_path, upto)
            assert held(dying) == held(stores[0])
        dying.close()
        stores[0].delete_many(held(stores[0]))
    assert deaths >= 6

"""Pushed events: online at once, offline the same before and after their flush, and once whatever dies in between."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, moment
from modelyard.core.settings import FeaturesSettings
from modelyard.features import service
from modelyard.features.domain import BadEvents, Entity, FeatureSet, FeatureView, InvalidDeclaration, Push, Pushed
from modelyard.features.domain import PushedSourceNotFound, TooManyEvents
from modelyard.features.history import load_history
from modelyard.features.materialization import Change, find_mark, planned
from modelyard.features.sources.reach import Place, open_reach
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.features.conftest import at

CLICKS = Push("clicks", "at", columns={"user": str, "item": int, "amount": float, "is_new": bool, "note": str, "seen": "time"})
USER = Entity("user")
LAST = FeatureView("last_click", USER, CLICKS, features=["amount", "is_new", "note"], ttl="2h")
SUMS = FeatureView("clicks_of", USER, CLICKS, aggregate={"amount": ["sum", "count", "last", "p50"], "note": ["distinct"]}, windows=["1h", "1d"])
ITEMS = FeatureView("items", Entity("item", dtype="int64"), CLICKS, aggregate={"amount": ["mean"]}, windows=["1h"])
SET = FeatureSet("clicks", [LAST, SUMS])
Stand = Callable[[datetime], None]


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return Tables.open(f"file://{tmp_path / 'tables'}")


class Shop:
    """An installation's parts over which clicks are pushed."""

    def __init__(self, database: Database, online: LmdbStore, tables: Tables) -> None:
        self.database, self.online, self.tables = database, online, tables

    def push(self, *events: Mapping[str, Any]) -> Pushed:
        return service.push_events(self.database, self.online, SYSTEM, "clicks", [dict(one) for one in events])

    def flush(self) -> int:
        return service.flush_pushed(self.database, self.tables, self.online)

    def read(self, *users: str) -> dict[str, list[Any]]:
        with self.database.read() as snapshot:
            return service.read_features(snapshot, self.online, SYSTEM, "clicks", [{"user": one} for one in users]).columns

    def offline(self, *users: str, at: datetime | None = None) -> dict[str, list[Any]]:
        labels = pl.DataFrame({"user": users, "ask": [at or moment(self.database.clock.now())] * len(users)})
        with self.database.read() as snapshot:
            feature_set = service.get_set(snapshot, SYSTEM, "clicks").set
        return service.historical_rows(self.database, feature_set, labels, "ask").frame.drop("user", "ask").to_dict(as_series=False)


@pytest.fixture
def shop(database: Database, online: LmdbStore, tables: Tables, tmp_path: Path, stand_at: Stand) -> Iterator[Shop]:
    open_reach(FeaturesSettings(), Place(database, tables))
    stand_at(at(0))
    service.apply_features(database, SYSTEM, [SET, FeatureSet("items", [ITEMS])], tmp_path)
    yield Shop(database, online, tables)
    open_reach(FeaturesSettings())


def click(user: str = "ann", hours: float = 0, **values: Any) -> dict[str, Any]:
    return {"user": user, "item": 7, "at": at(hours).isoformat(), "amount": 1.5, **values}


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

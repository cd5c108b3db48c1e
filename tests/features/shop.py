"""A shop's clicks, which are pushed: their source, the views over it, and what a test does with an installation of both."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import moment
from modelyard.features import service
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Push, Pushed
from modelyard.storage.database import Database
from modelyard.storage.online import OnlineStore
from modelyard.storage.tables import Tables
from tests.features.hours import at

CLICKS = Push("clicks", "at", columns={"user": str, "item": int, "amount": float, "is_new": bool, "note": str, "seen": "time"})
USER = Entity("user")
LAST = FeatureView("last_click", USER, CLICKS, features=["amount", "is_new", "note"], ttl="2h")
SUMS = FeatureView(
    "clicks_of", USER, CLICKS, aggregate={"amount": ["sum", "count", "last", "p50"], "note": ["distinct"]}, windows=["1h", "1d"]
)
ITEMS = FeatureView("items", Entity("item", dtype="int64"), CLICKS, aggregate={"amount": ["mean"]}, windows=["1h"])
SET = FeatureSet("clicks", [LAST, SUMS])
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What is about the order of steps, and not about a database."""


class Shop:
    """An installation's parts over which clicks are pushed."""

    def __init__(self, database: Database, online: OnlineStore, tables: Tables) -> None:
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


def click(user: str = "ann", hours: float = 0, **values: Any) -> dict[str, Any]:
    return {"user": user, "item": 7, "at": at(hours).isoformat(), "amount": 1.5, **values}

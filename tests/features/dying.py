"""A shop's process that is killed: it pushes, flushes, brings online and looks after histories as it is told, until it dies.

    python -m tests.features.dying DATABASE_URL FOLDER BASE_US

Reads a line of steps for each child, which does them again and again. Each child is a process of its own, forked from one that has
imported everything and begun nothing, so that a kill costs no start. Tells the child, its steps and writes as they come, and how it ended.
"""

import os
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant, SystemClock, moment
from modelyard.core.digests import digest_of
from modelyard.core.processes import PARENT, die_with_parent
from modelyard.core.settings import FeaturesSettings
from modelyard.features import offline, service
from modelyard.features.domain import Entity, FeatureView, Parquet
from modelyard.features.service import pushing
from modelyard.features.sources.reach import Place, open_reach
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.upkeep import tidied
from modelyard.storage.database import Database
from modelyard.storage.idempotency import UNDER_WAY, Attempt
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.features.shop import Shop

MAP_BYTES = 1 << 26
USERS = [f"u{number}" for number in range(6)]
BEGUN, ACKNOWLEDGED = "begun", "acknowledged"
VISITS = FeatureView("visits", Entity("user"), Parquet("visits/*.parquet", "at"), aggregate={"x": ["sum", "count"]}, windows=["1h", "1d"])
ROWS_A_FILE = 5
WRITING = "."
WRITES = ((Database, "write"), (LmdbStore, "put_many"), *((Tables, name) for name in ("append", "exchange", "compact", "vacuum")))


def events_of(number: int, base: Instant) -> list[dict[str, Any]]:
    """The events of a push, the same whoever asks: late ones, several at one instant, and its number in each."""
    random = np.random.default_rng([7, number])
    return [
        {
            "user": USERS[int(random.integers(len(USERS)))],
            "item": number,
            "at": (moment(base) - timedelta(minutes=int(random.choice([1, 1, 30, 61, 500])))).isoformat(),
            "amount": number + place / 4,
            "note": str(random.integers(3)),
        }
        for place in range(int(random.integers(1, 4)))
    ]


def is_keyed(number: int) -> bool:
    """Whether a push is sent under a key, and again until it is answered; others are sent once."""
    return number % 3 > 0


def numbers_in(path: Path) -> list[int]:
    """The numbers that a child has noted, in order."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


class Swept(Tables):
    """Tables whose replaced files go at once: whoever still needed one would be found out."""

    def vacuum(self, name: str, **_: Any) -> int:
        """Removes every file that no row of the newest version is in."""
        return super().vacuum(name, retention_hours=0)


def make_small() -> None:
    """Has a few rows be as many as millions are: every history stored, three pushes a flush."""
    offline.HISTORY_BYTES = 0
    pushing.FLUSHED_PUSHES, pushing.TIDY_EVERY = 3, 2


class Doomed:
    """What a child works with, and its steps."""

    def __init__(self, url: str, folder: Path, base: Instant) -> None:
        self.folder, self.base = folder, base
        database = Database.open(url, SystemClock())
        online = LmdbStore.open(folder / "online", durable=False, map_bytes=MAP_BYTES)
        self.shop = Shop(database, online, Swept.open(f"file://{folder / 'tables'}"))
        self.histories = Histories(self.shop.tables)
        open_reach(FeaturesSettings(), Place(database, self.shop.tables))
        begun, acknowledged = numbers_in(folder / BEGUN), numbers_in(folder / ACKNOWLEDGED)
        self.number = begun[-1] if begun else 0
        self.is_open = bool(begun) and is_keyed(begun[-1]) and begun[-1] not in acknowledged

    @property
    def steps(self) -> Mapping[str, Callable[[], object]]:
        """What may be asked of a child."""
        return {"push": self.push, "flush": self.shop.flush, "materialize": self.materialize, "keep": self.keep}

    def push(self) -> None:
        """Pushes twice, and adds a file to the other source."""
        for _ in range(2):
            self._push_next()
        write_visits(self.folder, self.number)

    def _push_next(self) -> None:
        if not self.is_open:
            self.number += 1
            noted(self.folder / BEGUN, self.number)
        attempt = Attempt(caller="dying", key=str(self.number), request=digest_of(self.number)) if is_keyed(self.number) else None
        token = UNDER_WAY.set(attempt)
        pushed = self.shop.push(*events_of(self.number, self.base))
        UNDER_WAY.reset(token)
        assert pushed.is_online, pushed.why
        noted(self.folder / ACKNOWLEDGED, self.number)
        self.is_open = False

    def materialize(self) -> None:
        """Brings everything online."""
        service.materialize(self.shop.database, self.shop.online, SYSTEM)

    def keep(self) -> None:
        """Merges the files of histories, lays out what is new, and removes what was merged."""
        with self.shop.database.read() as snapshot:
            views = [one.applied.view for one in service.list_views(snapshot, SYSTEM)]
        for view in views:
            tidied(self.histories, source_of(view, self.folder), most_runs=1)
        service.keep_histories(self.shop.database, self.histories, "dying")


def noted(path: Path, number: int) -> None:
    """Appends a number, which is there once this returns whoever is killed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, f"{number}\n".encode())
    os.close(descriptor)


def write_visits(folder: Path, number: int) -> None:
    """A file of visits, there as a whole or not at all."""
    random = np.random.default_rng([8, number])
    at = [moment(Instant(1)) + timedelta(days=20_000, minutes=int(minute)) for minute in random.integers(0, 3000, ROWS_A_FILE)]
    frame = pl.DataFrame({"user": random.choice(USERS, ROWS_A_FILE), "at": at, "x": random.random(ROWS_A_FILE)})
    frame.write_parquet(folder / "visits.tmp")
    (folder / "visits.tmp").rename(folder / "visits" / f"{number:06}.parquet")


def tell_around(owner: type, name: str) -> None:
    """Has it be told when a method begins and when it ends: what a kill leaves behind changes there."""
    whole = getattr(owner, name)

    def told(*given: Any, **named: Any) -> Any:
        tell(WRITING)
        try:
            return whole(*given, **named)
        finally:
            tell(WRITING)

    setattr(owner, name, told)


def live(url: str, folder: Path, base: Instant, steps: list[str], at_once: int) -> None:
    """Does the steps again and again; each is told as it begins, and each write."""
    tell(str(os.getpid()))
    make_small()
    LmdbStore.at_once = at_once
    for owner, name in WRITES:
        tell_around(owner, name)
    doomed = Doomed(url, folder, base)
    while True:
        for name in steps:
            tell(name)
            doomed.steps[name]()


def tell(word: str) -> None:
    """Says a word to whoever kills."""
    os.write(1, f"{word}\n".encode())


def main() -> None:
    """Forks a child for each line, `AT_ONCE STEP STEP ...`, one at a time."""
    url, folder, base = sys.argv[1], Path(sys.argv[2]), Instant(int(sys.argv[3]))
    parent = os.getpid()
    tell("ready")
    while line := sys.stdin.readline():
        at_once, *steps = line.split()
        child = os.fork()
        if not child:
            die_with_parent({PARENT: str(parent)})
            live(url, folder, base, steps, int(at_once))
        _, status = os.waitpid(child, 0)
        tell(f"ended {-os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()

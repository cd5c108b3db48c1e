"""Kills of processes that push, flush, bring online, lay out and merge: hundreds at random moments, on one installation after another.

    python soak/kills.py --seed 1 --seconds 60

Holds: no acknowledged push is lost, none is there twice, online is what all rows give, and stored histories hold their sources' rows.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modelyard.core.clock import SystemClock
from modelyard.core.settings import FeaturesSettings
from modelyard.features.sources.reach import Place, reaching
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.schema import METADATA
from tests.features.dying import MAP_BYTES, Swept
from tests.features.kills import Killer, planned_kills
from tests.features.shop import Shop
from tests.features.survivors import Left, check_all, check_nothing_is_lost_or_doubled

KILLS = 60


def survived(folder: Path, random: np.random.Generator, until: float) -> int:
    """Kills in a new installation, and looks at what is left after each; how many there were."""
    url = f"sqlite:///{folder / 'modelyard.db'}"
    database = Database.open(url, SystemClock())
    METADATA.create_all(database.engine)
    shop = Shop(database, LmdbStore.open(folder / "online", durable=False, map_bytes=MAP_BYTES), Swept.open(f"file://{folder / 'tables'}"))
    left, done = Left(shop, folder, database.clock.now()), 0
    with reaching(FeaturesSettings(), Place(database, shop.tables)):
        left.begin()
        with Killer(url, folder, left.base) as killer:
            killer.measure()
            for kill in planned_kills(random, KILLS):
                killer.carry_out(kill)
                check_nothing_is_lost_or_doubled(left)
                done += 1
                if time.monotonic() > until:
                    break
        check_all(left)
    database.close()
    return done


def main() -> None:
    """Kills until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    random, until, done = np.random.default_rng(given.seed), time.monotonic() + given.seconds, 0
    while not done or time.monotonic() < until:
        with tempfile.TemporaryDirectory() as name:
            done += survived(Path(name), random, until)
    sys.stdout.write(f"{done} kills: nothing lost, nothing doubled\n")


if __name__ == "__main__":
    main()

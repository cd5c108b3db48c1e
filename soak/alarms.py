"""False alarms of monitoring over many quiet months, against what it promises; and whether changes are found.

    python soak/alarms.py --seed 1 --seconds 60

The promise is at most 1% of months with any alarm, for each monitor. It is broken where so many alarms would come by
chance less than once in 10,000 such simulations. Months are independent: each has a reference of its own.
"""

import argparse
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modelyard.monitoring.rules.drift import drifted, scan
from modelyard.monitoring.rules.quality import column_quality, raised
from tests.monitoring.rules.test_degradation import DECLARED, LEVEL, first_alarm
from tests.monitoring.rules.test_false_alarms import DAILY, days, reference

PROMISED = 0.01
SURE = 1e-4
ROWS = 300
LOSSES_A_MONTH = 20
FOUND_AT_LEAST = 0.95


class Counted(msgspec.Struct):
    """How many months there were for a monitor, and in how many it alarmed; or how many changes, and how many were found."""

    of: int = 0
    hits: int = 0

    def add(self, hit: bool) -> None:
        """One more."""
        self.of, self.hits = self.of + 1, self.hits + hit

    @property
    def breaks_promise(self) -> bool:
        """Whether so many alarms are no chance under what is promised."""
        return bool(binom.sf(self.hits - 1, self.of, PROMISED) < SURE) if self.hits else False


def simulated(seed: int, seconds: float) -> dict[str, Counted]:
    """One month after the other until the time is over; 20 at least."""
    random, until = np.random.default_rng(seed), time.monotonic() + seconds
    found = {name: Counted() for name in ("drift", "quality", "performance", "changes found", "losses found")}
    while time.monotonic() < until or found["drift"].of < 20:
        against = reference(random, ROWS)
        drift = quality = False
        for window in days(random, against, ROWS, [0.0] * 30):
            drift |= bool(drifted(scan(window, against), DAILY, 0.03))
            quality |= bool(raised(column_quality(window[0].summary, against), DAILY, 0.03))
        found["drift"].add(drift)
        found["quality"].add(quality)
        changed = [0.0] * 7 + [0.4] * 6
        named = {one.column for window in days(random, against, ROWS, changed) for one in drifted(scan(window, against), DAILY, 0.03)}
        found["changes found"].add("n0" in named)
        for _ in range(LOSSES_A_MONTH):
            found["performance"].add(first_alarm(LEVEL, DECLARED, random.normal(0.72, 0.02, 30)) is not None)
        fallen = np.concatenate([random.normal(0.72, 0.02, 20), random.normal(0.66, 0.02, 10)])
        alarm = first_alarm(LEVEL, DECLARED, fallen)
        found["losses found"].add(alarm is not None and alarm > 20)
    return found


def main() -> int:
    """0 where every promise is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    found = simulated(given.seed, given.seconds)
    monitors = ("drift", "quality", "performance")
    broken = [name for name in monitors if found[name].breaks_promise]
    broken += [name for name in found if name not in monitors and found[name].hits < FOUND_AT_LEAST * found[name].of]
    sys.stdout.write("".join(f"broken: {name}\n" for name in broken))
    sys.stdout.write("; ".join(f"{name} {one.hits} of {one.of}" for name, one in found.items()) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

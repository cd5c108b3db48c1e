"""The comparison with the champion: rows of one day count as one."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from modelyard.delivery.stages.learning import FEWEST_DAYS, days_of
from modelyard.delivery.stages.splitting import AS_OF
from modelyard.monitoring.rules.comparison import paired_difference

START = datetime(2026, 1, 1, 22, tzinfo=UTC)


def rows(hours: list[int]) -> pl.DataFrame:
    return pl.DataFrame({AS_OF: [START + timedelta(hours=hour) for hour in hours]}, schema={AS_OF: pl.Datetime("us", "UTC")})


def test_rows_are_grouped_by_their_day_in_utc() -> None:
    found = days_of(rows([0, 1, 2, 26, 50, 74]))
    assert found is not None
    assert (found - found[0]).tolist() == [0, 0, 1, 2, 3, 4]


def test_fewer_days_than_tell_anything_are_no_groups() -> None:
    assert days_of(rows([24 * day for day in range(FEWEST_DAYS - 1)])) is None
    assert days_of(rows([24 * day for day in range(FEWEST_DAYS)])) is not None


def test_days_that_move_together_make_a_challenger_less_certain(random: np.random.Generator) -> None:
    days = np.repeat(np.arange(20), 200)
    labels = (random.random(days.size) < 0.5).astype(float)
    theirs, luck = random.random(days.size), random.normal(0, 0.2, 20)[days]
    ours = np.clip(theirs + (2 * labels - 1) * luck, 0, 1)  # on some days better, on some worse
    together = paired_difference("brier", labels, theirs, ours, groups=days)
    alone = paired_difference("brier", labels, theirs, ours)
    assert together.standard_error > 5 * alone.standard_error

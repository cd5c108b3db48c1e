"""A snapshot that nothing sound can be learned from ends its delivery at the check stage, which says what is wrong."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from modelyard.delivery.domain import DeliveryState, StageName
from modelyard.delivery.machine import Done, Outcome, Stopped
from modelyard.delivery.stages.data import FEWEST_ROWS, FEWEST_TEST_ROWS, check
from modelyard.delivery.stages.splitting import AS_OF
from modelyard.delivery.stages.yard import Yard, put_frame
from modelyard.storage.database import Database
from tests.delivery.rolling import brought, claim, end, job_of, with_facts

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ROWS, LEARNED = 300, 240
PLACE = pl.int_range(pl.len())


def rows(count: int = ROWS) -> pl.DataFrame:
    """Sound rows, one a minute."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    at = pl.Series(AS_OF, [start + timedelta(minutes=minute) for minute in range(count)], dtype=pl.Datetime("us", "UTC"))
    late = np.arange(count) % 2
    features = {name: np.arange(count, dtype=np.float64) for name in ("wind", "rain")}
    return pl.DataFrame({AS_OF: at, "distance": np.arange(count), **features, "late": late})


def at_one_instant(first: int) -> pl.DataFrame:
    """Rows of which all from `first` on are of one instant, so that they stand on one side of the cut."""
    found = rows()
    return found.with_columns(pl.when(first <= PLACE).then(found[AS_OF][first]).otherwise(pl.col(AS_OF)).alias(AS_OF))


def missing(name: str, first: int, last: int) -> pl.DataFrame:
    """Rows of which some lack an input."""
    return rows().with_columns(pl.when(~PLACE.is_between(first, last - 1)).then(pl.col(name)).alias(name))


def checked(yard: Yard, frame: pl.DataFrame) -> Outcome:
    """What the stage says to a snapshot."""
    return check(yard, with_facts(job_of(1, {}), {StageName.SNAPSHOT: {"file": put_frame(yard.blobs, frame)}}))


def test_sound_rows_pass_and_every_check_is_noted(yard: Yard) -> None:
    found = checked(yard, missing("wind", LEARNED, LEARNED + 12))
    assert isinstance(found, Done)
    assert (found.facts["ok"], len(found.facts["checks"])) == (True, 7)


WRONG: dict[str, tuple[pl.DataFrame, str]] = {
    "few": (rows(FEWEST_ROWS - 1), f"enough rows: {FEWEST_ROWS - 1}, expected at least {FEWEST_ROWS}"),
    "none later": (at_one_instant(200), f"enough later rows to test on: 0, expected at least {FEWEST_TEST_ROWS}"),
    "one outcome before": (rows().with_columns(late=(PLACE >= LEARNED).cast(pl.Int64) * (PLACE % 2)), "both outcomes in the training rows"),
    "one outcome after": (rows().with_columns(late=(PLACE < LEARNED).cast(pl.Int64) * (PLACE % 2)), "both outcomes in the test rows"),
    "never there": (missing("wind", 0, LEARNED), "wind is there: 100.0% before"),
    "lost": (missing("rain", LEARNED, LEARNED + 20), "rain is there: 0.0% before, 33.3% after"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_rows_that_nothing_can_be_learned_from_end_the_delivery(yard: Yard, database: Database, name: str) -> None:
    frame, said = WRONG[name]
    brought(database, StageName.SNAPSHOT)
    found = checked(yard, frame)
    assert isinstance(found, Stopped)
    ended = end(database, claim(database), found)
    stage = next(one for one in ended.stages if one.name is StageName.CHECK)
    assert (ended.delivery.state, said in stage.reason, stage.facts["ok"]) == (DeliveryState.REFUSED, True, False)

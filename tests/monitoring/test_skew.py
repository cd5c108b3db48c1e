"""Logged online values against the recomputation from source: compared, different, unverifiable."""

import msgspec
import numpy as np
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.monitoring.domain import ModelNotMonitored, ViewSkew, drift
from modelyard.monitoring.service import Span, list_skew, measure_skew
from tests.conftest import START
from tests.monitoring.world import DAY, LATE, World, drawn

HOUR = DAY // 24


@pytest.fixture
def measured(world: World) -> World:
    """A watched model whose view has a value for each hour of the first day, brought online at its end."""
    world.watch(drift())
    world.clock.advance(DAY / 1e6)
    world.bring(*range(24))
    return world


def span() -> Span:
    return Span(model=LATE, since=START, until=Instant(START + DAY))


def asked(world: World, winds: list[float], *, upto: int | None = None) -> None:
    """Logs a prediction for each of the first hours, in which `winds` were read online."""
    rows = msgspec.structs.replace(drawn(world.random, len(winds)), wind=np.array(winds))
    for n in range(len(winds)):
        one = msgspec.structs.replace(rows, wind=rows.wind[n : n + 1], carrier=["AA"], score=rows.score[n : n + 1])
        world.ask(one, at=START + n * HOUR + 5, upto=upto)


def test_values_that_were_read_as_they_are_recomputed_are_all_compared(measured: World) -> None:
    asked(measured, [0.0, 1.0, 2.0, 3.0])
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.view, found.compared, found.different, found.unverifiable) == ("weather", 4, 0, 0)


def test_a_value_that_differs_in_its_last_bit_is_skew_where_the_view_was_up_to_date(measured: World) -> None:
    asked(measured, [0.0, float(np.nextafter(1.0, 2.0)), 2.0, np.nan])
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.compared, found.different, found.unverifiable) == (4, 2, 0)


def test_a_difference_is_unverifiable_where_the_view_lagged(measured: World) -> None:
    asked(measured, [0.0, 0.0, 2.0], upto=START)
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.compared, found.different, found.unverifiable) == (2, 0, 1)


def test_comparisons_add_up_and_a_repeated_one_counts_once(measured: World) -> None:
    asked(measured, [0.0, 7.0])
    for _ in range(2):
        measure_skew(measured.database, measured.tables, span())
    with measured.database.read() as snapshot:
        (found,) = list_skew(snapshot, SYSTEM, LATE)
        assert list_skew(snapshot, SYSTEM) == [found]
    assert found == ViewSkew(
        model=LATE, view="weather", since_at=START, until_at=Instant(START + DAY), compared=2, different=1, unverifiable=0
    )


def test_only_watched_models_are_compared(world: World) -> None:
    with pytest.raises(ModelNotMonitored):
        measure_skew(world.database, world.tables, span())

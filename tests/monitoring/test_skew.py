"""Logged online values against the recomputation from source: compared, different, unverifiable."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant, moment
from modelyard.features import service as features
from modelyard.features.domain import BadLabels, Feature, FeatureSet, FeatureView, NewErasure, OnDemand, Parquet
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.stored import Histories
from modelyard.ledger.service import sequence_pending
from modelyard.monitoring.domain import AlertKind, ModelNotMonitored, SkewCause, SkewEvidence, ViewSkew, drift
from modelyard.monitoring.service import (
    Span,
    forget_examples,
    list_alerts,
    list_open_alerts,
    list_skew,
    list_skew_days,
    list_unproven,
    measure_due,
    measure_skew,
)
from modelyard.monitoring.service.comparing import Sample, _as_declared, _compared, _computed_by_day
from modelyard.serving.domain import Arm
from tests.conftest import START
from tests.monitoring.world import DAY, LATE, SET, WEATHER, World, drawn

HOUR = DAY // 24


@pytest.fixture
def measured(world: World) -> World:
    """A watched model whose view has a value for each hour of the first day, brought online at its end."""
    world.watch(drift())
    world.clock.advance(DAY / 1e6)
    world.bring(*range(24))
    return world


def one_of(world: World) -> ViewSkew:
    """All comparisons together."""
    with world.database.read() as snapshot:
        (found,) = list_skew(snapshot, SYSTEM, LATE)
    return found


on_one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


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


@on_one_database
def test_what_was_read_of_a_view_that_lagged_is_recomputed_as_it_was_then(measured: World) -> None:
    asked(measured, [0.0, 0.0, 2.0], upto=START)
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.compared, found.different, found.unverifiable) == (3, 1, 0)


@on_one_database
def test_a_difference_is_unverifiable_where_a_request_was_dated_before_what_the_store_held(measured: World) -> None:
    asked(measured, [0.0, np.nan, 2.0], upto=START + DAY)
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.compared, found.different, found.unverifiable) == (2, 0, 1)


@on_one_database
def test_nothing_is_verifiable_once_the_source_is_gone(measured: World) -> None:
    asked(measured, [0.0, 1.0])
    (measured.folder / "w.parquet").unlink()
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.compared, found.different, found.unverifiable) == (0, 0, 2)


@on_one_database
def test_where_one_source_is_gone_the_other_views_of_the_set_are_proven_all_the_same(measured: World) -> None:
    pl.DataFrame({"origin": ["JFK"], "at": [moment(START)], "rain": [1.0]}).write_parquet(measured.folder / "rain.parquet")
    rain = FeatureView("rain", WEATHER.entity, Parquet("rain.parquet", "at"), features={"rain": "float64"})
    both = features.apply_features(measured.database, SYSTEM, [FeatureSet("both", [rain, WEATHER])], measured.folder).sets[0].set
    at = [START + hour * HOUR for hour in range(3)]
    rows = pl.DataFrame({
        "id": list("abc"), "origin": ["JFK"] * 3, "at": at, "arm": [Arm.CHAMPION.value] * 3, "rain": [1.0] * 3, "wind": [0.0, 1.0, 7.0],
        "upto:rain": at, "upto:weather": at,
    })  # fmt: skip
    (measured.folder / "rain.parquet").unlink()
    sample = Sample(model=LATE, feature_set=both, rows=rows, weight=1.0)
    gone, told = _compared(measured.database, Histories(measured.tables), sample)
    assert (gone.view, gone.compared, gone.different, gone.unverifiable) == ("rain", 0, 0, 3)
    assert (told.view, told.compared, told.different, told.unverifiable) == ("weather", 3, 1, 0)


def test_reads_of_a_set_that_was_superseded_are_compared(measured: World) -> None:
    asked(measured, [0.0, 1.0])
    narrower = FeatureSet(SET.name, [FeatureView("rain", SET.views[0].entity, SET.views[0].source, features={"wind": "float64"})])
    measured.database.write(lambda tx: features.apply_view(tx, SYSTEM, narrower.views[0], str(measured.folder)))
    measured.database.write(lambda tx: features.apply_set(tx, SYSTEM, narrower))
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.view, found.compared) == ("weather", 2)


def test_what_was_computed_on_demand_is_computed_anew_from_its_logged_inputs() -> None:
    source = "def felt(wind, hops): return np.log1p(np.abs(wind)) / hops"
    felt = OnDemand("felt", (Feature("wind", "float64"), Feature("hops", "int64")), "float64", source)
    logged = [None, 0.5, float(np.log1p(3.0)), float(np.nextafter(np.log1p(3.0), 9.0)), None, None]
    rows = pl.DataFrame({
        "id": list("abcdef"), "origin": ["JFK"] * 6,
        "at": [START + hour * HOUR for hour in range(6)], "arm": [Arm.CHAMPION.value] * 5 + [Arm.FALLBACK.value],
        "wind": [1.0, float(np.expm1(0.5)), 3.0, 3.0, 3.0, None], "hops": [None, 1, 1, 1, 0, 2], "upto:weather": [START] * 5 + [None],
        "felt": logged,
    }, schema_overrides={"felt": pl.Float64})  # fmt: skip
    feature_set = FeatureSet("late", [*SET.features, felt])
    beside_another_version = _as_declared(rows.with_columns(pl.col("hops").cast(pl.Float64)), feature_set)
    for read in (rows, beside_another_version):
        (found,) = _computed_by_day(Sample(model=LATE, feature_set=feature_set, rows=read, weight=1.0))
        assert (found.view, found.compared, found.different, found.unverifiable) == ("on-demand/felt", 5, 1, 0)


@on_one_database
def test_a_model_that_cannot_be_measured_ends_no_measurement(measured: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(measured, [0.0])
    with monkeypatch.context() as patch:
        patch.setattr("modelyard.monitoring.service.skew.counted", lambda *_: (_ for _ in ()).throw(BadLabels("no", hint="")))
        assert measure_due(measured.database, measured.tables) == measure_due(measured.database, measured.tables) == 0


@on_one_database
def test_of_a_day_with_many_reads_a_sample_is_compared_the_same_one_each_time(measured: World) -> None:
    for at, size in ((START, 60), (START + DAY, 9)):
        measured.ask(drawn(measured.random, size), at=at)
    both = msgspec.structs.replace(span(), until=Instant(START + 2 * DAY))
    whole, after = measure_skew(measured.database, measured.tables, both)
    drawn_, same = measure_skew(measured.database, measured.tables, both, sample=30)
    assert (whole.compared, whole.logged, same) == (60, 60, after)
    assert 0 < drawn_.compared < 60
    assert drawn_.logged == 2 * drawn_.compared
    assert (drawn_, same) == measure_skew(measured.database, measured.tables, both, sample=30)


@on_one_database
def test_a_read_of_what_a_lagging_view_held_is_consistent_but_late_and_stale_beyond_its_promise(measured: World) -> None:
    asked(measured, [0.0, 0.0, 0.0, *[np.nan] * 5], upto=START)
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.compared, found.different, found.unverifiable) == (8, 0, 0)
    assert (found.causes, found.late, round(found.lag_s or 0)) == ({SkewCause.LATE_DATA: 5, SkewCause.STALE: 2}, 7, 7 * 3600)
    assert [(one.logged, one.recomputed) for one in found.examples] == [("0.0", "1.0"), (None, "6.0")]


@on_one_database
def test_every_difference_has_a_cause_and_an_example(measured: World) -> None:
    asked(measured, [0.0, float(np.nextafter(1.0, 2.0)), 7.0])
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.different, found.causes) == (2, {SkewCause.FLOAT: 1, SkewCause.UNKNOWN: 1})
    near, far = found.examples
    assert (near.feature, near.keys, near.logged, near.recomputed) == ("wind", {"origin": "JFK"}, "1.0000000000000002", "1.0")
    assert (far.cause, far.logged, far.recomputed, far.at) == (SkewCause.UNKNOWN, "7.0", "2.0", START + 2 * HOUR + 5)


@on_one_database
def test_a_value_of_another_version_of_the_view_is_known_by_it(measured: World) -> None:
    pl.DataFrame({"origin": ["JFK"], "at": [moment(START)], "wind": [99.0]}).write_parquet(measured.folder / "other.parquet")
    other = FeatureView("weather", WEATHER.entity, Parquet("other.parquet", "at"), features={"wind": "float64"}, ttl="3h")
    measured.database.write(lambda tx: features.apply_view(tx, SYSTEM, other, str(measured.folder)))
    asked(measured, [0.0, 99.0, 7.0])
    (found,) = measure_skew(measured.database, measured.tables, span())
    assert (found.different, found.causes) == (2, {SkewCause.DEFINITION: 1, SkewCause.UNKNOWN: 1})


def test_too_many_unverifiable_reads_open_an_alert_which_is_over_when_the_month_holds_fewer(measured: World) -> None:
    asked(measured, [0.0, np.nan, 2.0], upto=START + DAY)
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    with measured.database.read() as snapshot:
        (alert,) = list_open_alerts(snapshot, SYSTEM)
        assert [one.view for one in list_unproven(snapshot, SYSTEM)] == ["weather"]
    assert (alert.kind, alert.title) == (AlertKind.UNVERIFIED, "33.3% of the reads of weather cannot be verified, at most 1% may be")
    measured.ask(msgspec.structs.replace(drawn(measured.random, 200), wind=np.full(200, np.nan)), at=START + DAY + 6 * HOUR)
    measured.clock.advance(DAY / 1e6)
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    with measured.database.read() as snapshot:
        assert (list_open_alerts(snapshot, SYSTEM), list_unproven(snapshot, SYSTEM)) == ([], [])
        assert next(one.compared for one in list_skew_days(snapshot, SYSTEM, view="weather")) == 2


def test_a_finished_day_is_measured_once_when_its_log_is_complete(measured: World) -> None:
    asked(measured, [0.0, 1.0])
    assert measure_due(measured.database, measured.tables) == 0
    assert measure_due(measured.database, measured.tables) == 1
    assert measure_due(measured.database, measured.tables) == 0
    assert one_of(measured).compared == 2
    measured.clock.advance(DAY / 1e6)
    measured.ask(drawn(measured.random, 3), at=START + DAY)
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    assert one_of(measured).compared == 5


def test_a_day_waits_until_gateways_have_sealed_what_they_answered_in_it(measured: World) -> None:
    asked(measured, [0.0, 1.0])
    measured.gateway.beat(sealed_through_at=measured.clock.wall())
    measure_due(measured.database, measured.tables)
    measured.gateway.beat(sealed_through_at=Instant(measured.clock.wall() - 1))
    assert measure_due(measured.database, measured.tables) == 0
    measured.gateway.beat(sealed_through_at=measured.clock.wall())
    assert measure_due(measured.database, measured.tables) == 1


def test_skew_opens_an_alert_which_is_over_when_a_day_without_follows(measured: World) -> None:
    asked(measured, [0.0, 7.0])
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    with measured.database.read() as snapshot:
        (alert,) = list_open_alerts(snapshot, SYSTEM)
    assert (alert.kind, alert.subject, alert.title) == (AlertKind.SKEW, "weather", "1 of 2 reads of weather differ from its source")
    one = drawn(measured.random, 1)
    measured.ask(msgspec.structs.replace(one, wind=np.array([23.0])), at=START + DAY + HOUR)
    measured.clock.advance(DAY / 1e6)
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    with measured.database.read() as snapshot:
        assert list_open_alerts(snapshot, SYSTEM) == []
        (over,) = list_alerts(snapshot, SYSTEM)
    assert over.closed_why == "weather reads online as its source says again"


@pytest.fixture
def erase(measured: World) -> Iterator[Callable[[], object]]:
    """Erases the entity that all were asked for."""
    features.open_erasures(measured.database, ErasureKey.open(measured.folder / "erasures.key"))
    body = NewErasure(entity="origin", keys={"origin": "JFK"}, why="asked for")
    yield lambda: features.erase_entity(measured.database, measured.online, SYSTEM, body)
    open_tombstones(None)


@on_one_database
def test_examples_of_an_erased_entity_go_from_days_and_alerts_and_off_the_disk(measured: World, erase: Callable[[], object]) -> None:
    asked(measured, [0.0, 4711.0815])
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    sequence_pending(measured.database, "tests")
    with measured.database.read() as snapshot:
        (before,), (alert,) = list_skew_days(snapshot, SYSTEM), list_open_alerts(snapshot, SYSTEM)
    assert isinstance(alert.evidence, SkewEvidence)
    assert alert.evidence.example == before.examples[0]
    assert holds_in_database(measured, "4711.0815")
    assert forget_examples(measured.database) == 0
    erase()
    assert forget_examples(measured.database) == 2
    assert measured.database.forget_freed()
    with measured.database.read() as snapshot:
        assert list_skew_days(snapshot, SYSTEM) == [msgspec.structs.replace(before, examples=())]
        (after,) = list_open_alerts(snapshot, SYSTEM)
    assert after == msgspec.structs.replace(alert, evidence=msgspec.structs.replace(alert.evidence, example=None))
    assert not holds_in_database(measured, "4711.0815")


@on_one_database
def test_no_example_of_an_entity_is_kept_once_it_was_erased(measured: World, erase: Callable[[], object]) -> None:
    asked(measured, [0.0, 4711.0815])
    (before,) = measure_skew(measured.database, measured.tables, span())
    assert [one.logged for one in before.examples] == ["4711.0815"]
    erase()
    (after,) = measure_skew(measured.database, measured.tables, span())
    assert (after.different, after.examples) == (2, ())
    for _ in range(2):
        measure_due(measured.database, measured.tables)
    with measured.database.read() as snapshot:
        (alert,) = list_open_alerts(snapshot, SYSTEM)
    assert isinstance(alert.evidence, SkewEvidence)
    assert alert.evidence.example is None


def holds_in_database(world: World, text: str) -> bool:
    path = Path(str(world.database.engine.url.database))
    return any(text.encode() in one.read_bytes() for one in path.parent.glob(f"{path.name}*"))


def test_comparisons_add_up_and_a_repeated_one_counts_once(measured: World) -> None:
    asked(measured, [0.0, 7.0])
    for _ in range(2):
        measure_skew(measured.database, measured.tables, span())
    with measured.database.read() as snapshot:
        (found,) = list_skew(snapshot, SYSTEM, LATE)
        assert list_skew(snapshot, SYSTEM) == [found]
    assert found == ViewSkew(
        model=LATE, view="weather", since_at=START, until_at=Instant(START + DAY), compared=2, different=1, unverifiable=0,
        logged=2, causes={SkewCause.UNKNOWN: 1}, lag_s=0.0,
    )  # fmt: skip


def test_only_watched_models_are_compared(world: World) -> None:
    with pytest.raises(ModelNotMonitored):
        measure_skew(world.database, world.tables, span())

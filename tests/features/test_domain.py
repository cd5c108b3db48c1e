import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import polars as pl
import pytest

from modelyard.core.clock import SECOND
from modelyard.features.domain import (
    Aggregate,
    Csv,
    Delta,
    Entity,
    FeatureSet,
    FeatureView,
    InvalidDeclaration,
    Parquet,
    Source,
    Sql,
    UnknownFeature,
    Window,
    duration_text,
    duration_us,
)
from modelyard.features.rules import cadence_us

AIRPORT = Entity("origin", dtype="string")
WEATHER = FeatureView(
    "weather", entity=AIRPORT, source=Parquet("weather.parquet", timestamp="time_hour"), features=["wind_speed", "visib"], ttl="3h"
)
DELAYS = FeatureView(
    "airport_delays",
    entity=AIRPORT,
    source=Parquet("departures.parquet", timestamp="departed_at", created="recorded_at"),
    aggregate={"dep_delay": ["mean", "count"], "taxi": ["mean"]},
    windows=[Window("1h"), "7d"],
)


def test_an_aggregating_view_names_its_columns_by_column_function_and_window() -> None:
    assert DELAYS.names == (
        "dep_delay_mean_1h", "dep_delay_mean_7d", "dep_delay_count_1h", "dep_delay_count_7d", "taxi_mean_1h", "taxi_mean_7d",
    )  # fmt: skip
    assert [column.dtype for column in DELAYS.columns] == ["float64", "float64", "int64", "int64", "float64", "float64"]


def test_types_may_be_names_python_types_or_polars_types() -> None:
    by_type = FeatureView("w", Entity("origin", dtype=pl.String), WEATHER.source, features={"a": float, "b": pl.Int32, "c": pl.Boolean})
    assert [column.dtype for column in by_type.features] == ["float64", "int64", "bool"]
    assert by_type.entity == AIRPORT


@pytest.mark.parametrize(
    "declared", [AIRPORT, WEATHER, DELAYS, DELAYS["taxi_mean_1h"], FeatureSet("late", [WEATHER, DELAYS["taxi_mean_7d"]])]
)
def test_a_declaration_comes_back_from_its_wire_form_as_it_was(declared: Any) -> None:
    again = msgspec.json.decode(msgspec.json.encode(declared), type=type(declared))
    assert again == declared
    assert not hasattr(declared, "digest") or again.digest == declared.digest


def test_the_version_changes_with_what_decides_values_and_with_nothing_else() -> None:
    said = msgspec.structs.replace(WEATHER, owner="ops", description="Hourly.", freshness="3h", tags={"domain": "ops"}, personal=["visib"])
    assert said.digest == WEATHER.digest
    assert msgspec.structs.replace(WEATHER, entity=msgspec.structs.replace(AIRPORT, personal=True)).digest == WEATHER.digest
    assert msgspec.structs.replace(WEATHER, ttl="180m").digest == WEATHER.digest
    for change in ({"ttl": "2h"}, {"name": "w2"}, {"features": WEATHER.features[:1]}, {"source": Parquet("other.parquet", "time_hour")}):
        assert msgspec.structs.replace(WEATHER, **change).digest != WEATHER.digest


def test_personal_features_are_named_by_themselves_or_by_what_they_are_made_of() -> None:
    delays = msgspec.structs.replace(DELAYS, personal=["dep_delay", "taxi_mean_7d"])
    assert set(delays.personal_names) == {name for name in DELAYS.names if name.startswith("dep_delay")} | {"taxi_mean_7d"}
    assert FeatureSet("s", [WEATHER, delays["taxi_mean_7d", "taxi_mean_1h"]]).personal_names == ("taxi_mean_7d",)


@pytest.mark.parametrize("change", [{"tags": {"a": 1}}, {"tags": ["x"]}, {"tags": {"a": "\n"}}, {"tags": {"": "x"}}, {"personal": "visib"}])
def test_tags_and_personal_features_that_mean_nothing_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration):
        msgspec.structs.replace(WEATHER, **change)
    with pytest.raises(UnknownFeature, match="visibb"):
        msgspec.structs.replace(WEATHER, personal=["visibb"])


def test_a_set_is_an_ordered_selection_and_its_version_does_not_depend_on_its_name() -> None:
    picked = FeatureSet("a", [DELAYS["taxi_mean_7d", "dep_delay_count_1h"], WEATHER])
    assert picked.names == ("taxi_mean_7d", "dep_delay_count_1h", "wind_speed", "visib")
    assert picked.keys == AIRPORT.keys
    assert FeatureSet("b", picked.features).digest == picked.digest
    assert FeatureSet("a", [WEATHER, DELAYS["taxi_mean_7d", "dep_delay_count_1h"]]).digest != picked.digest


def test_an_unknown_feature_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownFeature, match="dep_delay_men_1h") as caught:
        DELAYS["dep_delay_men_1h"]
    assert caught.value.hint == "did you mean dep_delay_mean_1h?"


@pytest.mark.parametrize("function", ["p0", "p100", "p99.9999", "p-5"])
def test_a_percentile_that_is_none_is_answered_with_where_they_lie(function: str) -> None:
    with pytest.raises(InvalidDeclaration, match=function) as caught:
        Aggregate("x", function)
    assert "between p0.001 and p99.999, with at most three decimals" in caught.value.hint
    assert Aggregate("x", ["p0.001", "p99.999"]).functions == ("p0.001", "p99.999")


SOURCE = Parquet("d.parquet", timestamp="at")
WRONG: list[tuple[Any, str]] = [
    (lambda: FeatureView("v", AIRPORT, SOURCE), "either features or aggregate"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features=["x"], aggregate={"x": ["mean"]}, windows=["1h"]), "either features or aggregate"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate={"x": ["mean"]}), "go together"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate={"x": ["mean"]}, windows=["1h"], ttl="3h"), "how far back"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate={"x": ["median"]}, windows=["1h"]), "'median' is not known"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate={"x": []}, windows=["1h"]), "nothing is computed"),
    (lambda: Aggregate("x", ["p0"]), "'p0' is not known"),
    (
        lambda: FeatureView("v", AIRPORT, SOURCE, features=["x"], description="x" * 2001),
        "description of view v is .* 2,001 char",
    ),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features=["x"], owner=5), "the owner of view v is int"),  # type: ignore[arg-type]
    (lambda: Entity("a", description="x\0"), "the description of entity a"),
    (lambda: Entity("a b"), "'a b' is no name for an entity"),
    (lambda: Aggregate("x", ["mean", "mean"]), "stands twice"),
    (lambda: Aggregate("x", "mean", dtype="string"), "has no mean"),
    (lambda: Aggregate("x", "mean", where="y =="), "cannot be read at '='"),
    (lambda: Aggregate("x", "mean", where="y IN ()"), r"cannot be read at '\)'"),
    (lambda: Aggregate("x", "mean", where="(y = 1"), "cannot be read at 'the end'"),
    (lambda: Aggregate("x", "mean", where="y = 1 z"), "cannot be read at 'z'"),
    (lambda: Aggregate("x", "mean", where="y = 1 OR " * 200 + "z"), "too long"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate=[Aggregate("origin", "count")], windows=["1h"]), "'origin' is a key"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate={"at": ["count"]}, windows=["1h"]), "'at', a time"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate=[Aggregate("x", "sum", where="at > 5")], windows=["1h"]), "'at', a time"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, aggregate={"x": ["mean"]}, windows=["1h", "60m"]), "stands twice"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features=["x", "x"]), "'x' stands twice"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features=["origin"]), "'origin' is a key or a time"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features=["at"]), "'at' is a key or a time"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features={"x": complex}), "'complex'"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features=["x"], ttl="3 hours"), "no duration"),
    (lambda: FeatureView("../v", AIRPORT, SOURCE, features=["x"]), "no name"),
    (lambda: FeatureView("v", AIRPORT, SOURCE, features="x"), "list of columns"),
    (lambda: Entity("e", keys={"x": "float64"}), "no string or int64"),
    (lambda: Parquet("", timestamp="at"), "path of its files"),
    (lambda: Parquet("d.parquet", timestamp="at", created="at"), "the event time and the creation time"),
    (lambda: Window("0s"), "above zero"),
    (lambda: FeatureSet("s", []), "is empty"),
    (lambda: FeatureSet("s", [WEATHER, WEATHER["visib"]]), "comes from weather and from weather"),
    (lambda: FeatureSet("s", [WEATHER, FeatureView("v", Entity("origin", dtype="int64"), SOURCE, features=["x"])]), "also something else"),
]


@pytest.mark.parametrize(("make", "words"), WRONG)
def test_a_declaration_that_contradicts_itself_is_refused_with_a_hint(make: Any, words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words) as caught:
        make()
    assert caught.value.hint


def test_a_length_of_time_has_one_way_to_be_written() -> None:
    assert duration_text(duration_us("90m", "ttl")) == "1h30m"
    assert duration_us(duration_text(1_500), "ttl") == 1_500


def test_declaring_loads_no_numeric_library() -> None:
    check = "import sys, modelyard.features.domain; print([m for m in ('numpy', 'polars', 'sqlalchemy') if m in sys.modules])"
    said = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "path",
    [
        "http://169.254.169.254/latest", "file:///etc/passwd", "s3://bucket", "s3://bucket/../other/x", "s3://bucket/x?versionId=1",
        "S3://bucket/x", "s3:///x", "az://-/x", "gs://bucket:80/x", "data/\nx.parquet",
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [Parquet, Csv, Delta])
def test_a_source_is_a_path_or_the_address_of_an_object(kind: type[Parquet | Csv | Delta], path: str) -> None:
    with pytest.raises(InvalidDeclaration, match=r"no address that sources are read from|the path of its files"):
        kind(path, timestamp="at")
    assert kind("s3://bucket/sales/2026", timestamp="at").place == "s3://bucket/sales/2026"


def test_no_declaration_holds_a_password_and_no_error_repeats_one() -> None:
    for made in (
        lambda: Parquet("s3://key:hunter2@bucket/x", "at"),
        lambda: Sql("postgresql://reader:hunter2@db/x", table="sales", timestamp="at"),
    ):
        with pytest.raises(InvalidDeclaration) as refused:
            made()
        assert "hunter2" not in refused.value.message + refused.value.hint
        assert "features." in refused.value.hint


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Sql("w", timestamp="at"), "either a table or a query"),
        (lambda: Sql("w", table="t", query="SELECT 1", timestamp="at"), "either a table or a query"),
        (lambda: Sql("w", query="SELECT 1; DROP TABLE t", timestamp="at"), "more than one statement"),
        (lambda: Sql("a b", table="t", timestamp="at"), "no name for a connection"),
        (lambda: Csv("x.csv", "at", separator="||"), "cannot separate"),
        (lambda: Csv("x.csv", "at", columns={"x": list}), "'list', which features do not have"),
        (lambda: Csv("x.csv", "at", "at"), "is the event time and the creation time"),
        (lambda: Delta("x/*", "at"), "is a pattern"),
        (lambda: Delta("x", "at", version=-1), "no Delta table has a version -1"),
    ],
)
def test_a_source_that_contradicts_itself_is_refused(made: Callable[[], object], words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words):
        made()


@pytest.mark.parametrize(
    "source",
    [
        Parquet("w.parquet", "at", "seen"),
        Csv("w.csv", "at", separator=";", columns={"x": float, "seen": "time"}),
        Delta("w", "at", version=0),
        Sql("w", query="SELECT 1", timestamp="at", columns={"x": "int64"}),
    ],
    ids=lambda source: source.kind,
)
def test_every_kind_of_source_survives_the_wire_with_its_digest(source: Source) -> None:
    view = FeatureView("v", Entity("origin"), source, features=["x"])
    assert msgspec.json.decode(msgspec.json.encode(view), type=FeatureView) == view
    assert view.digest != FeatureView("v", Entity("origin"), Parquet("other.parquet", "at"), features=["x"]).digest


def test_how_often_a_view_is_brought_online_is_declared_or_follows_and_makes_no_new_version() -> None:
    def view(**given: str) -> FeatureView:
        return FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=["wind"], **given)  # type: ignore[arg-type]

    declared: list[dict[str, str]] = [{"every": "5m"}, {"every": "2h", "freshness": "3h"}, {"freshness": "3h"}, {"ttl": "30d"}, {}]
    assert [cadence_us(view(**one)) // SECOND for one in declared] == [300, 7200, 1080, 3600, 600]
    assert view(every="300s", ttl="3h").digest == view(ttl="3h").digest
    assert view(every="300s").every == "5m"
    with pytest.raises(InvalidDeclaration, match="every 4h and promises a freshness of 3h"):
        view(every="4h", freshness="3h")
    with pytest.raises(InvalidDeclaration, match="every 30s"):
        view(every="30s")

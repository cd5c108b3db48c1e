"""Point-in-time joins and labels from files: what is sent, in which parts, and what is said about files that do not fit."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from msgspec.structs import replace

from modelyard.access.domain import SYSTEM, Role
from modelyard.cli import features as features_commands
from modelyard.cli.features import _entity
from modelyard.cli.labels import Columns, _batches, _rows
from modelyard.core.errors import InvalidInput
from modelyard.features import service as features
from modelyard.features.domain import Entity, Feature, FeatureSet, FeatureView, OnDemand, Parquet, Push
from tests.cli.conftest import Yard
from tests.server.conftest import Running

VIEW = FeatureView("cli_weather", Entity("origin"), Parquet("weather.parquet", "at"), features={"wind": "float64"}, ttl="3h")
SET = FeatureSet("cli_features", [VIEW])
HOURS = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(4)]
Become = Callable[[Role], None]


@pytest.fixture
def applied(running: Running, tmp_path: Path, as_role: Become) -> pl.DataFrame:
    """Label rows, and the set that they are joined with, applied over a source of the test's own."""
    weather = pl.DataFrame({"origin": "JFK", "at": HOURS, "wind": [1.0, 2.0, 3.0, 4.0]}).with_columns(pl.col("at").dt.cast_time_unit("us"))
    weather.write_parquet(tmp_path / "weather.parquet")
    database = running.installation.database
    database.write(lambda tx: features.apply_view(tx, SYSTEM, VIEW, str(tmp_path)))
    database.write(lambda tx: features.apply_set(tx, SYSTEM, SET))
    as_role(Role.CONTRIBUTOR)
    rows = pl.DataFrame({"origin": ["JFK", "LGA", "JFK"], "asked": [HOURS[1], HOURS[1], HOURS[3]], "late": [1, 0, 1]})
    rows.write_parquet(tmp_path / "rows.parquet")
    return rows


def test_a_join_keeps_the_rows_and_adds_what_was_visible_then(
    yard: Yard, applied: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features_commands, "BATCH_ROWS", 2)
    said = yard("features", "join", "cli_features", "rows.parquet", "--out", "out.parquet", "--json")
    assert (said.code, said.json["rows"], said.json["missing"]) == (0, 3, {"wind": 1}), said.out
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found.select(applied.columns).equals(applied)
    assert found["wind"].to_list() == [2.0, None, 4.0]
    assert not (tmp_path / "out.parquet.partial").exists()


def test_a_join_says_which_column_or_file_is_wrong(yard: Yard, applied: pl.DataFrame, tmp_path: Path) -> None:
    join = ("features", "join", "cli_features")
    assert "did you mean asked?" in yard(*join, "rows.parquet", "--as-of", "askd", "--out", "o.parquet").err
    assert "neither Parquet nor CSV" in yard(*join, "rows.txt", "--out", "o.parquet").err
    assert "the file of the labels" in yard(*join, "rows.parquet", "--out", "rows.parquet").err
    applied.drop("asked").write_parquet(tmp_path / "timeless.parquet")
    assert "0 columns of times" in yard(*join, "timeless.parquet", "--out", "o.parquet").err


def test_views_are_listed_shown_and_brought_online(yard: Yard, running: Running, applied: pl.DataFrame, tmp_path: Path) -> None:
    view = replace(VIEW, name="cli_sky")
    running.installation.database.write(lambda tx: features.apply_view(tx, SYSTEM, view, str(tmp_path)))
    assert "not online" in yard("features", "list", "cli_sky").out
    assert yard("features", "list", "cli_sky", "--stale").out == "no view fits\n"
    shown = yard("features", "show", "cli_sky").out
    for words in ("never brought online", "every 18 min", 'cli_sky["wind"]', "Parquet weather.parquet"):
        assert words in shown
    assert yard("features", "show", "cli_sky", "--json").json["freshness"]["every_s"] == 1080.0
    brought = yard("features", "materialize", "cli_sky", "--upto", "2026-01-01T01:30Z", "--json").json
    assert [(one["view"], one["rows"], one["entities"]) for one in brought] == [("cli_sky", 2, 1)]
    assert "2026-01-01 03:00" in yard("features", "materialize", "cli_sky").out
    assert "did you mean cli_sky?" in yard("features", "materialize", "cli_ski").err
    assert "2026-01-31T06:00Z" in yard("features", "materialize", "cli_sky", "--upto", "soon").err


def test_values_online_are_asked_for_by_key_or_by_name(yard: Yard, applied: pl.DataFrame) -> None:
    said = yard("features", "get", "cli_features", "JFK", "origin=LGA", "--json")
    assert said.json["missing"] == {"wind": {"0": "not_materialized", "1": "not_materialized"}}
    assert "not materialized" in yard("features", "get", "cli_features", "JFK").out
    assert "did you mean origin?" in yard("features", "get", "cli_features", "orign=JFK").err
    assert "origin=JFK" in yard("features", "get", "cli_features").err


def test_views_are_brought_online_and_a_range_of_events_anew(yard: Yard, applied: pl.DataFrame) -> None:
    brought = yard("features", "materialize", "cli_weather", "--json")
    assert (brought.code, brought.json[0]["rows"], brought.json[0]["entities"]) == (0, 4, 1), brought.err
    assert "cli_weather" in yard("features", "materialize").out
    anew = yard("features", "materialize", "cli_weather", "--since", "2026-01-01T02:00:00", "--until", "2026-01-01", "--json")
    assert "`since` that lies before" in anew.json["error"]["hint"]
    anew = yard("features", "materialize", "cli_weather", "--since", "2026-01-01T02:00:00", "--json")
    assert (anew.json[0]["rows"], anew.json[0]["entities"]) == (2, 1), anew.out
    assert "events since" in yard("features", "materialize", "cli_weather", "--since", "2026-01-01T02:00:00").out
    assert "give --since" in yard("features", "materialize", "cli_weather", "--until", "2026-01-01").err
    assert "no view is named" in yard("features", "materialize", "--since", "2026-01-01").err
    assert "did you mean cli_weather?" in yard("features", "materialize", "cli_weathr").err


def test_fields_that_on_demand_features_read_are_written_as_keys_are() -> None:
    inputs = (Feature("wind", "float64"), Feature("hops", "int64"), Feature("hub", "bool"), Feature("gust", "float64"))
    felt = OnDemand("felt", inputs, "float64", "def felt(wind, hops, hub, gust): return np.where(hub, wind * hops, gust)")
    found = FeatureSet("cli_features", [VIEW, felt])
    assert _entity(found, "JFK") == {"origin": "JFK"}
    assert _entity(found, "origin=JFK,hops=3,hub=true,gust=0.5") == {"origin": "JFK", "hops": 3, "hub": True, "gust": 0.5}
    for text, words in (("origin=JFK,hub=yes", "hub is bool"), ("origin=JFK,gust=x", "gust is float64"), ("hops=3", "has no origin")):
        with pytest.raises(InvalidInput, match=words):
            _entity(found, text)


def test_a_file_is_pushed_in_parts_and_pushed_again_counts_once(
    yard: Yard, running: Running, as_role: Become, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = Push("cli_clicks", "at", columns={"user": str, "amount": float})
    view = FeatureView("cli_last_click", Entity("user"), clicks, features={"amount": "float64"})
    running.installation.database.write(lambda tx: features.apply_view(tx, SYSTEM, view, str(tmp_path)))
    running.installation.database.write(lambda tx: features.apply_set(tx, SYSTEM, FeatureSet("cli_last", [view])))
    as_role(Role.CONTRIBUTOR)
    monkeypatch.setattr(features_commands, "PUSHED_AT_ONCE", 2)
    pl.DataFrame({"user": ["ann", "bob", "ann"], "at": HOURS[:3], "amount": [1.0, None, 2.5]}).write_parquet(tmp_path / "clicks.parquet")
    first, again = (yard("features", "push", "cli_clicks", "clicks.parquet", "--json") for _ in range(2))
    assert (first.code, [one["events"] for one in first.json]) == (0, [2, 1]), first.out + first.err
    assert again.json == first.json
    assert yard("features", "get", "cli_last", "ann", "--json").json["columns"] == {"amount": [2.5]}
    assert "did you mean cli_clicks?" in yard("features", "push", "cli_click", "clicks.parquet").err
    pl.DataFrame({"user": ["ann"], "when": HOURS[:1]}).write_parquet(tmp_path / "clicks.parquet")
    assert "no column 'when'" in yard("features", "push", "cli_clicks", "clicks.parquet").err


def test_labels_go_by_id_or_by_keys_with_their_time_in_microseconds() -> None:
    rows = pl.DataFrame({"origin": ["JFK", "LGA"], "late": [True, None], "landed": [HOURS[1], HOURS[2]]})
    by_keys = Columns(value="late", at="landed", keys=("origin",))
    (batch,) = _batches(_rows(rows, by_keys), by_keys)
    assert batch == [{"value": 1.0, "at": 1_767_229_200_000_000, "keys": {"origin": "JFK"}}]
    by_id = Columns(value="late", at="")
    named = pl.DataFrame({"id": ["a", "b"], "late": [0, 1]})
    assert list(_batches(_rows(named, by_id), by_id)) == [[{"id": "a", "value": 0.0}, {"id": "b", "value": 1.0}]]


def test_a_file_of_labels_that_names_no_prediction_is_refused(yard: Yard, applied: pl.DataFrame) -> None:
    said = yard("log", "labels", "nothing", "rows.parquet", "--value", "late")
    assert said.code == 1
    assert "no column 'id'" in said.err


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pl.Series([b"x"]), "'at' is Binary, which events do not have"),
        (pl.Series([{"a": 1}]), "'at' is Struct"),
        (pl.Series([2**31 - 1], dtype=pl.Int32).cast(pl.Date), "2147483647 days since 1970, outside of the years 1 to 9999"),
        (pl.Series([2**62]).cast(pl.Datetime("us")), "4611686018427387904 us since 1970"),
    ],
)
def test_what_events_have_no_form_for_is_not_pushed(tmp_path: Path, column: pl.Series, words: str) -> None:
    column.alias("at").to_frame().write_parquet(tmp_path / "events.parquet")
    with pytest.raises(InvalidInput, match=words):
        features_commands.push("clicks", tmp_path / "events.parquet")


def test_numbers_that_become_nulls_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pl.DataFrame({"amount": [1.0, float("nan"), float("inf"), None], "item": [1, 2, 3, 4]})
    features_commands._check_pushable(frame, Path("events.parquet"))
    assert capsys.readouterr().err.startswith("2 numbers of events.parquet are NaN or infinite")

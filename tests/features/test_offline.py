from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from msgspec.structs import replace

from modelyard.features import history, service
from modelyard.features.domain import BadLabels, Entity, FeatureSet, FeatureView, Parquet, SourceUnreadable
from modelyard.features.history import load_history
from modelyard.features.offline import Roots, TrainingRows, instants_of, offline_values, training_rows
from tests.features.conftest import AIRPORT, LATE, NOON, WEATHER, at, write_weather


@pytest.fixture
def roots(root: Path) -> Roots:
    return dict.fromkeys(("weather", "delays"), root)


def labels(**more: Any) -> pl.DataFrame:
    rows = {
        "flight": [1, 2, 3, 4],
        "origin": ["JFK", "LGA", None, "JFK"],
        "ask": [at(3), at(2), at(2), at(3)],
        "late": [True, False, None, True],
    }
    return pl.DataFrame(rows | more)


def trained(roots: Roots, frame: pl.DataFrame, as_of: str = "ask") -> TrainingRows:
    root = next(iter(roots.values()))
    return training_rows(service.resolved_set(LATE, root), frame, as_of, roots)


def test_training_rows_are_the_label_rows_with_their_features_beside_them(roots: Roots) -> None:
    found = trained(roots, labels())
    assert found.frame.select(labels().columns).equals(labels())
    assert found.frame.columns[-4:] == ["wind_speed", "sky", "delay_mean_1h", "delay_count_7d"]
    assert found.frame["wind_speed"].to_list() == [3.5, None, None, 3.5]
    assert found.frame["delay_count_7d"].to_list() == [2, 0, None, 2]
    assert [(use.view, use.rows) for use in found.sources] == [("weather", 6), ("delays", 3)]
    assert found.profile.rows == 4


def test_the_same_request_on_the_same_data_has_the_same_digest_whatever_the_layout(roots: Roots, root: Path) -> None:
    first = trained(roots, labels())
    pl.read_parquet(root / "weather.parquet").reverse().write_parquet(root / "weather.parquet", row_group_size=2)
    again = trained(roots, labels())
    assert again.digest == first.digest
    assert again.profile == first.profile
    assert again.sources[0].source != first.sources[0].source


@pytest.mark.parametrize(
    ("as_of", "zone"), [("2026-01-01 15:00", None), ("2026-01-01 15:00", "UTC"), ("2026-01-01 10:00", "America/New_York")]
)
def test_instants_may_be_in_any_zone_and_those_without_one_are_utc(roots: Roots, as_of: str, zone: str | None) -> None:
    ask = pl.Series([as_of] * 4).str.to_datetime("%Y-%m-%d %H:%M", time_unit="ns").dt.replace_time_zone(zone)
    assert trained(roots, labels().with_columns(ask.alias("ask"))).frame["wind_speed"].to_list() == [3.5, None, None, 3.5]


@pytest.mark.parametrize(
    ("frame", "as_of", "words"),
    [
        (labels().drop("origin"), "ask", "no key 'origin'"),
        (labels().with_columns(origin=pl.lit(5)), "ask", "not string"),
        (labels(), "asked", "no column 'asked'"),
        (labels(), "flight", "not a time"),
        (labels(ask=[at(1), None, None, at(2)]), "ask", "2 label rows have no instant"),
        (
            labels(ask=pl.Series([0, 2**62, 0, 0]).cast(pl.Datetime("us"))),
            "ask",
            "1 label rows lie outside .* 4611686018427387904 us",
        ),
        (labels(ask=pl.Series([0, 0, 0, 2**31 - 1], dtype=pl.Int32).cast(pl.Date)), "ask", "such as at 2147483647 days since 1970"),
        (labels(sky=["a"] * 4), "ask", "'sky' already"),
    ],
)
def test_label_rows_that_cannot_be_joined_are_refused_with_a_hint(frame: pl.DataFrame, as_of: str, words: str, roots: Roots) -> None:
    with pytest.raises(BadLabels, match=words) as caught:
        trained(roots, frame, as_of)
    assert caught.value.hint


def test_no_label_rows_give_no_rows_in_the_right_columns(roots: Roots) -> None:
    frame = trained(roots, labels().clear()).frame
    assert frame.height == 0
    assert frame.schema["delay_mean_1h"] == pl.Float64
    assert frame.schema["sky"] == pl.String


def test_a_source_that_has_lost_all_its_rows_gives_no_training_set(roots: Roots, root: Path) -> None:
    trained(roots, labels())
    pl.read_parquet(root / "weather.parquet").clear().write_parquet(root / "weather.parquet")
    with pytest.raises(SourceUnreadable, match="it holds no rows"):
        trained(roots, labels())


def test_the_values_are_the_same_with_little_memory(roots: Roots, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved, frame = service.resolved_set(LATE, root), labels()
    plenty = offline_values(resolved, frame, instants_of(frame, "ask"), roots)
    monkeypatch.setattr("modelyard.features.offline.HISTORY_BYTES", 1)
    little = offline_values(resolved, frame, instants_of(frame, "ask"), roots)
    assert little[0].equals(plenty[0])
    assert [replace(use, history=None) for use in little[1]] == list(plenty[1])
    assert all(use.history is not None for use in little[1])


def test_a_source_is_read_once_until_it_changes(root: Path) -> None:
    view = service.resolved_view(WEATHER, root)
    first = load_history(view, root)
    assert load_history(view, root) is first
    write_weather(root, 7)
    assert load_history(view, root).rows.height == 7
    assert sum(one[1] == root for one in history._kept) == 1


def test_a_folder_and_a_pattern_are_sources_too(tmp_path: Path) -> None:
    for day in range(3):
        frame = pl.DataFrame({"origin": ["JFK"], "time_hour": [at(day)], "wind_speed": [float(day)]})
        frame.write_parquet(tmp_path / f"day{day}.parquet")
    for path in (".", "day*.parquet"):
        view = service.resolved_view(FeatureView("w", AIRPORT, Parquet(path, "time_hour"), features=["wind_speed"]), tmp_path)
        assert load_history(view, tmp_path).rows["wind_speed"].to_list() == [0.0, 1.0, 2.0]


def test_a_value_that_its_type_cannot_hold_is_refused_when_it_is_read(tmp_path: Path) -> None:
    for last in (2**63 - 1, 2**63):
        frame = pl.DataFrame({"origin": ["JFK"] * 2, "at": [NOON] * 2, "x": pl.Series([1, last], dtype=pl.UInt64)})
        frame.write_parquet(tmp_path / f"{last}.parquet")
    view = service.resolved_view(FeatureView("w", AIRPORT, Parquet(f"{2**63 - 1}.parquet", "at"), features=["x"]), tmp_path)
    assert load_history(view, tmp_path).rows["x"].to_list() == [1, 2**63 - 1]
    (tmp_path / f"{2**63}.parquet").replace(tmp_path / f"{2**63 - 1}.parquet")
    with pytest.raises(SourceUnreadable, match="'x' holds 9223372036854775808 and int64 ends"):
        load_history(view, tmp_path)


def test_keys_of_several_columns_join_across_types_of_one_kind(tmp_path: Path) -> None:
    rows = {"origin": ["JFK", "LGA"], "number": pl.Series([1, 1], dtype=pl.Int16), "at": [NOON, NOON], "x": [1.5, 2.5]}
    pl.DataFrame(rows).write_parquet(tmp_path / "x.parquet")
    route = Entity("route", keys={"origin": "string", "number": "int64"})
    view = service.resolved_view(FeatureView("w", route, Parquet("x.parquet", "at"), features=["x"]), tmp_path)
    keys = pl.DataFrame({"number": pl.Series([1, 2, 1], dtype=pl.UInt8), "origin": pl.Series(["LGA", "JFK", "JFK"], dtype=pl.Categorical)})
    instants = np.full(3, int((NOON + timedelta(hours=1)).timestamp() * 1_000_000))
    assert offline_values(FeatureSet("s", [view]), keys, instants, {"w": tmp_path})[0]["x"].to_list() == [2.5, None, 1.5]

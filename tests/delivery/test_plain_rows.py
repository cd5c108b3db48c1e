"""Models without feature views: rows without times, cut by a hash of their inputs, and what a declaration of them may say."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import modelyard
from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.stages.data import data_checks, learnable
from modelyard.delivery.stages.splitting import places, split, split_again
from modelyard.features.domain import Entity, FeatureView, InvalidDeclaration, Parquet
from modelyard.sdk.declarations import ATTRIBUTE

FILE = "plain.parquet"
COUNT = 2000
SHARED: dict[str, Any] = {
    "owner": "ops",
    "risk": "minimal",
    "purpose": "Tell.",
    "label": "late",
    "request": {"hub": str, "distance": float},
}


def plain(**changes: Any) -> ModelDeclaration:
    """A model that is asked with all that it reads."""

    def told(rows: pl.DataFrame) -> pl.DataFrame:
        return rows

    noted = modelyard.model(**{**SHARED, "rows": modelyard.rows(FILE), **changes})(told)
    declaration: ModelDeclaration = getattr(noted, ATTRIBUTE)
    return declaration


def frame() -> pl.DataFrame:
    """Rows without times, some of them without a value or a label."""
    random = np.random.default_rng(3)
    hubs = [None if one == 4 else f"hub {one}" for one in random.integers(0, 5, COUNT).tolist()]
    late = [None if one == 9 else one % 2 for one in random.integers(0, 10, COUNT).tolist()]
    return pl.DataFrame({"hub": hubs, "distance": random.normal(size=COUNT).round(2), "note": ["x"] * COUNT, "late": late})


def test_rows_without_times_give_the_same_snapshot_in_whatever_order_they_lie(tmp_path: Path) -> None:
    found = []
    for rows in (frame(), frame().reverse(), frame().sample(fraction=1.0, shuffle=True, seed=1)):
        rows.write_parquet(tmp_path / FILE)
        found.append(learnable(plain(), tmp_path, Instant(0)))
    assert len({one.digest for one in found}) == 1
    assert found[0].frame.columns == ["hub", "distance", "late"]
    assert found[0].frame.height == frame()["late"].count()


def test_a_row_stays_on_its_side_whatever_comes_to_it_and_no_inputs_are_on_both() -> None:
    rows = frame().drop_nulls("late")
    learned, unseen = split(rows, plain())
    assert 0.15 < unseen.height / rows.height < 0.25
    assert unseen.join(learned, on=["hub", "distance"], how="semi", nulls_equal=True).is_empty()
    more = pl.concat([rows.with_columns(pl.col("distance") + 0.001), rows]).sort("distance")
    again, _ = split(more, plain())
    assert learned.join(again, on=rows.columns, how="anti", nulls_equal=True).is_empty()
    _, larger = split(rows, plain(holdout=0.3))
    assert unseen.join(larger, on=rows.columns, how="anti", nulls_equal=True).is_empty()
    assert split(rows, plain(request={"distance": float, "hub": str}))[0].equals(learned)


def test_rows_are_learned_from_in_the_types_that_requests_bring(tmp_path: Path) -> None:
    asked = {"count": int, "distance": float}
    rows = pl.DataFrame({"count": range(100), "distance": range(100), "late": [0, 1] * 50})
    found = []
    for count in (pl.Int64, pl.Int16, pl.Float32):
        rows.with_columns(pl.col("count").cast(count)).write_parquet(tmp_path / FILE)
        found.append(learnable(plain(request=asked), tmp_path, Instant(0)).frame)
    assert [one.schema["distance"] for one in found] == [pl.Float64] * 3
    sides = [split(one, plain(request=asked))[0]["count"].to_list() for one in found]
    assert sides[0] == sides[1] == sides[2]


@pytest.mark.parametrize(
    ("column", "said"), [([1.0, 1.5], "holds 1.5"), ([1.0, float("inf")], "holds inf"), (["1", "2"], "is String"), ([[1], [2]], "is List")]
)
def test_rows_that_hold_what_no_request_brings_are_refused(tmp_path: Path, column: list[Any], said: str) -> None:
    pl.DataFrame({"count": column, "late": [0, 1]}).write_parquet(tmp_path / FILE)
    with pytest.raises(InvalidInput) as refused:
        learnable(plain(request={"count": int}), tmp_path, Instant(0))
    assert said in refused.value.message


def test_places_are_those_of_every_release() -> None:
    rows = pl.DataFrame({"a": [1, None], "b": [-0.0, float("nan")], "c": [True, None], "d": ["é", None]})
    assert places(rows, rows.columns).round(9).to_list() == [0.177461846, 0.302490891]
    same = rows.with_columns(pl.col("a").cast(pl.Int8), b=pl.Series([0.0, float("nan")]))
    assert places(same, rows.columns).equals(places(rows, rows.columns))


def test_checks_speak_of_training_and_test_where_rows_have_no_times() -> None:
    checks = {one["name"]: one for one in data_checks(frame().drop_nulls("late"), plain())}
    assert all(one["passed"] for one in checks.values())
    assert "enough rows to test on" in checks
    assert "in training" in checks["hub is there"]["got"]


def test_what_a_study_may_tune_on_is_checked_by_its_own_cut_for_the_first_would_leave_nothing_to_test_on() -> None:
    seen, _ = split(frame().drop_nulls("late"), plain())
    assert [one["name"] for one in data_checks(seen, plain(), split_again) if not one["passed"]] == []


AIRPORTS = FeatureView("weather", Entity("origin"), Parquet("w.parquet", timestamp="at"), features=["wind"])
TIMED = {"timestamp": "at", "known": "seen"}
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "views": ({"features": [AIRPORTS]}, "no times to read them at"),
    "as_of": ({"as_of": "at"}, "as_of is given"),
    "no as_of": ({"rows": ("x.parquet", TIMED)}, "as_of is left out"),
    "event alone": ({"rows": ("x.parquet", {"timestamp": "at"})}, "an event time alone"),
    "known alone": ({"rows": ("x.parquet", {"known": "at"})}, "the time a label became known alone"),
    "history": ({"rows": ("x.parquet", {"history": "9d"})}, "no history bounds them"),
    "nothing": ({"request": {}}, "reads nothing"),
}


@pytest.mark.parametrize("case", WRONG)
def test_times_are_there_together_or_not_at_all(case: str) -> None:
    changes, said = WRONG[case]
    with pytest.raises(ModelyardError) as refused:
        given = changes.get("rows")
        plain(**changes | ({"rows": modelyard.rows(given[0], **given[1])} if given else {}))
    assert said in refused.value.message


def test_a_view_needs_event_times() -> None:
    with pytest.raises(InvalidDeclaration) as refused:
        FeatureView("weather", Entity("origin"), Parquet("w.parquet"), features=["wind"])
    assert "no column of event times" in refused.value.message

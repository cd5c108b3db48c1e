"""The log as tables: every bit comes back, whatever mix of models and versions, and labels meet their predictions once."""

import math
import struct
import uuid

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.serving import records
from modelyard.serving.domain import Cell
from modelyard.serving.log.frames import CellKind, Field, Frame, LabelFrame, Layout, PredictionFrame
from modelyard.serving.tabular import LABEL_SCHEMA, PREDICTION_SCHEMA, labelled, labels_of, predictions_of, spread

KINDS: dict[CellKind, st.SearchStrategy[Cell]] = {
    "float": st.floats(width=64) | st.none(),
    "integer": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "boolean": st.booleans() | st.none(),
    "text": st.text(max_size=5) | st.none(),
}


def bits(cell: Cell) -> object:
    """`cell`, told apart to the last bit."""
    return struct.pack("<d", cell) if isinstance(cell, float) else (type(cell), cell)


@st.composite
def logged(draw: st.DrawFn) -> tuple[Layout, PredictionFrame]:
    """A layout and a frame of it."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6))
    roles = ("key", "request", "feature", "age", "upto")
    fields = tuple(Field(f"c{place}", draw(st.sampled_from(roles)), kind) for place, kind in enumerate(kinds))
    rows = draw(st.integers(1, 4))
    columns = [draw(st.lists(KINDS[kind], min_size=rows, max_size=rows) | st.lists(KINDS[kind], min_size=1, max_size=1)) for kind in kinds]
    layout = Layout("m", draw(st.integers(1, 3)), fields)
    reasons = draw(st.just([]) | st.lists(st.none() | st.just("stale"), min_size=rows, max_size=rows))
    ids = b"".join(uuid.uuid4().bytes for _ in range(rows))
    values = draw(st.lists(st.floats(), min_size=rows, max_size=rows))
    return layout, PredictionFrame(layout.key, Instant(5), Instant(6), 2, "champion", 7, ids, values, columns, reasons)


@given(st.lists(logged(), min_size=1, max_size=4))
def test_every_cell_of_every_frame_comes_back_from_the_table(given_frames: list[tuple[Layout, PredictionFrame]]) -> None:
    frames: list[Frame] = [one for pair in given_frames for one in pair]
    table = predictions_of(frames, "seg_1")
    assert table is not None
    assert dict(table.schema) == PREDICTION_SCHEMA
    rows = {row["id"]: row for row in table.to_dicts()}
    for layout, frame in given_frames:
        for row in range(len(frame.values)):
            expected = records.of_frame(layout, frame, row, source="gateway")
            found = records.of_row(rows[expected.id])
            assert (found.version, found.revision, found.arm, found.reason) == (expected.version, 2, expected.arm, expected.reason)
            assert bits(found.value) == bits(frame.values[row])
            for name in ("keys", "request", "features", "ages_us", "upto_at"):
                left, right = getattr(found, name), getattr(expected, name)
                assert {key: bits(cell) for key, cell in left.items()} == {key: bits(cell) for key, cell in right.items()}


def test_versions_with_other_fields_are_spread_side_by_side() -> None:
    one = Layout("m", 1, (Field("origin", "key", "text"), Field("wind", "feature", "float"), Field("weather", "age", "integer")))
    two = Layout("m", 2, (Field("origin", "key", "text"), Field("snow", "feature", "boolean")))
    ids = [uuid.uuid4().bytes for _ in range(2)]
    frames: list[Frame] = [
        one,
        PredictionFrame(one.key, Instant(1), Instant(1), 1, "champion", 1, ids[0], [0.5], [["JFK"], [0.1], [30]]),
        two,
        PredictionFrame(two.key, Instant(2), Instant(2), 2, "champion", 1, ids[1], [0.6], [["LGA"], [True]]),
    ]
    table = predictions_of(frames, "seg_1")
    assert table is not None
    found = spread(table).sort("at").select("version", "origin", "wind", "snow", "age:weather", "keys").rows()
    assert found == [(1, "JFK", 0.1, None, 30, '["JFK"]'), (2, "LGA", None, True, None, '["LGA"]')]
    assert spread(table, ["wind"]).columns[-1] == "wind"
    assert "origin" not in spread(table, ["wind"]).columns


def test_a_segment_without_predictions_or_labels_gives_no_rows() -> None:
    assert predictions_of([], "seg_1") is None
    assert labels_of([], "seg_1") is None


def labels(*rows: tuple[str | None, str | None, int, int, float]) -> pl.LazyFrame:
    """Labels by id, keys, event time, arrival and value."""
    frames = [LabelFrame("m", Instant(wall), [name], [keys], [Instant(at)], [value]) for name, keys, at, wall, value in rows]
    table = labels_of(frames, "seg_1")
    assert table is not None
    assert dict(table.schema) == LABEL_SCHEMA
    return table.lazy()


def predictions(*rows: tuple[str, str | None, int]) -> pl.LazyFrame:
    """Predictions by id, keys and event time."""
    frame = pl.LazyFrame(rows, schema={"id": pl.String, "keys": pl.String, "at": pl.Int64}, orient="row")
    return frame.with_columns(model=pl.lit("m"))


def joined(made: pl.LazyFrame, truth: pl.LazyFrame) -> dict[str, tuple[float, int]]:
    """The label of each prediction that has one, and its time."""
    return {row[0]: row[1:] for row in labelled(made, truth).select("id", "label", "label_at").collect().rows()}


def test_the_first_label_of_a_prediction_counts() -> None:
    truth = labels(("a", None, 9, 20, 0.0), ("a", None, 8, 10, 1.0), ("b", None, 9, 20, 0.5))
    assert joined(predictions(("a", None, 1), ("c", None, 1)), truth) == {"a": (1.0, 8)}


def test_a_label_by_keys_is_for_the_predictions_before_it_up_to_the_label_before() -> None:
    made = predictions(("a", "[1]", 10), ("b", "[1]", 20), ("c", "[1]", 31), ("d", "[2]", 10), ("e", "[1]", 99), ("f", None, 1))
    truth = labels((None, "[1]", 20, 5, 0.2), (None, "[1]", 40, 5, 0.4), (None, "[3]", 40, 5, 0.9))
    assert joined(made, truth) == {"a": (0.2, 20), "b": (0.2, 20), "c": (0.4, 40)}


def test_a_label_that_names_the_prediction_wins_over_one_by_keys() -> None:
    truth = labels((None, "[1]", 20, 1, 0.2), ("a", None, 50, 9, 1.0))
    assert joined(predictions(("a", "[1]", 10), ("b", "[1]", 10)), truth) == {"a": (1.0, 50), "b": (0.2, 20)}


def test_a_label_counts_for_its_own_model_alone() -> None:
    made = pl.concat([predictions(("a", "[1]", 10)), predictions(("b", "[1]", 10), ("c", None, 10)).with_columns(model=pl.lit("other"))])
    truth = labels((None, "[1]", 20, 5, 0.2), ("c", None, 20, 5, 0.7))
    assert joined(made, truth) == {"a": (0.2, 20)}


def test_not_a_number_stays_one() -> None:
    layout = Layout("m", 1, (Field("x", "feature", "float"),))
    frame = PredictionFrame(layout.key, Instant(1), Instant(1), 1, "shadow", 1, uuid.uuid4().bytes, [math.nan], [[math.nan]])
    table = predictions_of([layout, frame], "s")
    assert table is not None
    assert math.isnan(spread(table)["x"][0])
    assert math.isnan(table["value"][0])

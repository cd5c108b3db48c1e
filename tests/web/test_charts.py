"""Charts: specifications that the grammar accepts, and drawings that carry every value and no code."""

import re
import xml.etree.ElementTree as ET

import altair
import msgspec
import pytest

from modelyard.web.charts import (
    Band,
    Bar,
    Bin,
    Chart,
    Dot,
    Event,
    Plane,
    Point,
    Series,
    bars,
    drawn,
    histograms,
    lines,
    png,
    scatter,
    spec_text,
    svg,
)
from tests.web import gallery_data as data

HOSTILE = "</svg><script>alert(1)</script>\"'\\ {{x}} ${y} a.b[0]"
NUMBERS = Plane(x="step", y="loss", is_time=False)
ALL = {
    "lines over time": data.performance(),
    "lines over steps": data.loss(),
    "bars": data.drift(),
    "histograms": data.shift(),
    "scatter": data.trade(),
    "no point": lines("nothing", (), NUMBERS),
    "one point": lines("one", (Series(name="a", points=[Point(0, 1.0)]),), NUMBERS),
    "no value": lines("none", (Series(name="a", points=[Point(0, None), Point(1, float("nan"))]),), NUMBERS),
    "only events": lines("events", (), Plane(), events=(Event(data.NOW, "v1 live"),)),
    "no bar": bars("none", (), Plane(), limit=0.2),
    "hostile lines": lines(HOSTILE, (Series(name=HOSTILE, points=[Point(0, 1), Point(1, 2)]),), Plane(x=HOSTILE, y=HOSTILE, is_time=False)),
    "hostile events": lines(
        "x", (), Plane(), band=Band(HOSTILE, 0, 1), events=(Event(data.NOW, HOSTILE, "bad"), Event(data.before(1), HOSTILE))
    ),
    "hostile bars": bars(HOSTILE, (Bar(HOSTILE, 1), Bar("b", -1, "bad")), Plane(x=HOSTILE)),
    "hostile scatter": scatter(HOSTILE, (Dot(x=1, y=2, name=HOSTILE, group=HOSTILE),), NUMBERS),
    "hostile histograms": histograms(HOSTILE, (Bin(low=0, high=1, reference=0.5, current=1),), Plane(x=HOSTILE)),
}
CASES = pytest.mark.parametrize("chart", ALL.values(), ids=ALL.keys())


@CASES
def test_a_specification_fits_the_grammar(chart: Chart) -> None:
    altair.Chart.from_dict(msgspec.json.decode(spec_text(chart)), validate=True)


@CASES
def test_a_drawing_is_well_formed_and_holds_no_code_and_no_style(chart: Chart) -> None:
    root = ET.fromstring(drawn(chart))  # noqa: S314 - our own drawing
    elements = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert elements <= {"svg", "g", "path", "line", "text", "rect", "title", "defs", "clipPath", "tspan"}
    assert not [name for element in root.iter() for name in element.attrib if name == "style" or name.startswith("on")]


def test_a_drawing_on_a_page_has_tokens_for_colours_and_one_for_paper_has_none() -> None:
    chart = data.performance()
    assert set(re.findall(r'(?:fill|stroke)="(#[0-9a-f]+)"', drawn(chart))) == set()
    assert "var(--series-1)" in drawn(chart)
    assert "var(" not in svg(chart)
    assert svg(chart) != svg(chart, is_dark=True)


def test_a_picture_is_a_png_of_the_size_asked_for() -> None:
    small, large = png(data.drift(), scale=1), png(data.drift(), scale=2)
    assert small[:8] == large[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(large[16:20], "big") == pytest.approx(2 * int.from_bytes(small[16:20], "big"), abs=2)


def test_every_event_and_every_series_is_in_the_drawing() -> None:
    text = drawn(data.performance())
    assert all(f">{word}<" in text for word in ("v13 live", "alarm", "v14 live", "roc_auc"))
    assert data.performance().keys == (("measured", "key-1"), ("estimated", "key-2 dashed"), ("approved band", "block"))


def test_words_of_near_events_stand_in_different_rows() -> None:
    near = (Event(data.before(10), "one"), Event(data.before(9.9), "two"), Event(data.before(1), "three"))
    chart = lines("x", (Series(name="a", points=[Point(data.before(12), 1), Point(data.NOW, 2)]),), Plane(), events=near)
    layers = chart.spec["layer"]
    assert isinstance(layers, list)
    rows = [layer["encoding"]["y"]["value"] for layer in layers if layer["mark"]["type"] == "text"]
    assert rows[0] != rows[1]
    assert rows[0] == rows[2]


def test_instants_are_milliseconds_for_vega_and_a_gap_stays_a_gap() -> None:
    chart = lines("x", (Series(name="a", points=[Point(2_000, 1.0), Point(1_000, None)]),), Plane())
    assert chart.spec["data"] == {"values": [{"x": 1.0, "s0": None}, {"x": 2.0, "s0": 1.0}]}


def test_names_never_become_field_names() -> None:
    encoded = spec_text(ALL["hostile lines"])
    assert msgspec.json.decode(encoded)["data"]["values"] == [{"x": 0.0, "s0": 1.0}, {"x": 1.0, "s0": 2.0}]

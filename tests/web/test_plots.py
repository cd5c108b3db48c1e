"""Charts of many runs and their stills: what is drawn without a browser has every line and gap of the specification, and no code."""

import re
import xml.etree.ElementTree as ET

import altair
import msgspec
import pytest

from modelyard.web.charts import Chart, drawn, spec_text, svg
from modelyard.web.plots import CurveLine, CurvePlane, Rail, Scale, Spot, Thread, curves, key_of, parallel, ranks, spots
from modelyard.web.stills import log_ticks, ticks, time_ticks

HOSTILE = "</svg><script>alert(1)</script>\"'\\ {{x}} ${y} {0}"
GAPPED = CurveLine(name=HOSTILE, course=([0, 1, 2, 3, 4], [1.0, 2.0, None, 5.0, None]), raw=([0, 4], [1.0, 3.0]))
DAY_MS = 86_400_000.0
ALL: dict[str, Chart] = {
    "curves": curves(HOSTILE, [GAPPED, CurveLine(name="b", course=([0, 4], [-1.0, 3.0]))], CurvePlane(y=HOSTILE)),
    "log curves over time": curves("x", [GAPPED], CurvePlane(y="y", axis="wall", is_log=True, first=0, last=DAY_MS)),
    "relative": curves("x", [GAPPED], CurvePlane(y="y", axis="relative")),
    "no curve": curves("x", [], CurvePlane(y="y")),
    "empty curve": curves("x", [CurveLine(name="a", course=([], []))], CurvePlane(y="y", is_log=True)),
    "parallel": parallel(
        HOSTILE,
        [Rail(name=HOSTILE, low=HOSTILE, high="9", note="log"), Rail(name="b", low="0", high="1")],
        [Thread(name=HOSTILE, places=(0.5, None), texts=(HOSTILE, ""), rank=4), Thread(name="n", places=(0.0, 1.0), texts=("0", "1"))],
    ),
    "one rail": parallel("x", [Rail(name="a", low="0", high="")], []),
    "spots": spots(HOSTILE, [Spot(name=HOSTILE, x=1, y=2, rank=0)], Scale(title=HOSTILE, low=1, high=1), Scale(title="y", low=2, high=2)),
    "log spots": spots("x", [Spot(name="a", x=-1, y=2)], Scale(title="x", low=1e-5, high=1, is_log=True), Scale(title="y", low=0, high=0)),
}
CASES = pytest.mark.parametrize("chart", ALL.values(), ids=ALL.keys())


@CASES
def test_a_specification_fits_the_grammar_and_the_library_draws_it(chart: Chart) -> None:
    altair.Chart.from_dict(msgspec.json.decode(spec_text(chart)), validate=True)


@CASES
def test_a_still_is_well_formed_and_holds_no_code_and_no_style(chart: Chart) -> None:
    root = ET.fromstring(drawn(chart))  # noqa: S314 - our own drawing
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "path", "line", "text"}
    assert not [name for element in root.iter() for name in element.attrib if name == "style" or name.startswith("on")]
    assert all(colour == "none" or colour.startswith("var(--") for colour in re.findall(r'(?:fill|stroke)="([^"]+)"', drawn(chart)))


def test_a_line_breaks_at_a_gap_and_a_value_alone_is_a_dot() -> None:
    text = drawn(ALL["curves"])
    paths = re.findall(r'<path d="([^"]+)" fill="none" stroke="var\(--series-1\)" stroke-width="1.6"', text)
    assert len(paths) == 1
    assert (paths[0].count("M"), paths[0].count("L")) == (1, 1)
    assert text.count('h0" stroke="var(--series-1)"') == 1
    assert 'stroke-opacity="0.28"' in text


def test_the_library_draws_the_same_specifications() -> None:
    for name in ("curves", "parallel", "spots"):
        assert svg(ALL[name]).startswith("<svg")
    assert svg(ALL["parallel"]).count("<path") >= 2


def test_a_logarithmic_scale_leaves_out_what_it_cannot_show() -> None:
    chart = curves("x", [CurveLine(name="a", course=([0, 1], [-1.0, 5.0]))], CurvePlane(y="y", is_log=True))
    assert [row["y"] for row in chart.spec["data"]["values"]] == [None, 5.0]  # type: ignore[index]  # our own specification
    assert ALL["log spots"].spec["data"] == {"values": []}


def test_each_of_many_lines_has_a_look_of_its_own() -> None:
    assert len({key_of(n) for n in range(24)}) == 24


def test_ranks_are_fifths_and_ticks_are_round() -> None:
    assert ranks([5.0, None, 1.0, 2.0, 3.0, 4.0]) == (4, None, 0, 1, 2, 3)
    assert ranks([2.0, 2.0]) == (2, 2)
    assert [text for _, text in ticks(0.0123, 0.0567)] == ["0.02", "0.03", "0.04", "0.05"]
    assert [text for _, text in log_ticks(3, 30)] == ["5", "10", "20"]
    assert time_ticks(0, 3 * DAY_MS)[1] == (DAY_MS / 2, "1 Jan")

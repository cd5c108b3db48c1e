"""What a table of runs and a comparison are made of: addresses, groups, differences, cells that no spreadsheet runs."""

import io
import math
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.tracking.domain import Dataset, DatasetInput
from modelyard.tracking.grammar import RUNS, parse_filter
from modelyard.tracking.rules.archives import archived_files
from modelyard.tracking.rules.differences import (
    LEFT_OUT,
    best_of,
    dataset_facts,
    direction_of,
    file_changes,
    locked_packages,
    side_by_side,
)
from modelyard.tracking.rules.exports import csv_lines, defused
from modelyard.tracking.rules.groups import Measured, ordered, partition, spreads
from modelyard.tracking.rules.table import TableView, narrowed, query_of, suggestion, tidied, unknown_names, view_of

KNOWN = ("metrics.loss", "metrics.val loss", "params.depth", "tags.owner")
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)
NAMES = st.sampled_from(["metrics.a b", "params.x/y", "tags.t&=?", "start_time", "nonsense"])


@given(st.builds(TableView, filter=TEXTS, sort=TEXTS, show=st.lists(NAMES).map(tuple), pin=st.lists(NAMES).map(tuple), group=TEXTS))
def test_a_view_is_its_address(view: TableView) -> None:
    settled = tidied(view)
    assert view_of(query_of(settled)) == settled
    assert tidied(settled) == settled


def test_columns_move_by_one_place_and_pinned_ones_stand_first() -> None:
    view = TableView(show=("start_time", "metrics.a", "params.b"), pin=("params.b",))
    assert tidied(view).show == ("params.b", "start_time", "metrics.a")
    assert tidied(TableView(show=("start_time", "metrics.a")), left="metrics.a").show == ("metrics.a", "start_time")


@pytest.mark.parametrize("value", ["6", "it's", 'say "x"', "a AND b", "tail\\", "100%"])
def test_a_group_leads_to_a_filter_that_the_grammar_reads_as_that_value(value: str) -> None:
    text = narrowed("metrics.loss > 1", "params.my depth", value)
    assert text is not None
    assert parse_filter(text, RUNS)[1].value == value
    assert narrowed("", "params.p", "both ' and \"") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("metrics.los < 5", "metrics.loss"),
        ("loss < 0.5", "metrics.`loss`"),
        ("start_tme > 5", "start_time"),
        ("params.depht = '6'", "params.depth"),
    ],
)
def test_a_name_that_is_near_is_suggested(text: str, said: str) -> None:
    assert suggestion(text, KNOWN) == f"did you mean {said}?"
    assert suggestion("metrics.loss < 'x'", KNOWN) == ""


def test_a_filter_that_names_what_no_run_has_says_so() -> None:
    assert unknown_names(parse_filter("metrics.los < 5", RUNS), KNOWN) == "No run here has metrics.los; did you mean metrics.loss?"
    assert unknown_names(parse_filter("tags.x IS NULL AND status = 'FAILED'", RUNS), KNOWN) == ""


@pytest.mark.parametrize("text", ["=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=x", "  =x", "\r=x"])
def test_no_cell_begins_a_formula(text: str) -> None:
    assert defused(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1.5", "1e-3", "-1E5", "plain", "", "a=b"])
def test_numbers_and_words_stay_as_they_are(text: str) -> None:
    assert defused(text) == text


def test_numbers_are_written_to_the_last_bit() -> None:
    assert csv_lines([["=x", 0.1 + 0.2, None, -5, "a,b"]]) == '\'=x,0.30000000000000004,,-5,"a,b"\r\n'


def test_groups_hold_the_spread_of_each_metric() -> None:
    parts = partition(["a", "b", "c", "d"], {"a": "x", "b": "y", "c": "x"})
    found = spreads(parts, Measured(["a", "c", "b", "elsewhere"], np.array([1.0, 3.0, 5.0, 100.0])))
    assert (parts.values, parts.counts.tolist()) == (["x", "y", None], [2, 1, 1])
    assert [found.least[0], found.mean[0], found.greatest[0], found.runs[0]] == [1.0, 2.0, 3.0, 2]
    assert math.isnan(found.mean[2])
    assert ordered(parts, "-runs", None) == [0, 1, 2]
    assert ordered(parts, "-metrics.m", found.mean) == [1, 0, 2]
    assert ordered(partition(["a", "b", "c"], {"a": "10", "b": "9"}), "value", None) == [1, 0, 2]


def test_the_best_is_marked_where_the_name_says_which_way() -> None:
    assert (direction_of("val_loss"), direction_of("testAccuracy"), direction_of("x")) == ("low", "high", "")
    assert best_of([3.0, None, 1.0, 1.0], "low") == (2, 3)
    assert best_of([1.0, 1.0], "high") == best_of([1.0, 2.0], "") == best_of([math.nan, 2.0], "high") == ()


def test_rows_stand_side_by_side_and_what_one_lacks_differs() -> None:
    rows = side_by_side([{"a": "1", "b10": "x"}, {"a": "1", "b9": "x"}])
    assert [(row.key, row.values, row.is_same) for row in rows] == [
        ("a", ("1", "1"), True), ("b9", (None, "x"), False), ("b10", ("x", None), False),
    ]  # fmt: skip


def test_a_dataset_tells_its_columns_and_rows_and_hostile_descriptions_tell_nothing() -> None:
    known = Dataset(name="d", digest="1", source_type="s", source="s", schema='{"mlflow_colspec": [{"type": "long", "name": "x"}]}',
                    profile='{"num_rows": 5, "mean": {"x": 0.5}}')  # fmt: skip
    facts = dataset_facts([DatasetInput(dataset=known, tags={"mlflow.data.context": "training"})])
    assert facts == {
        "d (training) · digest": "1",
        "d (training) · column x": "long",
        "d (training) · rows": "5",
        "d (training) · mean.x": "0.5",
    }
    hostile = Dataset(name="d", digest="1", source_type="s", source="s", schema="[" * 100_000, profile='{"a": [1], "b": null}')
    assert dataset_facts([DatasetInput(dataset=hostile)]) == {"d · digest": "1"}


def test_files_are_told_apart_line_by_line_and_by_name() -> None:
    base = {"a.py": b"one\ntwo\n--- three\n", "gone": b"x", "same": b"s", "b.bin": b"\0"}
    changes = file_changes(base, {"a.py": b"one\n2\n", "new": b"y", "same": b"s", "b.bin": b"\1"})
    assert [(one.path, one.kind) for one in changes] == [("a.py", "changed"), ("b.bin", "changed"), ("gone", "removed"), ("new", "added")]
    assert [(line.kind, line.text) for line in changes[0].lines[1:]] == [
        ("kept", "one"), ("removed", "two"), ("removed", "--- three"), ("added", "2"),
    ]  # fmt: skip
    assert changes[1].note.startswith("no text")


def test_sources_that_differ_in_everything_are_compared_as_far_as_a_page_can_wait() -> None:
    text = b"\n".join(b"%d" % n for n in range(3000))
    changes = file_changes({}, {f"f{n}": text for n in range(10)})
    assert [change.note == LEFT_OUT for change in changes] == [False] * 6 + [True] * 4


def test_a_key_of_thousands_of_digits_is_a_text() -> None:
    keys = ["9", "10", "1" * 5000]
    assert [row.key for row in side_by_side([dict.fromkeys(keys, "x")])] == keys


def test_an_archive_is_read_within_bounds_and_leads_nowhere() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in (("./a.py", b"x"), ("../../out", b"y")):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert archived_files(buffer.getvalue()) == {"a.py": b"x", "../../out": b"y"}
    assert archived_files(b"no archive") is None
    assert locked_packages('[[package]]\nname = "numpy"\nversion = "2.1.0"\n') == {"numpy": "2.1.0"}
    assert locked_packages("[[") == locked_packages("package = 5") == {}

"""Names and limits, hostile paths, points: packing, the latest value, digests, samples."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.tracking.domain import FileEntry, Metric, PathRefused
from modelyard.tracking.rules.names import (
    check_batch,
    check_metrics,
    checked_experiment_id,
    checked_key,
    checked_location,
    checked_param,
    instant_of,
)
from modelyard.tracking.rules.paths import checked_folder, checked_path, listing, owned_path
from modelyard.tracking.rules.series import (
    Points,
    between,
    by_step,
    by_time,
    content_digest,
    latest_of,
    packed,
    packed_points,
    sampled,
    unpacked,
)

RUN = "a" * 32
VALUES = st.one_of(st.floats(allow_infinity=False), st.sampled_from([float("nan"), 0.0, -0.0, 1.0]))
METRICS = st.lists(
    st.builds(Metric, key=st.just("m"), value=VALUES, at=st.integers(0, 5).map(Instant), step=st.integers(-3, 3)), min_size=1, max_size=30
)

HOSTILE = [
    "..", "../x", "a/../b", "a/..", "%2e%2e/x", "%2e%2e%2fx", "%252e%252e%252fx", "a/%2e%2e/b", "..%2fx", "/etc/passwd", "%2fetc/passwd",
    "a\\b", "..\\x", "a%5cb", "a%255c..", "a\0b", "a%00b", "file:///etc/passwd", "file:etc",
    "C:\\x", "c:x", "http://x/y", "a#b", "a%23b",
    "a//b", "./a", "a/./b", "...", "a/ ../b", "a/.. /b", "", "a/" + "x" * 256, "x/" * 600 + "x",
    "a\nb", "a\u202eb", "%" + "25" * 20 + "2e%2e",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_a_path_that_might_leave_its_folder_is_refused(path: str) -> None:
    with pytest.raises(PathRefused, match="Invalid path"):
        checked_path(path)
    with pytest.raises(PathRefused):
        owned_path(f"0/{RUN}/artifacts/{path}") if path else owned_path(path)


@pytest.mark.parametrize("path", ["model/MLmodel", "a b.txt", "ünï/cødé.png", "100%.txt", "a/.hidden", "x..y", "data=1&2?.csv"])
def test_an_ordinary_path_stays_as_it_is(path: str) -> None:
    assert checked_path(path) == path
    assert owned_path(f"0/{RUN}/artifacts/{path}").path == path


def test_a_folder_may_end_in_a_slash_and_the_root_is_empty() -> None:
    assert [checked_folder(path) for path in (None, "", "/", ".", "a/", "./a/./b", "a/.")] == ["", "", "", "", "a", "a/b", "a"]
    with pytest.raises(PathRefused):
        checked_folder("//")
    with pytest.raises(PathRefused):
        checked_folder("./../a")


@pytest.mark.parametrize("path", [f"0/{RUN}", f"0/{RUN}/other/x", f"{RUN.upper()}/artifacts/x", f"0/models/m-{RUN}/x", ""])
def test_a_proxied_path_past_a_runs_artifacts_is_refused(path: str) -> None:
    with pytest.raises(PathRefused):
        owned_path(path)


@pytest.mark.parametrize("path", ["x", "dir/a.txt", "artifacts/x", f"0/{RUN[1:]}/artifacts/x"])
def test_a_proxied_path_that_is_nobodys_is_shared(path: str) -> None:
    assert (owned_path(path).owner, owned_path(path).path) == ("shared", path)


def test_a_listing_shows_one_level() -> None:
    files = [FileEntry(path=path, is_folder=False, size_bytes=1) for path in ("a/b/c", "a/d", "a/e/f")]
    assert [(one.path, one.is_folder) for one in listing(files, "a")] == [("a/b", True), ("a/d", False), ("a/e", True)]
    assert [(one.path, one.is_folder) for one in listing(files, "")] == [("a", True)]


@pytest.mark.parametrize("key", [None, "", "a$", "../a", "a/../b", "/a", "a/", ".", "k" * 251, "a\tb", "a\n"])
def test_a_key_beyond_mlflows_rules_is_refused(key: str | None) -> None:
    with pytest.raises(InvalidInput):
        checked_key(key, "key")


def test_a_param_is_cut_where_mlflow_cuts_it_and_holds_no_nul() -> None:
    assert len(checked_param("p", "x" * 7000, "")[1]) == 6000
    with pytest.raises(InvalidInput, match="NUL"):
        checked_param("p", "a\0b", "")


def test_a_batch_has_mlflows_limits() -> None:
    check_batch(1000, (), 0)
    for metrics, params, tags in ((1001, 0, 0), (0, 101, 0), (0, 0, 101), (950, 30, 30)):
        with pytest.raises(InvalidInput, match="at most"):
            check_batch(metrics, [(str(n), "") for n in range(params)], tags)
    with pytest.raises(InvalidInput, match=r"Duplicate parameter keys have been submitted: \['a'\]"):
        check_batch(0, [("a", "1"), ("b", "1"), ("a", "1")], 0)


def test_a_time_is_not_negative_and_fits_microseconds() -> None:
    with pytest.raises(InvalidInput, match="nonnegative"):
        check_metrics([Metric(key="m", value=1.0, at=Instant(-1000))], "")
    with pytest.raises(InvalidInput):
        instant_of(2**62, "timestamp")


def test_an_experiment_id_is_a_number_in_one_form() -> None:
    assert [checked_experiment_id(text) for text in ("0", "007", "12", " +3 ", "-1")] == ["0", "7", "12", "3", "-1"]
    for text in ("", "a", "-", "٣", "1.0", "1_0", "9" * 65):
        with pytest.raises(InvalidInput):
            checked_experiment_id(text)


@pytest.mark.parametrize("location", ["runs:/a", "s3://b/../c", "s3://b/%2e%2e/c", "s3://b#x", "mlflow-artifacts:/a/..", "x" * 2049])
def test_a_location_that_leaves_its_folder_is_refused(location: str) -> None:
    with pytest.raises(InvalidInput):
        checked_location(location)


def rows(points: Points) -> list[tuple[int, int, str]]:
    """Points as tuples that compare, NaN included."""
    return [(int(a), int(s), repr(float(v) + 0.0)) for a, s, v in zip(points.at, points.step, points.value, strict=True)]


def points_of(metrics: list[Metric]) -> Points:
    """The metrics as columns."""
    return unpacked([packed(metrics)])


@given(METRICS)
def test_packed_points_come_back_as_they_were(metrics: list[Metric]) -> None:
    halves = [packed(metrics[:1]), packed(metrics[1:])] if len(metrics) > 1 else [packed(metrics)]
    together = unpacked(halves)
    assert rows(together) == [(m.at, m.step, repr(m.value + 0.0)) for m in metrics]
    assert packed_points(together) == packed(metrics)


@given(METRICS, st.randoms(use_true_random=False))
def test_order_and_repetition_change_neither_digest_nor_history_nor_latest(metrics: list[Metric], random: "st.Random") -> None:  # type: ignore[name-defined]  # Hypothesis's stand-in for random.Random
    again = [*metrics, *metrics[: len(metrics) // 2]]
    random.shuffle(again)
    one, other = points_of(metrics), points_of(again)
    assert content_digest(one) == content_digest(other)
    assert rows(by_time(one)) == rows(by_time(other))
    assert latest_of(metrics) == latest_of(again)


@given(METRICS)
def test_the_latest_is_the_highest_of_step_then_time_then_value(metrics: list[Metric]) -> None:
    expected = max((m.step, m.at, 0.0 if math.isnan(m.value) else m.value, math.isnan(m.value)) for m in metrics)
    assert tuple(latest_of(metrics)) == expected


@given(METRICS)
def test_a_history_is_sorted_and_holds_each_point_once(metrics: list[Metric]) -> None:
    found = rows(by_time(points_of(metrics)))
    assert len(found) == len(set(found)) == len({(m.at, m.step, repr(m.value + 0.0)) for m in metrics})
    assert [one[:2] for one in found] == sorted(one[:2] for one in found)


def test_another_value_another_digest() -> None:
    base = [Metric(key="m", value=1.0, at=Instant(1), step=1)]
    digests = {
        content_digest(points_of([one]))
        for one in (base[0], Metric(key="m", value=2.0, at=Instant(1), step=1), Metric(key="m", value=1.0, at=Instant(2), step=1))
    }
    assert len(digests) == 3


@pytest.mark.parametrize(("count", "most"), list(itertools.product((1, 2, 5, 99, 100, 101, 1000), (1, 2, 3, 100))))
def test_a_sample_is_even_and_ends_where_the_curve_ends(count: int, most: int) -> None:
    steps = np.arange(count)
    found = sampled(Points(steps, steps, steps.astype(float)), most)
    assert len(found.step) == min(count, most)
    assert found.step[-1] == count - 1
    if most > 1:
        assert found.step[0] == 0
        gaps = np.diff(found.step[:-1])
        assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_a_range_of_steps_holds_both_ends() -> None:
    steps = np.arange(10)
    assert between(Points(steps, steps, steps.astype(float)), 3, 5).step.tolist() == [3, 4, 5]
    assert by_step(Points(steps, steps[::-1], steps.astype(float))).step.tolist() == list(range(10))

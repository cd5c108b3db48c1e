"""Instants, durations and the three clocks."""

import ast
import contextlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import modelyard
from modelyard.core.clock import FixedClock, Instant, ReplayClock, duration_s, instant, iso, moment
from modelyard.core.errors import InvalidInput


@given(st.integers(min_value=-(2**52), max_value=2**52))
def test_an_instant_survives_the_way_to_a_datetime_and_back(at: int) -> None:
    assert instant(moment(Instant(at))) == at


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    east = datetime(2013, 1, 1, 5, tzinfo=timezone(timedelta(hours=5)))
    assert instant(east) == instant(datetime(2013, 1, 1, tzinfo=UTC))


def test_a_datetime_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        instant(datetime(2013, 1, 1))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("3h", 10800), ("14d", 1209600), ("1d12h", 129600), ("250ms", 0.25), ("1.5h", 5400)]
)
def test_durations_are_read_in_their_units(text: str, seconds: float) -> None:
    assert duration_s(text) == pytest.approx(seconds)


@given(st.text(max_size=12) | st.lists(st.sampled_from(["1", ".", "²", "٣", "s", "h", "ms", " ", "-", "9" * 400]), max_size=6).map("".join))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert duration_s(text) >= 0


@pytest.mark.parametrize("text", ["", "h", "3", "3x", "3 h", "-3h", "1.2.3s", ".s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        duration_s(text)


def test_a_replay_clock_reads_its_record_and_not_the_machine() -> None:
    stands = Instant(7)
    clock = ReplayClock(lambda: stands, fresh_s=0.0)
    assert clock.now() == 7
    assert clock.wall() > 1_600_000_000_000_000


def test_a_fixed_clock_moves_only_when_it_is_moved() -> None:
    clock = FixedClock(Instant(0), wall_ahead_s=7.25)
    clock.advance(2.5)
    assert (clock.now(), clock.wall(), iso(clock.now())) == (2_500_000, 9_750_000, "1970-01-01T00:00:02.500000Z")


ASKS_THE_MACHINE = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "wall_now"}
MAY_ASK = {
    "server/worker.py": "when a turn began, for its trace",
    "cli/accounts.py": "which of the tokens listed have expired, at the caller's own machine",
    "cli/catalogue.py": "how old a view's newest event is, where the server's clock cannot be told from its answer",
    "server/logs.py": "when a line was logged",
    "sdk/tracking/run.py": "when a value was logged, at the training's own machine",
}


def asked(path: Path) -> set[str]:
    """The ways in which a module asks the machine for the time."""
    nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
    named = {".".join(ast.unparse(node).split(".")[-2:]) for node in nodes if isinstance(node, ast.Attribute)}
    imported = {
        name for node in nodes if isinstance(node, ast.ImportFrom) for one in node.names for name in (one.name, f"{node.module}.{one.name}")
    }
    return (named | imported) & ASKS_THE_MACHINE


def test_every_instant_comes_from_a_clock() -> None:
    source = Path(modelyard.__file__).parent
    found = {path.relative_to(source).as_posix() for path in source.rglob("*.py") if asked(path)}
    assert {name for name in found if not name.startswith("core/")} == MAY_ASK.keys()

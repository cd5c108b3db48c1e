"""The gateway's clock in a replay: it moves on with requests, and tells when a day has begun."""

import pytest

from modelyard.core.clock import FixedClock, Instant
from modelyard.core.errors import InvalidInput
from modelyard.serving.gateway.clock import DAY, GatewayClock

NOON = Instant(20_000 * DAY + DAY // 2)


def asked(clock: GatewayClock, at: int) -> bool:
    """Whether a request at an instant begins a day; whoever waits for that takes note of it."""
    clock.asked_at(str(at).encode())
    has_begun = clock.day_began.is_set()
    clock.day_began.clear()
    return has_begun


def test_the_first_request_of_each_day_begins_it_and_one_that_was_overtaken_does_not() -> None:
    clock = GatewayClock(FixedClock(NOON))
    clock.follow(NOON)
    hours = (0, 1, 12, 11, 13, 36, 12)
    assert [asked(clock, NOON + hour * DAY // 24) for hour in hours] == [True, False, True, False, False, True, False]
    assert clock.now() == NOON + 36 * DAY // 24


def test_where_nothing_is_replayed_no_request_is_dated_and_no_day_begins() -> None:
    clock = GatewayClock(FixedClock(NOON))
    with pytest.raises(InvalidInput, match="serves real time"):
        asked(clock, NOON)
    assert not asked_undated(clock)


def asked_undated(clock: GatewayClock) -> bool:
    """Whether a request without a date begins a day."""
    assert clock.asked_at(None) == NOON
    return clock.day_began.is_set()

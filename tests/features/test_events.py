"""What an event may be: each is checked against its source's declaration, and what is wrong is named by its number."""

from datetime import timedelta
from typing import Any

import pytest

from modelyard.core.clock import Instant, moment
from modelyard.features.domain import BadEvents, InvalidDeclaration, Push
from modelyard.features.sources.events import columns_of, frame_of, packed
from tests.features.conftest import at
from tests.features.test_pushing import CLICKS, click

BAD = [
    ({"usr": "ann"}, "no column 'usr'", "did you mean user"),
    ({"pushed_at": "2026-01-01"}, "says when it was created", "leave it out"),
    ({"user": None}, "'user' is missing", "declares user as string"),
    ({"at": None}, "'at' is missing", "declares at as time"),
    ({"user": 5}, "'user' is 5, not string", "string"),
    ({"user": "k" * 5000}, "a key of 5000 bytes", "string"),
    ({"user": "\ud800"}, "half a character", "string"),
    ({"item": True}, "'item' is True, not int64", "int64"),
    ({"item": 2**63}, "int64 ends at", "int64"),
    ({"item": 10**5000}, "very many digits", "int64"),
    ({"amount": "1.5"}, "'amount' is '1.5', not float64", "float64"),
    ({"amount": 10**400}, "beyond the largest float64", "float64"),
    ({"is_new": 1}, "'is_new' is 1, not bool", "bool"),
    ({"at": 1767225600}, "numbers do not say their unit", "time"),
    ({"at": "infinity"}, "'infinity', not a time", "time"),
    ({"at": "0001-01-01T00:00:00+01:00"}, "outside of the years 1 to 9999", "time"),
    ({"seen": "2026-13-01"}, "not a time", "time"),
]


@pytest.mark.parametrize(("wrong", "said", "hint"), BAD)
def test_an_event_that_its_source_cannot_take_is_named_by_its_number(wrong: dict[str, Any], said: str, hint: str) -> None:
    with pytest.raises(BadEvents, match="event 2 of 3") as caught:
        columns_of(CLICKS, ["user", "item"], [click(), click() | wrong, click()])
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_times_are_microseconds_in_utc_whatever_their_zone() -> None:
    texts = ["2026-01-01T12:00:00.1234567Z", "2026-01-01 13:00:00.123456+01:00", "2026-01-01T12:00:00.123456", "9999-12-31T23:59:59.999999"]
    first, *others, last = columns_of(CLICKS, [], [{"at": text} for text in texts])[0]
    assert [first] * 2 == others
    assert moment(Instant(int(str(first)))) == at(0) + timedelta(microseconds=123456)
    assert moment(Instant(int(str(last)))).year == 9999


def test_what_is_kept_of_a_push_is_its_events_with_their_number_and_creation_time() -> None:
    content = packed(columns_of(CLICKS, [], [click(note="é", seen=at(1).isoformat()), {"at": at(2).isoformat()}]))
    frame = frame_of(CLICKS, [(3, Instant(5), content), (4, Instant(6), content)])
    assert frame["push_number"].to_list() == [3, 3, 4, 4]
    assert frame["pushed_at"].to_list() == [moment(Instant(5))] * 2 + [moment(Instant(6))] * 2
    assert frame["seen"].to_list() == [at(1), None] * 2
    assert frame["amount"].to_list() == [1.5, None] * 2


@pytest.mark.parametrize(
    ("name", "columns", "said"),
    [
        ("no name", {"user": str}, "no name for a pushed source"),
        ("clicks.delta", {"user": str}, "its table would be"),
        ("clicks", {}, "need columns with their types"),
        ("clicks", {"at": str}, "'at' stands twice"),
        ("clicks", {"User": str, "user": str}, "'user' stands twice"),
        ("clicks", {"delay (min)": int}, "cannot name a column"),
        ("clicks", {"push_number": int}, "cannot name a column"),
        ("clicks", {"user": list}, "which features do not have"),
    ],
)
def test_a_pushed_source_that_no_table_can_hold_is_refused(name: str, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidDeclaration) as caught:
        Push(name, "at", columns=columns)
    assert said in caught.value.message

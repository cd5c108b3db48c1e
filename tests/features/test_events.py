"""What an event may be: each is checked against its source's declaration, and what is wrong is named by its number."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelyard.access.domain import SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import Instant, moment
from modelyard.features import service
from modelyard.features.domain import (
    BadEvents,
    FeatureSet,
    FeatureView,
    InvalidDeclaration,
    Push,
    PushedSourceNotFound,
    SourceDrifted,
    TooManyEvents,
)
from modelyard.features.sources.events import columns_of, frame_of, packed
from tests.features.conftest import at
from tests.features.shop import CLICKS, ON_SQLITE, USER, Shop, click

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


@ON_SQLITE
def test_events_are_taken_all_or_none_and_never_too_many(shop: Shop) -> None:
    with pytest.raises(BadEvents, match="event 2 of 2"):
        shop.push(click(), click() | {"user": None})
    with pytest.raises(BadEvents, match="no event"):
        shop.push()
    with pytest.raises(TooManyEvents, match="1001 events"):
        shop.push(*[click()] * 1001)
    with pytest.raises(TooManyEvents, match="bytes"):
        shop.push(*[click(note="n" * 20_000)] * 60)
    with pytest.raises(PushedSourceNotFound) as caught:
        service.push_events(shop.database, shop.online, SYSTEM, "click", [click()])
    assert caught.value.hint == "did you mean clicks?"
    with shop.database.read() as snapshot:
        assert service.get_pushed_source(snapshot, SYSTEM, "clicks").events == 0


@ON_SQLITE
def test_a_source_is_declared_otherwise_only_before_its_first_event(shop: Shop, tmp_path: Path) -> None:
    wider = Push("clicks", "at", columns={"user": str, "item": int, "amount": str, "page": str})
    changed = FeatureSet("pages", [FeatureView("page", USER, wider, features=["page"])])
    service.apply_features(shop.database, SYSTEM, [changed], tmp_path)
    with pytest.raises(BadEvents, match=r"'amount' is 1\.5, not string"):
        shop.push(click())
    service.apply_features(shop.database, SYSTEM, [FeatureSet("page", [FeatureView("page", USER, CLICKS, features=["note"])])], tmp_path)
    shop.push(click())
    with pytest.raises(SourceDrifted, match="'amount' is float64, not string; 'is_new' is missing now"):
        service.apply_features(shop.database, SYSTEM, [changed], tmp_path)


@ON_SQLITE
def test_events_are_pushed_and_seen_by_those_who_work_for_their_team(shop: Shop, tmp_path: Path) -> None:
    def of(role: Role, team: str) -> Principal:
        return Principal(id=PrincipalId("u1"), name="eve", kind="person", roles={TeamId(team): role})

    for principal, error in ((of(Role.VIEWER, "default"), NotAllowed), (of(Role.CONTRIBUTOR, "others"), PushedSourceNotFound)):
        with pytest.raises(error):
            service.push_events(shop.database, shop.online, principal, "clicks", [click()])
    with shop.database.read() as snapshot:
        assert service.list_pushed_sources(snapshot, of(Role.CONTRIBUTOR, "others")) == []
    mine = FeatureSet("theirs", [FeatureView("their_view", USER, CLICKS, features=["note"])])
    with pytest.raises(NotAllowed):
        service.apply_features(shop.database, of(Role.CONTRIBUTOR, "others"), [mine], tmp_path, TeamId("others"))

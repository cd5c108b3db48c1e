"""How a page is declared, and where it stands in the rail."""

import msgspec
import pytest

from modelyard.web.pages import SECTIONS, Nav, page, rail, unknown_names


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A context."""

    model: str


def show() -> Shown:
    """Shows it."""
    return Shown(model="late_arrival")


PAGES = (
    page("/ledger", show, "x/a.html", nav=Nav("Prove", "Ledger", 20)),
    page("/models", show, "x/a.html", nav=Nav("Build", "Models", 30)),
    page("/features", show, "x/a.html", nav=Nav("Build", "Features", 10)),
    page("/models/{model}", show, "x/a.html"),
    page("/", show, "x/a.html", nav=Nav("", "Portfolio", 10)),
)


def test_the_rail_holds_only_rooms_that_pages_asked_for_in_the_order_of_the_sections() -> None:
    groups = rail(PAGES, "/", {})
    assert [group.heading for group in groups] == ["", "Build", "Prove"]
    assert [room.label for room in groups[1].rooms] == ["Features", "Models"]
    assert set(SECTIONS) >= {group.heading for group in groups}


@pytest.mark.parametrize(
    ("here", "lit"),
    [("/models/late_arrival", ["Models"]), ("/models", ["Models"]), ("/modelsx", []), ("/", ["Portfolio"]), ("/search", [])],
)
def test_a_page_lights_the_room_that_it_lies_in(here: str, lit: list[str]) -> None:
    rooms = [room for group in rail(PAGES, here, {}) for room in group.rooms]
    assert [room.label for room in rooms if room.is_here] == lit


def test_a_count_is_shown_where_something_waits_and_not_where_nothing_does() -> None:
    rooms = [room for group in rail(PAGES, "/", {"/models": 2, "/ledger": 0}) for room in group.rooms]
    assert {room.label: room.count for room in rooms if room.count is not None} == {"Models": 2}


def test_a_title_is_the_rooms_word_unless_it_is_given() -> None:
    assert page("/a", show, "x/a.html", nav=Nav("", "Rooms", 1)).title == "Rooms"
    assert page("/a", show, "x/a.html", title="Other", nav=Nav("", "Rooms", 1)).title == "Other"


def test_names_that_a_context_does_not_have_are_found() -> None:
    assert unknown_names(["model", "ui", "modle"], Shown, ["ui"]) == ("modle",)

"""The shell in a real browser: under its policy, without scripts, on a phone, by keyboard, and following events."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from tests.web.conftest import Said, Served
from tests.web.gallery import PAGES, State, gallery

pytestmark = pytest.mark.server
PATHS = [item.path.replace("{model}", "late_arrival") for item in PAGES]
OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement.closest(".search") || document.activeElement);
  return style.outlineStyle + style.outlineWidth;
}"""
PHONE: ViewportSize = {"width": 390, "height": 844}


def test_no_page_breaks_the_policy_and_none_fetches_from_elsewhere(tab: Page, said: Said) -> None:
    for path in PATHS:
        tab.goto(path)
        for figure in tab.locator("figure.chart").all():  # a chart is drawn anew when it comes near the window
            figure.scroll_into_view_if_needed()
        expect(tab.locator("figure.chart .drawing:not(.drawn)")).to_have_count(0)
    assert said.lines == []


def test_a_chart_is_drawn_and_explored_under_the_policy(tab: Page, said: Said) -> None:
    tab.goto("/models/late_arrival")
    drawing = tab.locator("figure.chart .drawing.drawn svg.marks")
    expect(drawing).to_be_visible()
    box = drawing.bounding_box()
    assert box is not None
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip = tab.locator("#vg-tooltip-element")
    expect(tip).to_be_visible()
    expect(tip).to_contain_text("measured")
    expect(tip).to_contain_text("estimated")
    assert said.lines == []


def test_a_chart_follows_the_theme_without_being_drawn_again(tab: Page) -> None:
    tab.goto("/parts")
    line = tab.locator("figure.chart .drawn path[stroke='var(--series-1)']").first
    expect(line).to_be_attached()
    colours = []
    for theme in ("Light", "Dark"):
        with tab.expect_response("**/preferences/theme"):
            tab.get_by_role("button", name=theme, exact=True).click()
        colours.append(line.evaluate("e => getComputedStyle(e).stroke"))
    assert colours == ["rgb(31, 95, 139)", "rgb(125, 184, 224)"]
    tab.reload()
    expect(tab.locator("html")).to_have_attribute("data-theme", "dark")


@pytest.mark.parametrize(
    ("printed", "landed"),
    [
        (f"/#/experiments/12/runs/{'ab' * 16}", f"/runs/{'ab' * 16}"),
        ("/#/experiments/12", "/experiments/12"),
        ("/#/models/late_arrival", "/models/late_arrival"),
        ("/#/models/late_arrival/versions/3", "/models/late_arrival/versions/3"),
    ],
)
def test_an_address_that_an_mlflow_client_printed_leads_to_our_page(tab: Page, printed: str, landed: str) -> None:
    with tab.expect_request(lambda request: request.url.endswith(landed) and request.is_navigation_request()):
        tab.goto(printed)


def test_another_address_behind_the_sign_leads_nowhere(tab: Page) -> None:
    tab.goto("/#//elsewhere.example/models/x")
    assert tab.url.endswith("/#//elsewhere.example/models/x")


@pytest.fixture
def plain(browser: Browser, served: Served) -> Page:
    """A tab on a phone, without scripts."""
    context = browser.new_context(viewport=PHONE, base_url=served.url, java_script_enabled=False)
    return context.new_page()


def test_every_page_says_the_same_without_scripts(plain: Page) -> None:
    for path in PATHS:
        plain.goto(path)
        expect(plain.locator("h1").first).to_be_visible()
    plain.goto("/models/late_arrival")
    expect(plain.locator("figure.chart svg.marks")).to_be_visible()
    assert plain.locator("figure.chart svg.marks text", has_text="v13 live").count() == 1
    expect(plain.locator(".copy-button").first).to_be_hidden()
    plain.context.close()


def test_menu_form_confirmation_search_and_theme_work_without_scripts(plain: Page) -> None:
    plain.goto("/counter")
    expect(plain.get_by_role("link", name="Ledger")).to_be_hidden()
    plain.get_by_role("button", name="Menu").click()
    expect(plain.get_by_role("link", name="Ledger")).to_be_visible()
    plain.get_by_role("button", name="Dark", exact=True).click()
    expect(plain.locator("html")).to_have_attribute("data-theme", "dark")
    plain.get_by_label("Why").fill("it must")
    plain.get_by_role("button", name="Raise").click()
    expect(plain.get_by_role("status")).to_contain_text("Raised, because it must")
    plain.goto("/models/late_arrival")
    plain.get_by_role("button", name="Roll back").click()
    expect(plain.get_by_role("dialog")).to_contain_text("Roll back late_arrival?")
    plain.get_by_role("button", name="Cancel").click()
    expect(plain.get_by_role("dialog")).to_be_hidden()
    plain.get_by_role("searchbox").fill("late")
    plain.get_by_role("searchbox").press("Enter")
    expect(plain.get_by_role("link", name="late_departure")).to_be_visible()
    plain.context.close()


@pytest.mark.parametrize("width", [390, 760, 1024, 1440])
def test_no_page_is_wider_than_its_window(tab: Page, width: int) -> None:
    tab.set_viewport_size({"width": width, "height": 844})
    wide = {}
    for path in PATHS:
        tab.goto(path)
        wide[path] = tab.evaluate("document.documentElement.scrollWidth")
    assert {path: found for path, found in wide.items() if found > width} == {}


def test_a_table_on_a_phone_keeps_its_first_two_columns_in_view(tab: Page) -> None:
    tab.set_viewport_size(PHONE)
    tab.goto("/")
    tab.locator(".scroll").evaluate("e => { e.scrollLeft = 400 }")
    for nth, most in ((1, 120), (2, 260)):
        box = tab.locator(f"tbody tr:first-child td:nth-child({nth})").bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= most
    assert (tab.locator("tbody tr:first-child td:nth-child(3)").bounding_box() or {"x": 999})["x"] < 0


def test_the_head_of_a_long_table_stays_in_view(tab: Page) -> None:
    tab.set_viewport_size({"width": 1440, "height": 420})
    tab.goto("/")
    tab.locator(".scroll").evaluate("e => { e.scrollTop = 100 }")
    head, frame = tab.locator("thead th").first.bounding_box(), tab.locator(".scroll").bounding_box()
    assert head is not None
    assert frame is not None
    assert head["y"] == pytest.approx(frame["y"], abs=1)


def test_the_keyboard_reaches_search_and_content(tab: Page) -> None:
    tab.goto("/parts")
    tab.keyboard.press("Tab")
    expect(tab.get_by_text("Skip to the content")).to_be_focused()
    tab.keyboard.press("Enter")
    expect(tab.locator("#sheet")).to_be_focused()
    tab.keyboard.press("/")
    expect(tab.locator("#search")).to_be_focused()
    tab.keyboard.type("/late")
    expect(tab.locator("#search")).to_have_value("/late")


def test_whatever_has_focus_shows_it(tab: Page) -> None:
    tab.goto("/models/late_arrival")
    for _ in range(25):
        tab.keyboard.press("Tab")
        style = tab.evaluate(OUTLINE)
        assert style == "solid2px"


def test_what_is_copied_is_the_whole_reference(tab: Page) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto("/models/late_arrival")
    tab.locator("dd .ref").first.hover()
    tab.locator("dd .ref .copy-button").first.click()
    expect(tab.locator("dd .ref .copy-button").first).to_have_text("copied")
    assert tab.evaluate("navigator.clipboard.readText()") == tab.locator("dd .ref .mono").first.get_attribute("title")


def test_a_region_follows_its_topic_and_keeps_what_is_typed_elsewhere(tab: Page, state: State, said: Said) -> None:
    tab.goto("/counter")
    expect(tab.locator("body")).to_have_attribute("data-live-state", "on")
    tab.get_by_label("Why").fill("half a sen")
    state.bump("something:else")
    state.bump("counter:one/value")
    expect(tab.locator("#number")).to_have_text("2")
    expect(tab.get_by_label("Why")).to_have_value("half a sen")
    assert said.lines == []


def test_a_change_between_the_page_and_its_stream_is_not_missed(tab: Page, state: State) -> None:
    def late(route: Route) -> None:
        state.bump("counter:one")
        route.continue_()

    tab.route("**/live?**", late)
    tab.goto("/counter")
    expect(tab.locator("#number")).to_have_text("1")


def test_a_page_comes_back_to_events_when_the_server_does(browser: Browser, tmp_path: Path, state: State, port: int) -> None:
    first = Served(gallery(tmp_path, state), port)
    page = browser.new_page()
    page.goto(f"{first.url}/counter")
    expect(page.locator("body")).to_have_attribute("data-live-state", "on")
    first.stop()
    expect(page.locator("body")).to_have_attribute("data-live-state", "away")
    state.bump("counter:one")
    second = Served(gallery(tmp_path, state), port)
    expect(page.locator("#number")).to_have_text("1")
    state.bump("counter:one")
    expect(page.locator("#number")).to_have_text("2")
    page.context.close()
    second.stop()


def test_a_login_by_keyboard_alone_has_its_field_ready(tab: Page) -> None:
    tab.goto("/login")
    expect(tab.get_by_label("Password")).to_be_focused()
    tab.goto("/welcome")
    expect(tab.get_by_label("Password", exact=True)).to_be_focused()

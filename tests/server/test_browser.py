"""People come in through a real browser, whose headers no test client writes as it does."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Role
from modelyard.access.service import invite_user
from tests.server.conftest import Running
from tests.servers import chromium_path

PASSWORD = "four plain words suffice"


@pytest.fixture
def tab(running: Running) -> Iterator[Page]:
    """A tab of a browser that nobody has used."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(base_url=running.url).new_page()
        page.set_default_timeout(15_000)
        yield page
        browser.close()


def _sent(tab: Page, button: str) -> None:
    with tab.expect_navigation():
        tab.get_by_role("button", name=button).click()


def test_a_person_comes_in_by_link_goes_out_and_comes_in_by_password(running: Running, tab: Page) -> None:
    link = running.installation.database.write(lambda tx: invite_user(tx, SYSTEM, "browsing-ada", DEFAULT_TEAM, Role.CONTRIBUTOR))
    tab.goto(link.path)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_label("The same again").fill(PASSWORD)
    _sent(tab, "Choose and log in")
    assert tab.url == f"{running.url}/"
    tab.get_by_role("button", name="browsing-ada").click()
    _sent(tab, "Log out")
    assert tab.url == f"{running.url}/login"
    tab.get_by_label("Name").fill("browsing-ada")
    tab.get_by_label("Password").fill(PASSWORD)
    _sent(tab, "Log in")
    assert tab.url == f"{running.url}/"
    assert tab.get_by_role("button", name="browsing-ada").is_visible()

"""Names, descriptions, tags and sources that MLflow's clients give are shown as text, and every link to such a model leads to it."""

import html
import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from modelyard.access.domain import Role
from tests.server.conftest import Running

SCRIPT = "<script>alert(1)<script>"
HOSTILE = [
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "a?b#c&d=e",
    "100%25 %2e%2e",
    "{{ 7*7 }}{% raw %}",
    "late (ü), 日本",
    "javascript(alert)",
    "a@b c",
]
EVIL = 'x"><script>alert(2)</script><a href="javascript:alert(3)">'
HREF = re.compile(r'(?:href|action)="([^"]*)"')


@pytest.fixture(scope="module")
def browser(running: Running) -> Iterator[httpx.Client]:
    """A contributor's client, after models of hostile names were made, each with a hostile version."""
    client = running.client(Role.CONTRIBUTOR)
    for name in HOSTILE:
        tags = [{"key": "k", "value": EVIL}]
        for path, body in (
            ("registered-models/create", {"name": name, "description": EVIL, "tags": tags}),
            ("model-versions/create", {"name": name, "source": f"s3://b/{EVIL}", "run_id": EVIL[:60], "description": EVIL, "tags": tags}),
            ("registered-models/alias", {"name": name, "alias": "champion", "version": "1"}),
        ):
            answer = client.post(f"/api/2.0/mlflow/{path}", json=body)
            assert answer.status_code == 200, answer.text
    client.headers["accept"] = "text/html"
    yield client
    client.close()


def shown(browser: httpx.Client, path: str) -> str:
    """A page, in which nothing of what was given is markup."""
    answer = browser.get(path)
    assert answer.status_code == 200, (path, answer.text[:300])
    for markup in ("<script>alert", "<img src=x", 'href="javascript', "' onmouseover", ">49<"):
        assert markup not in answer.text, (path, markup)
    return answer.text


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_shown_as_text_and_its_links_lead_to_it(browser: httpx.Client, name: str) -> None:
    home = f"/models/{quote(name, safe='')}"
    page = shown(browser, home)
    assert name in html.unescape(page)
    version = shown(browser, f"{home}/versions/1")
    assert "lie elsewhere" in version
    shown(browser, f"{home}/comparison")
    shown(browser, f"/trace/{quote(name, safe='')}/1")
    links = {html.unescape(found) for found in HREF.findall(page + version) if "/models/" in found}
    assert any(link.startswith(f"{home}/versions/1") for link in links)
    for link in links:
        if not link.endswith(("/alias", "/deprecation", "/retirement", "/reproduce", "/dossiers")):
            assert browser.get(link).status_code == 200, link


@pytest.mark.parametrize("path", ["/", "/models", "/search?q=alert", "/governance", "/ledger", "/models?q=alert"])
def test_lists_show_hostile_names_as_text_and_link_them(browser: httpx.Client, path: str) -> None:
    page = shown(browser, path)
    for link in {html.unescape(found) for found in HREF.findall(page) if found.startswith("/models/")}:
        assert browser.get(link).status_code == 200, link


def test_a_moved_alias_leads_back_to_the_page_of_a_hostile_name(browser: httpx.Client) -> None:
    home = f"/models/{quote(SCRIPT, safe='')}"
    moved = browser.put(f"/api/v1{home}/aliases/challenger", json={"version": 1}, headers={"accept": "application/json"})
    assert moved.json()["model"] == SCRIPT

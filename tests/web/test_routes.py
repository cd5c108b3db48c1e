"""Pages and actions over HTTP: negotiation, errors, forms and what follows them."""

import re
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.web.gallery import PAGES, TOKEN, State

PATHS = [item.path.replace("{model}", "late_arrival") for item in PAGES]
Client = TestClient[Any]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_answers_html_that_no_cache_keeps(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "</html>" in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_no_page_has_an_inline_script_style_or_handler(client: Client, path: str) -> None:
    html = client.get(path).text
    assert "style=" not in html
    assert "<style" not in html
    assert not re.search(r"<[^>]*\son\w+=", html)
    scripts = re.findall(r"<script([^>]*)>", html)
    assert all(' src="/assets/' in script or 'type="application/json"' in script for script in scripts)


def test_a_page_answers_its_context_as_json(client: Client) -> None:
    answer = client.get("/models/late_arrival", headers={"accept": "application/json"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["name"] == "late_arrival"
    assert {"steps", "moments", "performance"} <= set(answer.json())


def test_a_head_request_has_headers_and_no_body(client: Client) -> None:
    answer = client.head("/parts")
    assert (answer.status_code, answer.text) == (200, "")


def test_a_query_reaches_the_function_and_an_empty_one_counts_as_not_given(client: Client) -> None:
    assert "<h1>churn_90d</h1>" in client.get("/parts?named=churn_90d").text
    assert "<h1>late_arrival</h1>" in client.get("/parts?named=&unknown=1").text


def test_an_error_is_a_page_with_code_message_and_next_step(client: Client) -> None:
    answer = client.get("/models/no_such")
    assert answer.status_code == 404
    for words in ("There is nothing here", "404 not_found", "no model no_such", "Next: yard status lists the models"):
        assert words in answer.text


def test_an_error_is_the_one_json_shape_for_programs(client: Client) -> None:
    answer = client.get("/models/no_such", headers={"accept": "application/json"})
    assert answer.json() == {"error": {"code": "not_found", "message": "no model no_such", "hint": "yard status lists the models"}}


def test_a_path_that_nobody_serves_is_a_page_too(client: Client) -> None:
    answer = client.get("/nowhere/at/all")
    assert (answer.status_code, "There is nothing here" in answer.text) == (404, True)
    assert "no page and no operation has this address" in answer.text


def test_a_form_is_answered_by_a_redirect_and_says_what_was_done_once(client: Client, state: State) -> None:
    answer = client.post("/counter/raise", data={"csrf": TOKEN, "why": "it <b>must</b>"})
    assert (answer.status_code, answer.headers["location"], len(state.changes)) == (303, "/counter", 1)
    first, second = client.get("/counter").text, client.get("/counter").text
    assert "Raised, because it &lt;b&gt;must&lt;/b&gt;" in first
    assert "Raised" not in second


@pytest.mark.parametrize("token", ["", "another", "tokén"])
def test_a_form_without_the_sessions_token_does_nothing(client: Client, state: State, token: str) -> None:
    answer = client.post("/counter/raise", data={"csrf": token, "why": "x"})
    assert (answer.status_code, "403 form_is_forged" in answer.text, state.changes) == (403, True, [])


def test_an_action_that_refuses_goes_back_to_its_form_with_the_reason(client: Client) -> None:
    referer = {"referer": "http://gallery.local/counter?tab=2"}
    answer = client.post("/counter/raise", data={"csrf": TOKEN, "why": "refuse"}, headers=referer)
    assert answer.headers["location"] == "/counter?tab=2"
    html = client.get("/counter").text
    assert "the counter is full" in html
    assert "Next: start again" in html


def test_a_form_from_elsewhere_never_sends_the_browser_elsewhere(client: Client) -> None:
    answer = client.post("/counter/raise", data={"csrf": TOKEN, "why": "refuse"}, headers={"referer": "http://evil.example/x"})
    assert answer.headers["location"] == "/"


def test_a_field_that_is_left_out_is_named(client: Client) -> None:
    client.post("/counter/raise", data={"csrf": TOKEN, "why": ""})
    client.post("/counter/raise", data={"csrf": TOKEN})
    assert "why must be given" in client.get("/counter").text


def test_a_note_that_is_not_ours_is_no_note(client: Client) -> None:
    client.cookies.set("yard_notes", "bm90IGpzb24")
    assert client.get("/counter").status_code == 200


@pytest.mark.parametrize(("theme", "shown"), [("dark", ' data-theme="dark"'), ("light", ' data-theme="light"'), ("system", ""), ("x", "")])
def test_the_theme_is_kept_without_a_script(client: Client, theme: str, shown: str) -> None:
    answer = client.post("/preferences/theme", data={"theme": theme}, headers={"referer": "http://gallery.local/parts"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/parts")
    assert f'<html lang="en"{shown}>' in client.get("/parts").text


def test_a_page_that_no_address_names_leads_to_the_first(client: Client) -> None:
    answer = client.post("/preferences/theme", data={"theme": "dark"}, headers={"referer": "http://["})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_cookies_are_kept_from_scripts_and_from_other_sites(client: Client) -> None:
    kept = client.post("/preferences/theme", data={"theme": "dark"}).headers["set-cookie"].lower()
    assert "httponly" in kept
    assert "samesite=lax" in kept
    assert "secure" not in kept

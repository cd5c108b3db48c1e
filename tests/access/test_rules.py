"""Hosts, origins, scopes, roles and waits, decided by plain values."""

import base64
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.access import rules
from modelyard.access.domain import (
    EVERY_TEAM,
    INCLUDES,
    BadOrigin,
    NotAuthenticated,
    Principal,
    PrincipalId,
    Role,
    Scope,
    Session,
    TeamId,
    TokenId,
)
from modelyard.core.clock import SECOND, Instant

HOSTS = rules.allowed_hosts("127.0.0.1", 7700, ["yard.example.com"])
OWN = {"host": "127.0.0.1:7700"}


@pytest.mark.parametrize("host", ["localhost:7700", "LOCALHOST:7700", "[::1]:7700", "127.0.0.1:7700", "yard.example.com"])
def test_the_servers_own_names_are_answered(host: str) -> None:
    rules.checked_origin("GET", {"host": host}, HOSTS)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example:7700",
        "localhost",
        "localhost:7701",
        "127.0.0.1.evil.example:7700",
        "yard.example.com:7700",
        "localhost:7700.evil.example",
    ],
)
def test_a_name_that_was_rebound_to_this_machine_is_not_answered(host: str) -> None:
    with pytest.raises(BadOrigin) as caught:
        rules.checked_origin("GET", {"host": host} if host else {}, HOSTS)
    assert "server.allowed_hosts" in caught.value.hint


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://[::1:7700"},
        {"origin": "http://localhost:8888"},
        {"origin": "file://127.0.0.1:7700"},
        {"origin": "http://127.0.0.1:7700.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_reads_nothing_by_writing(headers: dict[str, str]) -> None:
    with pytest.raises(BadOrigin):
        rules.checked_origin("POST", OWN | headers, HOSTS)


@pytest.mark.parametrize(
    "headers", [{}, {"origin": "http://localhost:7700"}, {"origin": "https://yard.example.com"}, {"sec-fetch-site": "none"}]
)
def test_programs_and_the_servers_own_pages_may_write(headers: dict[str, str]) -> None:
    rules.checked_origin("DELETE", OWN | headers, HOSTS)


def test_a_server_bound_to_an_address_of_its_own_answers_to_it() -> None:
    assert "[fe80::1]:7700" in rules.allowed_hosts("fe80::1", 7700)
    assert "0.0.0.0:7700" not in rules.allowed_hosts("0.0.0.0", 7700)  # noqa: S104 - the address under test


@pytest.mark.parametrize(
    ("host", "is_local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("127.9.9.9", True), ("", False), ("10.0.0.1", False)]
)
def test_loopback_is_this_machine_only(host: str, is_local: bool) -> None:
    assert rules.is_loopback(host) is is_local


def test_a_token_comes_as_bearer_or_as_the_password_of_basic_and_wins_over_a_cookie() -> None:
    text = rules.token_text(TokenId("0" * 12), "a" * 48)
    basic = "Basic " + base64.b64encode(f"anyone:{text}".encode()).decode()
    for header in (f"Bearer {text}", f"bearer {text}", basic):
        assert rules.credentials_of({"authorization": header, "cookie": "yard_session=c"}) == rules.Credentials(token=text)
    assert rules.credentials_of({"cookie": "a=b; yard_session=c"}) == rules.Credentials(cookie="c")
    assert rules.credentials_of({}) == rules.Credentials()


@pytest.mark.parametrize("header", ["", "Bearer", "Basic", "Basic ???", "Basic bm9jb2xvbg==", "Digest x", "yard_0_1"])
def test_a_wrong_authorization_never_falls_back_to_the_cookie(header: str) -> None:
    headers = {"authorization": header, "cookie": "yard_session=c"}
    try:
        found = rules.credentials_of(headers)
    except NotAuthenticated:
        return
    assert found == rules.Credentials()


def test_two_session_cookies_are_none() -> None:
    assert rules.cookie_value("yard_session=a; yard_session=b", "yard_session") == ""


@given(st.text())
def test_no_other_text_is_taken_for_a_token(text: str) -> None:
    assert rules.parsed_token(text) is None
    assert rules.parsed_token(f"yard_{text}") is None


def test_a_csrf_token_belongs_to_one_session() -> None:
    assert rules.is_csrf_token(rules.csrf_token("one"), rules.csrf_token("one"))
    assert not rules.is_csrf_token(rules.csrf_token("one"), rules.csrf_token("two"))
    assert not rules.is_csrf_token("", "")


TRACKING, SERVING, DEPLOY, NOTHING = Scope.TRACKING, Scope.SERVING, Scope.DEPLOY, None


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/api/2.0/mlflow/runs/create", TRACKING),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/a", TRACKING),
        ("POST", "/api/2.0/mlflow/model-versions/create", TRACKING),
        ("POST", "/api/2.0/mlflow/registered-models/alias", DEPLOY),
        ("POST", "/ajax-api/2.0/mlflow/registered-models/alias", DEPLOY),
        ("POST", "/ajax-api/2.0/mlflow/model-versions/transition-stage", DEPLOY),
        ("PUT", "/api/v1/models/searcher", DEPLOY),
        ("PUT", "/api/v1/models/late/aliases/search", DEPLOY),
        ("DELETE", "/api/2.0/mlflow/logged-models/search", TRACKING),
        ("DELETE", "/api/2.0/mlflow/logged-models/m/tags/search", TRACKING),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/search.json", TRACKING),
        ("POST", "/api/2.0/mlflow/model-versions/transition-stage", DEPLOY),
        ("POST", "/ajax-api/2.0/mlflow/registered-models/alias", DEPLOY),
        ("DELETE", "/ajax-api/2.0/mlflow/registered-models/alias", DEPLOY),
        ("POST", "/ajax-api/3.0/mlflow/model-versions/transition-stage", DEPLOY),
        ("DELETE", "/api/2.0/mlflow/registered-models/delete", DEPLOY),
        ("POST", "/ajax-api/2.0/mlflow/registered-models/rename", DEPLOY),
        ("DELETE", "/api/2.0/mlflow/model-versions/delete", DEPLOY),
        ("POST", "/api/2.0/mlflow/webhooks", DEPLOY),
        ("PATCH", "/api/2.0/mlflow/webhooks/1", DEPLOY),
        ("DELETE", "/api/2.0/mlflow/registered-models/delete-tag", TRACKING),
        ("DELETE", "/api/2.0/mlflow/model-versions/delete-tag", TRACKING),
        ("POST", "/api/2.0/mlflow/registered-models/create", TRACKING),
        ("PUT", "/ajax-api/2.0/mlflow-artifacts/artifacts/1/a", TRACKING),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/search.json", TRACKING),
        ("DELETE", "/api/2.0/mlflow-artifacts/artifacts/1/search", TRACKING),
        ("PUT", "/api/v1/models/search_rank", DEPLOY),
        ("PUT", "/api/v1/models/late/aliases/search1", DEPLOY),
        ("DELETE", "/api/v1/models/late/aliases/search1", DEPLOY),
        ("POST", "/api/v1/models/late/versions/search", DEPLOY),
        ("PUT", "/api/v1/runs/search", TRACKING),
        ("POST", "/api/v1/runs", TRACKING),
        ("POST", "/api/v1/deliveries", DEPLOY),
        ("PUT", "/api/v1/models/late/aliases/champion", DEPLOY),
        ("POST", "/predict/late", SERVING),
        ("GET", "/v2/models/late", SERVING),
        ("POST", "/v2/models/late/infer", SERVING),
        ("POST", "/api/v1/tokens", NOTHING),
        ("POST", "/api/v1/users", NOTHING),
        ("DELETE", "/api/v1/users/ada/roles/default", NOTHING),
    ],
)
def test_a_scope_reaches_its_own_paths_and_all_reaches_every_one(method: str, path: str, scope: Scope | None) -> None:
    assert rules.scopes_for(method, path) == {Scope.ALL} | ({scope} if scope else set())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/models"),
        ("HEAD", "/"),
        ("POST", "/api/v1/runs/search"),
        ("POST", "/api/2.0/mlflow/runs/search"),
        ("POST", "/api/2.0/mlflow/experiments/search"),
        ("POST", "/api/2.0/mlflow/experiments/search-datasets"),
        ("POST", "/ajax-api/2.0/mlflow/logged-models/search"),
    ],
)
def test_every_scope_may_read(method: str, path: str) -> None:
    assert rules.scopes_for(method, path) == set(Scope)


@given(st.sampled_from(list(Role)), st.sampled_from(list(Role)))
def test_a_common_role_may_do_what_both_may_and_no_more(one: Role, other: Role) -> None:
    assert INCLUDES[rules.common_role(one, other)] == INCLUDES[one] & INCLUDES[other]


ROLES = st.dictionaries(st.sampled_from([EVERY_TEAM, TeamId("a"), TeamId("b")]), st.sampled_from(list(Role)))


@given(ROLES, st.none() | ROLES)
def test_narrowed_roles_never_exceed_those_of_either_side(owner: dict[TeamId, Role], asked: dict[TeamId, Role] | None) -> None:
    def holder(roles: dict[TeamId, Role]) -> Principal:
        return Principal(id=PrincipalId("usr_1"), name="one", kind="person", roles=roles)

    found = holder(rules.narrowed(owner, asked, EVERY_TEAM))
    for team, role in product(("a", "b", "c"), Role):
        if found.may(role, TeamId(team)):
            assert holder(owner).may(role, TeamId(team))
            assert asked is None or holder(asked).may(role, TeamId(team))
    assert asked is not None or found.roles == owner


@given(st.integers(0, 500), st.sampled_from(["account", "address"]))
def test_waits_grow_with_each_failure_up_to_a_bound(failures: int, kind: rules.Throttled) -> None:
    assert 0 <= rules.wait_s(kind, failures) <= rules.wait_s(kind, failures + 1) <= 900


def test_failures_count_until_a_day_has_passed_without_one() -> None:
    day = rules.FORGET_S * SECOND
    assert rules.failures_after(7, Instant(0), Instant(day)) == 7
    assert rules.failures_after(7, Instant(0), Instant(day + 1)) == 0


def test_a_session_ends_when_idle_and_when_old() -> None:
    def session(seen: int, ends: int) -> Session:
        return Session(id="x", principal=PrincipalId("usr_1"), created_at=Instant(0), seen_at=Instant(seen), expires_at=Instant(ends))

    idle = rules.SESSION_IDLE_S * SECOND
    assert rules.is_session_live(session(0, 10 * idle), Instant(idle - 1))
    assert not rules.is_session_live(session(0, 10 * idle), Instant(idle))
    assert not rules.is_session_live(session(idle - 5, idle), Instant(idle))

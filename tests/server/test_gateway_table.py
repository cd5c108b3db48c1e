"""Every route of a gateway that the control plane tells its tokens is walked as nobody, as each role, and by other scopes."""

from collections.abc import Iterator

import httpx
import pytest

from modelyard.access.domain import INCLUDES, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.service import create_token
from modelyard.server.access_table import GATEWAY, PUBLIC
from tests.live import Live, live
from tests.serving.world import until

pytestmark = pytest.mark.xdist_group("gateway table")
NAMES = {"model": "late", "version": "1", "set": "late_features"}


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An installation that serves version 1."""
    with live(tmp_path_factory.mktemp("table")) as made:
        made.serve(1)
        yield made


def walked(installation: Live, token: str = "") -> dict[str, int]:
    """What each route answers to the token, or to nobody."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=installation.gateway_url, headers=headers, trust_env=False, timeout=20) as client:
        found = {}
        for rule in GATEWAY:
            method, template = rule.split(" ")
            found[rule] = client.request(method, template.format(**NAMES), json={} if method == "POST" else None).status_code
        return found


def test_nobody_reaches_what_is_not_public(installation: Live) -> None:
    answers = walked(installation)
    assert {rule for rule, status in answers.items() if status != 401} == {rule for rule, least in GATEWAY.items() if least == PUBLIC}


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_what_the_table_gives_it_and_an_auditor_no_model(installation: Live, role: Role) -> None:
    token = installation.token_of(role)
    until(lambda: walked(installation, token)["GET /v2"] == 200)
    for rule, status in walked(installation, token).items():
        least = GATEWAY[rule]
        assert least == PUBLIC or least in INCLUDES[role]
        asks_a_model = "{" in rule
        assert status == 404 if asks_a_model and role is Role.AUDITOR else status not in (401, 403, 404, 405, 500), rule


def token_of(installation: Live, scope: Scope) -> str:
    """A new token of that scope, of an admin."""
    order = TokenOrder(name=scope, scopes=(scope,), owner="local-commands")
    return installation.database.write(lambda tx: create_token(tx, SYSTEM, order)).secret


def test_a_token_of_another_scope_reaches_nothing_that_is_not_public(installation: Live) -> None:
    made = [token_of(installation, scope) for scope in Scope if scope not in (Scope.ALL, Scope.SERVING)]
    known = token_of(installation, Scope.SERVING)
    until(lambda: walked(installation, known)["GET /v2"] == 200)
    for token in made:
        answers = walked(installation, token)
        assert all(status == 401 for rule, status in answers.items() if GATEWAY[rule] != PUBLIC)

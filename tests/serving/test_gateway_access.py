"""Who may ask a gateway: tokens under their lease, teams, hosts and origins; nothing but health without a token."""

import hashlib
import re
import socket
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from modelyard.access.domain import TeamId
from modelyard.core.clock import SECOND, Instant, wall_now
from modelyard.core.errors import InvalidInput
from modelyard.serving.domain import Traffic
from modelyard.serving.gateway.routes import ROUTES as ALL
from modelyard.serving.gateway.run import GatewayOptions
from tests.serving.world import ROW, SECRET, TEAM, TOKEN, Gateway, World, running, token

LISTED = tuple(
    (route.method, route.template.format(model="late", version="1", set="late_features")) for route in ALL if not route.is_public
)
ROUTES = (*LISTED, ("GET", "/no"), ("POST", "/no"), ("PUT", "/predict/late"))


def asked(gateway: Gateway, method: str, path: str, **headers: str) -> httpx.Response:
    """A request with nothing but those headers."""
    return gateway.stranger.request(method, path, headers=headers, json={"rows": [ROW]})


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        f"Basic {TOKEN}",
        "Bearer yard_0123456789ab_" + "0" * 48,
        f"Bearer yard_ffffffffffff_{SECRET}",
        f"Bearer {hashlib.sha256(SECRET.encode()).hexdigest()}",
        "Bearer " + "x" * 5000,
    ],
)
def test_every_route_but_health_asks_for_a_token(shared: Gateway, authorization: str) -> None:
    for method, path in ROUTES:
        headers = {"authorization": authorization} if authorization else {}
        answer = asked(shared, method, path, **headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "late" not in answer.text.replace(path, "")


def test_strangers_add_no_series_to_the_metrics(shared: Gateway) -> None:
    for path in ("/anything", "/anything/else", "/predictions/late"):
        assert asked(shared, "GET", path).status_code == 401
    for secret, status in ("", 401), (TOKEN, 404):
        with socket.create_connection((shared.stranger.base_url.host, shared.stranger.base_url.port or 0), timeout=10) as stream:
            proof = f"Authorization: Bearer {secret}\r\n" if secret else ""
            stream.sendall(f"OPTIONS * HTTP/1.1\r\nHost: {shared.stranger.base_url.netloc.decode()}\r\n{proof}\r\n".encode())
            assert stream.recv(100).startswith(f"HTTP/1.1 {status}".encode())
    text = asked(shared, "GET", "/metrics", authorization=f"Bearer {TOKEN}").text
    routes = set(re.findall(r'answers_total\{route="([^"]*)"', text))
    assert "unknown" in routes
    assert routes <= {"predict", "invocations", "v2", "features", "labels", "metrics", "healthz", "readyz", "unknown"}


def test_the_token_opens_them_and_each_that_is_listed_is_there(shared: Gateway) -> None:
    for method, path in ROUTES:
        assert asked(shared, method, path, authorization=f"Bearer {TOKEN}").status_code not in (401, 403)
    for method, path in LISTED:
        assert asked(shared, method, path, authorization=f"Bearer {TOKEN}").status_code not in (404, 405, 500), path


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:7701", ""])
def test_a_foreign_host_is_refused(shared: Gateway, host: str) -> None:
    answer = asked(shared, "POST", "/predict/late", authorization=f"Bearer {TOKEN}", host=host)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "bad_origin")


def test_pages_of_other_sites_are_refused(shared: Gateway) -> None:
    for origin in ("https://evil.example", "null", f"http://localhost:{shared.port}.evil.example"):
        answer = asked(shared, "POST", "/predict/late", authorization=f"Bearer {TOKEN}", origin=origin)
        assert answer.status_code == 403
    assert asked(shared, "POST", "/predict/late", authorization=f"Bearer {TOKEN}", origin=shared.url).status_code == 200


def test_a_token_of_another_team_does_not_see_the_model(world: World) -> None:
    world.assign(world.deployment(1, Traffic(champion=1)), tokens=(token(teams=(TeamId("others"),)),))
    with running(world) as gateway:
        for method, path in ROUTES:
            if "late" in path and method != "PUT":
                answer = gateway.client.request(method, path, json={"rows": [{"origin": "JFK"}]})
                assert answer.status_code == 404, path
                assert "did you mean" not in answer.text
        assert gateway.client.get("/metrics").status_code == 200


def test_values_of_another_teams_view_are_shown_to_none_but_who_sees_it(world: World) -> None:
    deployment = world.deployment(1, Traffic(champion=1))
    guarded = replace(deployment, versions=tuple(replace(one, feature_teams=(TEAM, TeamId("others"))) for one in deployment.versions))
    for teams, status in (((TEAM,), 404), ((TEAM, TeamId("others")), 200)):
        world.assign(guarded, tokens=(token(teams=teams),))
        with running(world) as gateway:
            assert gateway.client.post("/features/late_features", json={"rows": [{"origin": "JFK"}]}).status_code == status
            assert gateway.client.post("/predict/late", json={"rows": [ROW]}).status_code == 200


def test_revoked_and_expired_tokens_stop_working(world: World, gateway: Gateway) -> None:
    gateway.predict()
    one = world.deployment(1, Traffic(champion=1))
    for tokens in ((), (token(expires_at=Instant(wall_now() - 1)),)):
        world.assign(one, tokens=tokens)
        gateway_until(gateway, 401)
        world.assign(one)
        gateway_until(gateway, 200)


def gateway_until(gateway: Gateway, status: int) -> None:
    """Asks until it answers so."""
    for _ in range(2000):
        if gateway.client.post("/predict/late", json={"rows": [ROW]}).status_code == status:
            return
    raise AssertionError(f"it never answered {status}")


def test_tokens_lapse_when_the_control_plane_is_away_for_longer_than_their_lease(world: World) -> None:
    world.assign(world.deployment(1, Traffic(champion=1)), tokens_until=Instant(wall_now() - SECOND))
    with running(world) as gateway:
        answer = gateway.client.post("/predict/late", json={"rows": [ROW]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "tokens_lapsed")
        assert answer.headers["retry-after"] == "1"


def test_without_login_anyone_on_this_machine_may_ask_but_no_page_of_another_site(world: World) -> None:
    with running(world, login=False) as gateway:
        assert asked(gateway, "POST", "/predict/late").status_code == 200
        assert asked(gateway, "POST", "/predict/late", host="evil.example").status_code == 403
        assert asked(gateway, "POST", "/predict/late", origin="https://evil.example").status_code == 403


def test_without_login_it_binds_to_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="without login"):
        GatewayOptions(name="g", folder=tmp_path, host="0.0.0.0", login=False)  # noqa: S104 - refused

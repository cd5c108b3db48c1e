"""Attacks on platforms of this kind that have no place of their own: shells, fetched addresses, other teams' objects, open doors."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import modelyard
from modelyard.access.domain import SYSTEM, Role, TeamId
from modelyard.access.service import create_team
from modelyard.core.settings import Settings, read_settings
from modelyard.delivery.domain import NewDelivery
from modelyard.delivery.service import declare_model, start_delivery
from modelyard.server.roles.common import LoginNeeded
from modelyard.server.roles.gateway import run_gateway
from modelyard.server.roles.server import run_server
from tests.delivery.declaring import declared, write_sources
from tests.server.conftest import Running

SOURCE = Path(modelyard.__file__).parent
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "asyncio.create_subprocess_shell"}
FETCHERS = {"httpx", "requests", "aiohttp", "urllib3", "urllib.request", "http.client", "pycurl"}
CLIENTS = {"cli", "moving", "sdk", "serving/gateway/link.py", "server/doctor.py", "server/supervisor.py"}
"""What asks an address: the user's own commands, moves and SDK, a gateway its control plane, and checks of this machine's own roles."""
GUARDED = {"registry/posting.py"}
"""What posts to the addresses of webhooks, which `tests/registry/test_webhooks.py` shows to be public ones alone."""


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Every module of the product, and where it stands."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE), ast.parse(path.read_text(encoding="utf-8"))


def test_nothing_reaches_a_shell() -> None:
    calls = [(path, node) for path, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = [
        f"{path}:{call.lineno}"
        for path, call in calls
        if ast.unparse(call.func) in SHELLS or any(one.arg == "shell" and isinstance(one.value, ast.Constant) for one in call.keywords)
    ]
    assert found == []


def test_no_server_fetches_an_address_that_a_caller_gives() -> None:
    found = set()
    for path, tree in trees():
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if FETCHERS & set(names) and not {path.as_posix(), path.parts[0]} & CLIENTS:
                found.add(path.as_posix())
    assert found == GUARDED


@pytest.mark.parametrize("run", [run_server, run_gateway])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "yard.example.com", "127.0.0.1.example.com"])  # noqa: S104 - refused
def test_without_login_nothing_listens_beyond_this_machine(tmp_path: Path, run: Callable[[Settings], int], host: str) -> None:
    settings = read_settings(None, {}, {"data": str(tmp_path / "data"), "login": False, "server.host": host, "gateway.host": host})
    with pytest.raises(LoginNeeded, match="--no-login"):
        run(settings)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/2.0/mlflow-artifacts/presigned/0/run/artifacts/a"),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url"),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-download-url"),
        ("GET", "/api/2.0/mlflow/artifacts/credentials-for-read"),
    ],
)
def test_no_address_that_needs_no_login_is_handed_out(running: Running, method: str, path: str) -> None:
    with running.client(Role.ADMIN) as client:
        answer = client.request(method, path, json={"run_id": "a" * 32, "path": "a"} if method == "POST" else None)
    assert answer.status_code in (400, 404, 501)
    assert "url" not in answer.json()


def test_a_part_of_an_upload_needs_the_login_of_whoever_began_it(running: Running) -> None:
    with running.client(Role.ADMIN) as client:
        run = client.post("/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
        address = f"/api/2.0/mlflow-artifacts/mpu/create/0/{run}/artifacts"
        credential = client.post(address, json={"path": "a", "num_parts": 1}).json()["credentials"][0]
        part = urlsplit(credential["url"]).path
        assert credential["headers"] == {"Authorization": client.headers["Authorization"]}
        assert client.put(part, content=b"x").status_code == 200
    with running.client() as nobody:
        assert nobody.put(part, content=b"y").status_code == 401
    with running.client(Role.CONTRIBUTOR) as other:
        assert other.put(part, content=b"y").status_code == 404


@pytest.fixture(scope="module")
def theirs(running: Running, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model of the team red, declared and on its way, by what paths call it."""
    database, folder, team = running.installation.database, tmp_path_factory.mktemp("red"), TeamId("red")
    database.write(lambda tx: create_team(tx, SYSTEM, team, "Red"))
    write_sources(folder)
    declare_model(database, SYSTEM, declared(folder, team=team))
    delivery = database.write(lambda tx: start_delivery(tx, SYSTEM, NewDelivery(model="late")))
    return {"model": "late", "delivery": delivery.id, "view": "weather", "set": "late"}


READ = ("/api/v1/declarations/{model}", "/api/v1/deliveries/{delivery}", "/api/v1/models/{model}", "/api/v1/models/{model}/aliases",
        "/api/v1/models/{model}/versions", "/api/v1/feature-views/{view}", "/api/v1/feature-sets/{set}", "/deliveries/{delivery}",
        "/models/{model}", "/features/{view}")  # fmt: skip
LISTED = ("/api/v1/deliveries", "/api/v1/models", "/api/v1/feature-views", "/api/v1/feature-sets", "/api/v1/fleet/portfolio",
          "/api/v1/ledger/entries", "/", "/models", "/deliveries", "/features", "/ledger", "/governance", "/monitoring",
          "/search?q=late")  # fmt: skip


@pytest.mark.parametrize("role", [Role.VIEWER, Role.CONTRIBUTOR, Role.APPROVER, Role.AUDITOR])
def test_what_is_another_teams_is_missing_everywhere(running: Running, theirs: dict[str, str], role: Role) -> None:
    with running.client(role) as stranger, running.client(Role.ADMIN) as admin:
        for path in (template.format(**theirs) for template in READ):
            assert (stranger.get(path).status_code, admin.get(path).status_code) == (404, 200), path
        for path in LISTED:
            answer = stranger.get(path)
            assert answer.status_code == 200, path
            assert theirs["delivery"] not in answer.text, path
            assert "Warn of late flights" not in answer.text, path
        if role in (Role.CONTRIBUTOR, Role.APPROVER):
            cancel = stranger.post(f"/api/v1/deliveries/{theirs['delivery']}/cancellation", json={"reason": "x"})
            start = stranger.post("/api/v1/deliveries", json={"model": "late"})
            change = stranger.put("/api/v1/models/late/aliases/champion", json={"version": 1})
            assert [one.status_code for one in (cancel, start, change)] == [404, 404, 404]

"""What commands answer, against a real server: one JSON document each, exit codes, and secrets that are shown once."""

from collections.abc import Callable

import pytest

from modelyard.access.domain import Role
from modelyard.cli.table import COMMANDS
from tests.cli.conftest import Yard
from tests.server.conftest import Running
from tests.servers import free_port

ASKING = {
    "status": (),
    "approve": ("apr_nothing",),
    "reject": ("apr_nothing", "--why", "x"),
    "rollback": ("nothing",),
    "deprecate": ("nothing", "--version", "1", "--why", "x"),
    "retire": ("nothing", "--why", "x"),
    "why": ("alr_nothing",),
    "silence": ("alr_nothing", "--for", "2h", "--why", "x"),
    "token list": (),
    "token create": ("ci", "--scope", "deploy"),
    "token revoke": ("000000000000",),
    "user add": ("nobody-yet",),
    "user list": (),
    "features list": (),
    "features show": ("nothing",),
    "features materialize": ("nothing",),
    "features get": ("nothing", "JFK"),
    "features erase": ("nothing", "JFK", "--why", "x"),
    "portfolio": (),
    "questions": (),
    "trace": ("late/1",),
}
ELSEWHERE = {
    "init",
    "plan",
    "apply",
    "features join",
    "features push",
    "ship",
    "reproduce",
    "dossier",
    "trust",
    "verify",
    "log labels",
    "login",
    "logout",
}
ELSEWHERE |= {"tune", "adopt", "sync", "import mlflow", "export", "up", "server", "gateway", "worker", "doctor"}
"""Commands whose JSON is looked at where what they need is there."""
MISSING = {
    "trace",
    "rollback",
    "deprecate",
    "retire",
    "why",
    "silence",
    "approve",
    "reject",
    "token revoke",
    "features show",
    "features materialize",
    "features get",
    "features erase",
}
Become = Callable[[Role], None]


def test_no_command_is_forgotten() -> None:
    assert ASKING.keys() | ELSEWHERE == {command.name for command in COMMANDS}


@pytest.mark.parametrize("name", ASKING)
def test_each_command_prints_exactly_one_json_document(yard: Yard, as_role: Become, name: str) -> None:
    as_role(Role.ADMIN)
    said = yard(*name.split(" "), *ASKING[name], "--json")
    assert said.err == ""
    if name in MISSING:
        assert (said.code, sorted(said.json["error"])) == (1, ["code", "hint", "message"]), said.out
    else:
        assert said.code == 0, said.out
        assert said.json is not None


@pytest.mark.parametrize("name", ASKING)
def test_nothing_answers_is_4_and_says_what_starts_it(yard: Yard, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("MODELYARD_URL", f"http://127.0.0.1:{free_port()}")
    said = yard(*name.split(" "), *ASKING[name])
    assert (said.code, said.out) == (4, "")
    assert "yard up" in said.err


def test_who_may_not_is_told_so_with_5(yard: Yard, as_role: Become, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    as_role(Role.VIEWER)
    assert yard("user", "add", "eve").code == 5
    assert yard("silence", "alr_1", "--for", "2h", "--why", "x").code == 5
    monkeypatch.setenv("MODELYARD_TOKEN", "yard_000000000000_" + "0" * 48)
    assert yard("status", "--json").json["error"]["code"] == "not_authenticated"
    assert yard("status").code == 5


def test_a_token_is_shown_once_alone_and_works(yard: Yard, as_role: Become, monkeypatch: pytest.MonkeyPatch) -> None:
    as_role(Role.ADMIN)
    made = yard("token", "create", "nightly", "--scope", "read")
    secret = made.out.removesuffix("\n")
    assert secret.startswith("yard_")
    assert secret not in made.err
    for words in (["token", "list"], ["token", "list", "--json"]):
        assert secret[18:] not in yard(*words).out
    monkeypatch.setenv("MODELYARD_TOKEN", secret)
    assert yard("status").code == 0
    assert yard("token", "create", "another").code == 5
    as_role(Role.ADMIN)
    assert yard("token", "revoke", secret[5:17]).code == 0
    assert "revoked" in yard("token", "list").out
    monkeypatch.setenv("MODELYARD_TOKEN", secret)
    assert yard("status").code == 5


def test_an_account_comes_with_one_link_and_is_listed(yard: Yard, as_role: Become, running: Running) -> None:
    as_role(Role.ADMIN)
    added = yard("user", "add", "grace", "--role", "approver")
    assert added.out.startswith(f"{running.url}/setup/")
    assert added.out.strip() not in added.err
    assert "approver in default" in next(line for line in yard("user", "list").out.split("\n") if line.startswith("grace"))
    assert yard("user", "add", "grace").code == 1
    assert yard("user", "add", "robot", "--service", "--json").json["kind"] == "service"
    assert yard("token", "create", "for robots", "--account", "robot").out.startswith("yard_")


def test_an_empty_installation_says_so_and_an_unknown_model_is_an_error(yard: Yard, as_role: Become) -> None:
    as_role(Role.VIEWER)
    assert yard("status").out == "Nothing is live.\n"
    parts = ("endpoints", "gateways", "alerts", "views", "deliveries", "approvals", "deprecated")
    assert yard("status", "--json").json == {key: [] for key in parts}
    assert "no_such_model" in yard("status", "nothing").err
    assert yard("rollback", "late", "--to", "three").code == 1

"""Logins: kept for one server, for the user alone, never shown; and where addresses and tokens are taken from."""

import io
import json
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from modelyard.access.domain import EVERY_TEAM, SYSTEM, Role
from modelyard.access.service import choose_password, invite_user
from modelyard.cli.connection import gateway_url, server_url, token_for
from modelyard.core.errors import InvalidInput
from modelyard.sdk.places import Addresses
from tests.cli.conftest import Yard
from tests.server.conftest import Running

PASSWORD = "a long enough phrase 7"
Typed = Callable[[str], None]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Gives commands a standard input."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_a_token_is_kept_for_its_server_by_the_user_alone_and_taken_away(
    yard: Yard, running: Running, typed: Typed, tmp_path: Path
) -> None:
    secret = running.tokens[Role.VIEWER]
    typed(secret + "\n")
    said = yard("login", running.url, "--json")
    assert (said.code, said.json["name"]) == (0, "test-viewer"), said.out
    assert secret not in said.out + said.err
    path = tmp_path / "config" / "modelyard" / "logins.json"
    assert (stat.S_IMODE(path.stat().st_mode), json.loads(path.read_text())["tokens"]) == (0o600, {running.url: secret})
    assert yard("status").code == 0
    assert (token_for(running.url), token_for("http://127.0.0.1:1")) == (secret, "")


def test_a_password_makes_a_token_which_logging_out_revokes(yard: Yard, running: Running, typed: Typed, tmp_path: Path) -> None:
    database = running.installation.database
    invitation = database.write(lambda tx: invite_user(tx, SYSTEM, "ada", EVERY_TEAM, Role.ADMIN))
    choose_password(database, invitation.path.removeprefix("/setup/"), PASSWORD, "127.0.0.1")
    typed("a wrong one\n")
    assert (refused := yard("login", running.url, "--name", "ada")).code == 5, refused.err
    typed(PASSWORD + "\n")
    assert (said := yard("login", running.url, "--name", "ada")).code == 0, said.err
    assert "ada is logged in" in said.out
    assert PASSWORD not in said.out + said.err
    assert yard("user", "list").code == 0
    token = token_for(running.url)
    assert token not in said.out + said.err
    assert yard("logout", "--json").json == {"url": running.url, "revoked": True}
    assert token_for(running.url) == ""
    assert yard("logout").code == 1


@pytest.mark.parametrize("text", ["", "hunter2\n", "yard_000000000000_" + "0" * 48 + "\n"])
def test_what_is_no_token_is_not_kept(yard: Yard, running: Running, typed: Typed, tmp_path: Path, text: str) -> None:
    typed(text)
    assert yard("login", running.url).code in (1, 5)
    assert not (tmp_path / "config").exists()


def test_the_nearest_data_folder_names_the_servers_of_this_machine(yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / ".yard" / "keys"
    keys.mkdir(parents=True)
    (keys / "cli.token").write_text("yard_local")
    addresses = tmp_path / ".yard" / "addresses.json"
    addresses.write_bytes(msgspec.json.encode(Addresses(server="http://127.0.0.1:7810", gateway="http://127.0.0.1:7811")))
    inner = tmp_path / "notebooks"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert (server_url(), gateway_url(), token_for(server_url())) == ("http://127.0.0.1:7810", "http://127.0.0.1:7811", "yard_local")
    assert token_for("https://yard.example.com") == ""
    monkeypatch.setenv("MODELYARD_URL", "https://Yard.example.com/")
    assert (server_url(), gateway_url()) == ("https://yard.example.com", "https://yard.example.com:7701")


def test_a_data_folder_never_sends_tokens_to_another_machine(yard: Yard, tmp_path: Path) -> None:
    (tmp_path / ".yard" / "keys").mkdir(parents=True)
    elsewhere = Addresses(server="https://collector.example.com", gateway="https://collector.example.com")
    (tmp_path / ".yard" / "addresses.json").write_bytes(msgspec.json.encode(elsewhere))
    assert server_url() == "http://127.0.0.1:7700"


def test_an_address_with_a_password_in_it_is_refused(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_URL", "http://ada:secret@127.0.0.1:7700")
    with pytest.raises(InvalidInput):
        server_url()

"""`yard up` beside what runs already: it takes nobody else's server for its own, and says who is in the way."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from modelyard.server.locks import RoleLock
from tests.live import YARD
from tests.server.conftest import Running
from tests.servers import free_port


def up(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`yard up` in an empty folder, which is to end by itself."""
    return subprocess.run([*YARD, "up", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("option", ["--port", "--gateway-port"])
def test_another_installation_at_the_address_is_not_taken_for_our_own(running: Running, tmp_path: Path, option: str) -> None:
    taken = running.url.rpartition(":")[2]
    ports = {"--port": str(free_port()), "--gateway-port": str(free_port())} | {option: taken}
    said = up(tmp_path, *[word for pair in ports.items() for word in pair], "--json")
    assert said.returncode == 1, said.stderr
    error = json.loads(said.stdout)["error"]
    assert error["code"] == "port_taken"
    assert f":{taken}" in error["message"]
    assert option in error["hint"]
    assert not (tmp_path / ".yard" / "addresses.json").exists()


def assert_names_the_holder(said: "subprocess.CompletedProcess[str]", role: str, process: int) -> None:
    assert (said.returncode, said.stdout) == (1, ""), said.stderr
    assert f"the role {role} of" in said.stderr
    assert f"is taken by process {process} [role_taken]" in said.stderr


def test_a_server_that_runs_on_the_folder_is_named(tmp_path: Path) -> None:
    words = [*YARD, "server", "--data", ".yard", "--port", str(free_port())]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready ")
            said = up(tmp_path, "--port", str(free_port()), "--gateway-port", str(free_port()))
        finally:
            process.terminate()
    assert_names_the_holder(said, "server", process.pid)


def test_whoever_holds_the_gateway_s_role_is_named(tmp_path: Path) -> None:
    with RoleLock(tmp_path / ".yard", "gateway"):
        said = up(tmp_path, "--port", str(free_port()), "--gateway-port", str(free_port()))
    assert_names_the_holder(said, "gateway", os.getpid())

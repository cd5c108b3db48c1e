"""`yard up` beside what runs already: it takes nobody else's server for its own, and says who is in the way."""

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from modelyard.server.locks import RoleLock
from tests.live import YARD
from tests.server.conftest import Running
from tests.servers import free_port
from tests.serving.world import until


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
    port = str(free_port())
    words = [*YARD, "server", "--data", ".yard", "--port", port, "--json"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline()) == {"ready": f"http://127.0.0.1:{port}"}
            said = up(tmp_path, "--port", str(free_port()), "--gateway-port", str(free_port()))
        finally:
            process.terminate()
        assert process.stdout.read() == ""
    assert process.returncode == 0
    assert_names_the_holder(said, "server", process.pid)


def test_whoever_holds_the_gateway_s_role_is_named(tmp_path: Path) -> None:
    with RoleLock(tmp_path / ".yard", "gateway"):
        said = up(tmp_path, "--port", str(free_port()), "--gateway-port", str(free_port()))
    assert_names_the_holder(said, "gateway", os.getpid())


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_what_the_server_cannot_prepare_is_what_up_says(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / ".yard").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / ".yard" / "modelyard.db")) as connection:
        connection.executescript("CREATE TABLE modelyard_schema (version_num TEXT); INSERT INTO modelyard_schema VALUES ('9999')")
    said = up(tmp_path, "--port", str(free_port()), "--gateway-port", str(free_port()), *words)
    assert said.returncode == 1
    if words:
        assert json.loads(said.stdout)["error"]["code"] == "conflict"
    else:
        assert said.stdout == ""
        assert "9999, which this Modelyard does not know [conflict]\n  install the newer Modelyard" in said.stderr


def processes_of(folder: Path, role: str) -> list[int]:
    """The processes that run a role on the folder's data."""
    mark = f"modelyard.cli.main {role} --data {folder / '.yard'} "
    known = {int(entry.name): entry / "cmdline" for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    found = []
    for process, path in known.items():
        with contextlib.suppress(OSError):
            if mark in path.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(process)
    return found


def test_up_says_one_document_and_logs_as_json_what_it_starts_again(tmp_path: Path) -> None:
    ports, log = (str(free_port()), str(free_port())), tmp_path / "up.log"
    words = [*YARD, "up", "--port", ports[0], "--gateway-port", ports[1], "--json"]
    with log.open("w") as errors, subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            os.kill(processes_of(tmp_path, "worker")[0], signal.SIGKILL)
            until(lambda: "is started again" in log.read_text())
        finally:
            process.terminate()
        rest = process.stdout.read()
    assert (process.returncode, rest) == (0, "")
    assert (ready["ready"], ready["gateway"]) == (f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    assert ready["first_login"].startswith(f"{ready['ready']}/setup/")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert "up" in {line["role"] for line in lines if line["message"].startswith("worker ended with -9")}


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_a_role_says_one_document_when_it_is_ready_and_ends_well(tmp_path: Path, role: str) -> None:
    port = [] if role == "worker" else ["--port", str(free_port())]
    with subprocess.Popen(
        [*YARD, role, *port, "--json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
        finally:
            process.terminate()
        rest, logged = process.communicate()
    assert ready == {"ready": f"http://127.0.0.1:{port[-1]}" if port else "worker"}
    assert (process.returncode, rest) == (0, "")
    assert {json.loads(line)["role"] for line in logged.splitlines()} <= {role}

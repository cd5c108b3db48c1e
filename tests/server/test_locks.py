"""The locks of a data folder across processes: one holder, who is named, and nothing left behind by one that was killed."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.core.errors import EXIT_CODE
from modelyard.server.locks import PATIENCE_S, RoleLock, RoleTaken, check_free
from modelyard.server.sockets import CannotListen, PortTaken, bound_socket

HOLD = """
import sys
from pathlib import Path
from modelyard.server.locks import RoleLock
with RoleLock(Path(sys.argv[1]), "server"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def holder(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that holds the server's lock of `folder`."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_has_the_role(tmp_path: Path) -> None:
    with holder(tmp_path) as process, pytest.raises(RoleTaken) as refused, RoleLock(tmp_path, "server"):
        pass
    assert f"is taken by process {process.pid}" in refused.value.message
    assert "--data" in refused.value.hint
    assert EXIT_CODE[refused.value.kind] == 1


def test_another_role_and_another_folder_are_free(tmp_path: Path) -> None:
    with holder(tmp_path / "one") as process, RoleLock(tmp_path / "one", "gateway"), RoleLock(tmp_path / "two", "server"):
        held = {path.relative_to(tmp_path).as_posix(): path.read_text().strip() for path in tmp_path.glob("*/locks/*.lock")}
    mine = str(os.getpid())
    assert held == {"one/locks/server.lock": str(process.pid), "one/locks/gateway.lock": mine, "two/locks/server.lock": mine}


def test_a_killed_holder_leaves_the_role_free(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        with RoleLock(tmp_path, "server"):
            assert (tmp_path / "locks" / "server.lock").read_text() != str(process.pid)


def test_what_is_let_go_of_meanwhile_is_waited_for(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        check_free(tmp_path, ("server", "gateway"), ())
    check_free(tmp_path, ("server", "gateway"), ())


def test_one_port_for_two_roles_is_refused(tmp_path: Path) -> None:
    with contextlib.closing(bound_socket("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    check_free(tmp_path, (), [("127.0.0.1", port)])
    with pytest.raises(PortTaken):
        check_free(tmp_path, (), [("127.0.0.1", port), ("127.0.0.1", port)])


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 0), ("2001:db8::1", 0), ("a..b", 0), ("127.0.0.1", 70_000)])
def test_an_address_that_cannot_be_bound_is_refused_at_once(tmp_path: Path, host: str, port: int) -> None:
    began = time.monotonic()
    with pytest.raises(CannotListen, match=host) as refused:
        check_free(tmp_path, (), [(host, port)])
    assert time.monotonic() - began < PATIENCE_S
    assert "--host" in refused.value.hint


def test_a_name_that_leads_nowhere_is_no_taken_port() -> None:
    with pytest.raises(CannotListen, match=r"no-such-host\.invalid:0 cannot be bound"):
        bound_socket("no-such-host.invalid", 0)

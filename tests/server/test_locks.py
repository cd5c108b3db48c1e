"""The locks of a data folder across processes: one holder, who is named, and nothing left behind by one that was killed."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.core.errors import EXIT_CODE
from modelyard.server.listening import PortTaken, bound_socket
from modelyard.server.locks import RoleLock, RoleTaken, check_free

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
    with holder(tmp_path / "one"), RoleLock(tmp_path / "one", "gateway"), RoleLock(tmp_path / "two", "server"):
        pass


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

"""A command that is enclosed: what it sees of the machine, of its parent and of the network, and how it ends."""

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from modelyard.core.enclosure import Enclosure, disks, enclosed, is_enclosing
from modelyard.core.processes import end_child, words_for_child
from tests.serving.world import until


def is_free(stream: IO[bytes]) -> bool:
    """Whether nobody else has the file locked; locks it then."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


pytestmark = pytest.mark.skipif(not is_enclosing(), reason="this machine lets nothing be enclosed")
LOOK = """
import json, os, socket, subprocess, sys
def tried(work):
    try:
        return work()
    except OSError as error:
        return error.strerror
def asked(*words):
    return subprocess.run(words, capture_output=True).returncode
data, port = sys.argv[1:3]
server = socket.create_server(("127.0.0.1", 0))
print(json.dumps({
    "data": os.listdir(data), "run": os.listdir("/run"), "database": tried(lambda: open(data + "/../database").read()),
    "processes": sorted(int(name) for name in os.listdir("/proc") if name.isdigit()), "own": os.getpid(), "parent": os.getppid(),
    "outside": tried(lambda: socket.create_connection(("127.0.0.1", int(port)), 5) and "reached"),
    "inside": tried(lambda: socket.create_connection(server.getsockname(), 5) and "reached"),
    "lifted": asked("umount", "-l", data), "elsewhere": asked("unshare", "-Urm", "umount", "-l", data),
    "disks": [one.name for one in os.scandir("/dev") if one.stat().st_mode & 0o170000 == 0o060000],
    "folder": os.getcwd(), "kept": open("kept").read(), "written": open("written", "w").write("x"),
}))
sys.exit(7)
"""
DAEMON = """
import fcntl, os, time
if os.fork() == 0:
    os.setsid()
    held = os.open("kept", os.O_RDONLY)
    os.dup2(held, 0)  # the kernel closes files in order: the lock is free before the end of the output comes
    os.close(held)
    fcntl.flock(0, fcntl.LOCK_EX)
    os.write(1, b"locked" + os.linesep.encode())
    time.sleep(600)
os.wait()
"""


@pytest.fixture
def enclosure(tmp_path: Path) -> Enclosure:
    """An installation below the test's folder that is hidden, but for the folder that a command works in."""
    data = tmp_path / "data"
    work = data / "work"
    (work / "temporary").mkdir(parents=True)
    (work / "kept").write_text("kept")
    (data / "secret").write_text("the original")
    (tmp_path / "database").write_text("rows")
    base = Path(sys.executable).resolve().parents[1]
    hidden = (str(data), str(tmp_path / "database"))
    return Enclosure(hidden=hidden, shown=(str(base), str(work)), temporary=str(work / "temporary"))


def begun(enclosure: Enclosure, script: str, *words: str) -> subprocess.Popen[bytes]:
    """A script of Python that runs inside, at the folder that is shown, in a process group of its own."""
    python = str(Path(sys.executable).resolve())
    environment = words_for_child({"PATH": os.environ["PATH"]})
    command = enclosed([python, "-E", "-c", script, *words], enclosure)
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=enclosure.shown[1], env=environment, stdout=pipe, stderr=pipe, process_group=0)


def test_a_command_sees_nothing_of_what_is_hidden_nor_of_other_processes_and_reaches_nobody(enclosure: Enclosure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = begun(enclosure, LOOK, enclosure.hidden[0], str(server.getsockname()[1]))
        output, errors = child.communicate(timeout=60)
    assert child.returncode == 7, errors
    seen = json.loads(output)
    assert (seen["data"], seen["run"], seen["disks"]) == (["work"], [], [])
    assert seen["database"] in ("", "No such file or directory")
    assert seen["processes"] == [seen["parent"], seen["own"]] == [1, seen["own"]]
    assert (seen["outside"], seen["inside"]) == ("Connection refused", "reached")
    assert 0 not in (seen["lifted"], seen["elsewhere"])
    assert (seen["folder"], seen["kept"]) == (enclosure.shown[1], "kept")
    assert Path(enclosure.shown[1], "written").read_text() == "x"


def test_with_its_group_everything_inside_ends_also_what_has_left_the_group(enclosure: Enclosure) -> None:
    kept = Path(enclosure.shown[1], "kept")
    with kept.open("rb") as stream, begun(enclosure, DAEMON) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end_child(child)
        child.stdout.read()  # its end comes once the daemon ends; its files are closed one after the other
        until(lambda: is_free(stream))


def test_a_command_that_a_signal_ends_says_which(enclosure: Enclosure) -> None:
    child = begun(enclosure, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM


def test_disks_are_found_beside_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/run/systemd/journal/dev-log")
    (tmp_path / "mapper").mkdir()
    made = False
    for path in (tmp_path / "sda", tmp_path / "mapper" / "root"):
        try:
            os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(7, 0))
            made = True
        except PermissionError:  # only root makes devices
            path.touch()
    assert disks(str(tmp_path)) == ([str(tmp_path / "mapper" / "root"), str(tmp_path / "sda")] if made else [])

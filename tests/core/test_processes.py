"""A child never outlives its parent, whatever kills it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from modelyard.core.processes import end_child, started_child, tied

CHILD = """
import os, signal
from modelyard.core.processes import die_with_parent
die_with_parent(os.environ)
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = f"""
import os, signal, sys
from pathlib import Path
from modelyard.core.processes import started_child
started_child([sys.executable, "-c", {CHILD!r}], dict(os.environ), folder=Path("."), output=1)
signal.pause()
"""
FOREIGN = """
import os, subprocess, sys
from modelyard.core.processes import tied, words_for_child
subprocess.run(tied(["/bin/sh", "-c", "echo up; exec sleep 60"]), env=words_for_child(os.environ))
"""
WITH_A_CHILD = """
import signal, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("up", flush=True)
signal.pause()
"""


def test_an_orphaned_child_is_killed_with_its_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert int(parent.stdout.readline()) > 0
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    # The pipe reaches its end only once every process that holds it is gone: the child too.
    assert parent.stdout.read() == ""
    parent.stdout.close()


def test_ending_a_child_ends_what_it_started(tmp_path: Path) -> None:
    read, write = os.pipe()
    child = started_child([sys.executable, "-c", WITH_A_CHILD], dict(os.environ), folder=tmp_path, output=write)
    os.close(write)
    with os.fdopen(read) as stream:
        assert stream.readline() == "up\n"
        end_child(child)
        assert stream.read() == ""
    assert child.returncode == -signal.SIGKILL


def test_a_foreign_program_is_killed_with_whoever_waits_for_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", FOREIGN], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    parent.kill()
    parent.wait()
    assert parent.stdout.read() == ""
    parent.stdout.close()


def test_a_tied_program_keeps_its_own_words_and_its_own_end() -> None:
    found = subprocess.run(tied(["/bin/sh", "-c", 'printf "%s" "$0"; exit 3', "a b"]), capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("a b", 3)

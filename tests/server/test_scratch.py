"""Temporary files of workers: each in a folder of its own, gone with it, also where it was killed."""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from modelyard.server.scratch import scratch_below

WORKER = """
import signal, sys, tempfile
from pathlib import Path
from modelyard.server.scratch import scratch_below
with scratch_below(Path(sys.argv[1])):
    with tempfile.TemporaryDirectory() as made:
        Path(made, "rows").write_text("rows")
        print(made, flush=True)
        signal.pause()
"""


def worker(folder: Path) -> tuple["subprocess.Popen[str]", Path]:
    """A process that holds a temporary file, and where."""
    process = subprocess.Popen([sys.executable, "-c", WORKER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_worker_left_is_removed_by_the_next_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    (killed, left), (living, held) = worker(tmp_path), worker(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.is_relative_to(tmp_path / "scratch")
    assert (left / "rows").exists()
    with scratch_below(tmp_path):
        assert (left.exists(), (held / "rows").exists()) == (False, True)
    living.kill()
    living.communicate()


def test_nothing_stays_behind_a_clean_end(tmp_path: Path) -> None:
    before = tempfile.gettempdir()
    with scratch_below(tmp_path) as own:
        assert Path(tempfile.gettempdir()) == own
        Path(tempfile.mkdtemp(), "rows").touch()
    assert (tempfile.gettempdir(), list((tmp_path / "scratch").iterdir())) == (before, [])

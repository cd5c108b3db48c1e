"""The join's end of a Ray cluster: gives buckets to the process between and takes their answers, in order.

The nodes read the history's files themselves, so these lie where all reach them. They have the same Modelyard.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.clusters import is_installed
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.processes import end_child, words_for_child
from modelyard.features.stored.answers import BucketTask
from modelyard.features.stored.messages import Ready, Told, answer_file, task_file
from modelyard.features.stored.wire import packed

OUTSIDE_WORDS = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME")
AHEAD = 2
"""Tasks that are on their way for each processor of the cluster."""
ENDING_S = 10.0


class ComputeAway(ModelyardError):
    """The Ray cluster that answers buckets is not reached, or has lost what it was asked."""

    kind = Kind.UNREACHABLE


def answered_on_ray(tasks: Iterable[BucketTask], address: str) -> Iterator[pl.DataFrame]:
    """The answers to each task, in their order, from the Ray cluster at `address`. Raises ComputeAway."""
    if not address or not is_installed():
        what = "features.ray is empty" if not address else "Ray is not installed"
        hint = 'name the cluster: features.ray = "HOST:6379"' if not address else 'pip install "modelyard[server,ray]"'
        raise ComputeAway(f"features.compute is ray, and {what}", hint=hint)
    with tempfile.TemporaryDirectory(prefix="modelyard-buckets-") as folder, _between(Path(folder), address) as process:
        told = _lines(process, Path(folder), address)
        ready = msgspec.json.decode(next(told), type=Ready)
        if ready.away:
            raise _away(address, ready.away)
        given, left = iter(range(10**12)), iter(tasks)
        waiting = [_given(process, Path(folder), next(given), task) for task in islice(left, AHEAD * ready.cpus)]
        while waiting:
            said = msgspec.json.decode(next(told), type=Told)
            if said.error:
                raise _away(address, said.error)
            answer = Path(folder, answer_file(waiting.pop(0)))
            yield pl.read_ipc(answer.read_bytes())
            answer.unlink()
            waiting += [_given(process, Path(folder), next(given), task) for task in islice(left, 1)]


def _between(folder: Path, address: str) -> "_Process":
    words = {name: value for name, value in os.environ.items() if name in OUTSIDE_WORDS or name.startswith("RAY_")}
    # Nodes on this machine import what this process does.
    words = words_for_child(words | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
    with (folder / "log").open("wb") as log:
        return _Process(
            [sys.executable, "-P", "-m", "modelyard.features.stored.carrier", address],
            cwd=folder,
            env=words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            process_group=0,
        )


class _Process(subprocess.Popen[bytes]):
    """The process between, ended with its block."""

    def __exit__(self, *_: object) -> None:
        """Closes what it hears by, and ends it if it does not end by that."""
        assert self.stdin is not None  # a pipe was asked for
        assert self.stdout is not None
        self.stdin.close()
        try:
            self.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            end_child(self)
        self.stdout.close()


def _lines(process: _Process, folder: Path, address: str) -> Iterator[bytes]:
    assert process.stdout is not None  # a pipe was asked for
    yield from process.stdout
    said = (folder / "log").read_text("utf-8", "replace").strip()[-500:]
    raise _away(address, said or "the connection ended")


def _given(process: _Process, folder: Path, number: int, task: BucketTask) -> int:
    assert process.stdin is not None  # a pipe was asked for
    (folder / task_file(number)).write_bytes(packed(task))
    process.stdin.write(f"{number}\n".encode())
    process.stdin.flush()
    return number


def _away(address: str, why: str) -> ComputeAway:
    return ComputeAway(
        f"the Ray cluster at {address} has not answered: {why}",
        hint="ray status says whether it runs; its nodes need the same Modelyard and reach the tables' files; or set features.compute",
    )

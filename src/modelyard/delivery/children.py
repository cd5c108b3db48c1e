"""Runs a job in a project's environment and waits for it: the child dies with this process, and with its claim."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from modelyard.core.enclosure import Enclosure, enclosed, is_enclosing
from modelyard.core.processes import end_child, started_child
from modelyard.delivery.domain import TrainingFailed

T = TypeVar("T")
CHILD = "modelyard.sdk.child"
POLL_S = 0.02
MOST_TOLD = 1500


class ChildLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a child may run, and who says that it must end before: `beat` raises where the claim was lost or the worker ends.

    With an enclosure it finds nothing of the installation, in its environment and arguments either; where the machine refuses
    to enclose, only those are kept clean.
    """

    timeout_s: float
    beat: Callable[[], None]
    enclosure: Enclosure | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a child that failed says of itself."""

    error: dict[str, str]
    trace: str = ""


def ran(interpreter: str, words: Mapping[str, str], job: dict[str, Any], folder: Path, limits: ChildLimits) -> bytes:
    """The result of a job that was run at `folder`, as JSON. Raises TrainingFailed with the end of its log."""
    with _scratch(limits) as scratch:
        asked, result, log = scratch / "job.json", scratch / "result.json", scratch / "log.txt"
        asked.write_bytes(msgspec.json.encode(job | {"result": str(result)}))
        code = _ended([interpreter, "-m", CHILD, str(asked)], words, folder, log, limits)
        if code == 0:
            return result.read_bytes()
        raise _failure(result, log, code)


def called(command: Sequence[str], words: Mapping[str, str], folder: Path, limits: ChildLimits) -> None:
    """Runs a command at `folder` to its end. Raises TrainingFailed with the end of its log where that is not a good one."""
    with _scratch(limits) as scratch:
        log = scratch / "log.txt"
        code = _ended(command, words, folder, log, limits)
        if code != 0:
            raise _failure(scratch / "none", log, code)


@contextlib.contextmanager
def _scratch(limits: ChildLimits) -> Iterator[Path]:
    """A folder for what a child is told and tells, where the child can see it."""
    inside = limits.enclosure.temporary if limits.enclosure is not None else None
    with tempfile.TemporaryDirectory(prefix="modelyard-job-", dir=inside) as scratch:
        yield Path(scratch)


def _ended(command: Sequence[str], words: Mapping[str, str], folder: Path, log: Path, limits: ChildLimits) -> int:
    """The exit code of a command that was run to its end."""
    enclosure = limits.enclosure
    if enclosure is not None:
        words = {**words, "HOME": enclosure.temporary, "TMPDIR": enclosure.temporary}
        command = enclosed(command, enclosure) if is_enclosing() else command
    with log.open("wb") as output:
        child = started_child(command, words, folder=folder, output=output.fileno())
        until = time.monotonic() + limits.timeout_s
        try:
            while child.poll() is None:
                limits.beat()
                if time.monotonic() > until:
                    raise TrainingFailed(f"it ran for over {limits.timeout_s:.0f} s", hint="make it faster, or raise its time limit")
                time.sleep(POLL_S)
        finally:
            end_child(child)
    return child.returncode


def _failure(result: Path, log: Path, code: int) -> TrainingFailed:
    if result.exists():
        told = msgspec.json.decode(result.read_bytes(), type=Told)
        return TrainingFailed(f"{told.error['message']}\n{_end(told.trace)}".strip(), hint=told.error.get("hint", ""))
    tail = _end(log.read_text("utf-8", "replace"))
    last = tail.rpartition("\n")[2]
    return TrainingFailed(f"its process ended with {code}: {last}\n{tail}".strip(), hint="run the project's code by hand to see more")


def _end(text: str) -> str:
    """The last of a log or trace, from the start of a line."""
    text = text.strip()
    return text if len(text) <= MOST_TOLD else text[-MOST_TOLD:].partition("\n")[2]

"""Runs a job in a project's environment and waits for it: the child dies with this process, and with its claim."""

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from modelyard.core.enclosure import Enclosure, enclosed, is_enclosing
from modelyard.core.processes import end_child, started_child
from modelyard.delivery.domain import TrainingFailed

T = TypeVar("T")
CHILD = "modelyard.sdk.child"
POLL_S = 0.02


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
    enclosure = limits.enclosure
    with tempfile.TemporaryDirectory(prefix="modelyard-job-", dir=enclosure.temporary if enclosure else None) as scratch:
        asked, result, log = Path(scratch, "job.json"), Path(scratch, "result.json"), Path(scratch, "log.txt")
        asked.write_bytes(msgspec.json.encode(job | {"result": str(result)}))
        command = [interpreter, "-m", CHILD, str(asked)]
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
        if child.returncode == 0:
            return result.read_bytes()
        raise _failure(result, log, child.returncode)


def _failure(result: Path, log: Path, code: int) -> TrainingFailed:
    if result.exists():
        told = msgspec.json.decode(result.read_bytes(), type=Told)
        return TrainingFailed(f"{told.error['message']}\n{told.trace[-1500:]}".strip(), hint=told.error.get("hint", ""))
    tail = log.read_text("utf-8", "replace")[-1500:]
    return TrainingFailed(f"its process ended with {code}: {tail}".strip(), hint="run the project's code by hand to see more")

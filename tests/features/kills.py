"""Kills of a process that pushes, flushes, brings online and merges, at random moments, and what must hold afterwards."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import numpy as np
from msgspec import Struct

from modelyard.core.clock import Instant
from tests.features.dying import WRITING

ROOT = Path(__file__).parents[2]
STEPS = (("push",), ("push", "flush"), ("push", "materialize"), ("push", "flush", "keep"), ("push", "flush"))
"""What a child does until it is killed in the last of them."""
UNDISTURBED = ("push", "flush", "materialize", "keep")
PARTS, WHOLE = 3, 1_000_000
"""Keys that the online store writes in one step: so few that a change is written in parts, and as many as ever."""
PATIENCE_S = 60.0


class Kill(Struct, frozen=True):
    """What a child does, and when in its last step it is killed: between which of its writes, and how far between them."""

    steps: tuple[str, ...]
    place: float
    share: float
    at_once: int


def planned_kills(random: np.random.Generator, count: int) -> list[Kill]:
    """So many kills, in every step as many as in the others."""
    found = []
    for number in range(count):
        place, share, part = random.random(3).round(4).tolist()
        found.append(Kill(STEPS[number % len(STEPS)], place, share, PARTS if part < 0.3 else WHOLE))
    return found


class Killer:
    """The process whose children die, while the block runs."""

    def __init__(self, url: str, folder: Path, base: Instant) -> None:
        command = [sys.executable, "-m", "tests.features.dying", url, str(folder), str(base)]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._left = b""
        self.gaps_s: dict[str, list[float]] = {}
        """How long each step takes from its beginning to its first write, from there to the write's end, and so on, undisturbed."""

    def __enter__(self) -> "Killer":
        assert self._next() == "ready"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def measure(self) -> None:
        """Has every step be done once undisturbed, by a process that has just begun, as the killed ones are."""
        child = self._begun(Kill(UNDISTURBED, 0, 0, WHOLE))
        name, begun = self._next(), time.monotonic()
        while len(self.gaps_s) < len(UNDISTURBED) or name != UNDISTURBED[0]:
            said, now = self._next(), time.monotonic()
            self.gaps_s.setdefault(name, []).append(now - begun)
            name, begun = name if said == WRITING else said, now
        self._killed(child)

    def carry_out(self, kill: Kill) -> None:
        """Has a child do its steps, and kills it in the last one."""
        child, gaps = self._begun(kill), self.gaps_s[kill.steps[-1]]
        for name in kill.steps:
            while self._next() != name:
                pass
        place = int(kill.place * len(gaps))
        for _ in range(place):
            if self._next() != WRITING:
                break  # it had less to do than when it was measured
        else:
            self._until(time.monotonic() + kill.share * gaps[place])
        self._killed(child)

    def _begun(self, kill: Kill) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{kill.at_once} {' '.join(kill.steps)}\n".encode())
        self._process.stdin.flush()
        return int(self._next())

    def _killed(self, child: int) -> None:
        os.kill(child, signal.SIGKILL)
        while not (said := self._next()).startswith("ended"):
            pass
        assert said == f"ended {int(signal.SIGKILL)}", "the child had died before"

    def _until(self, moment_s: float) -> None:
        """Takes in what the child says, until that moment."""
        while (left_s := moment_s - time.monotonic()) > 0:
            if not self._read(left_s):
                return

    def _read(self, within_s: float) -> bool:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], within_s)[0]:
            return False
        said = os.read(descriptor, 4096)
        assert said, "the process whose children die has died itself"
        self._left += said
        return True

    def _next(self) -> str:
        while b"\n" not in self._left:
            assert self._read(PATIENCE_S), f"nothing was said within {PATIENCE_S:.0f} s"
        line, _, self._left = self._left.partition(b"\n")
        return line.decode()

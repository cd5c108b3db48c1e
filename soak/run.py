"""The long ones: faults, fuzzing, simulations and load, each again and again under new seeds until its share of the time is over.

    python soak/run.py [--hours 1] [--seed N] [--only load,fuzz]

Every run is told with its seed before it begins. One that fails is told again at the end, as the command that repeats it;
the others go on meanwhile. The exit code is 0 only if all held. Each part runs once at least, however short the time.
"""

import argparse
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

ROOT = Path(__file__).resolve().parent.parent
FEWEST_EXAMPLES, MOST_EXAMPLES, EXAMPLES_A_SECOND = 100, 5000, 3.5
LONGEST_S = 3600.0
TOLD = 6000


class Part(msgspec.Struct, frozen=True):
    """A part of the soak: its share of the time, and its command under a seed with so many seconds."""

    share: float
    command: Callable[[int, float], Sequence[str]]


def _tests(*words: str) -> Callable[[int, float], Sequence[str]]:
    return lambda seed, _: ("-m", "pytest", "-q", "-p", "no:cacheprovider", *words, "--seed", str(seed))


def _properties(seed: int, left_s: float) -> Sequence[str]:
    """Every property with as many examples as there is time for."""
    examples = round(min(max(left_s * EXAMPLES_A_SECOND, FEWEST_EXAMPLES), MOST_EXAMPLES))
    return _tests("-m", "hypothesis", "--examples", str(examples))(seed, left_s)


def _script(name: str, at_most_s: float) -> Callable[[int, float], Sequence[str]]:
    return lambda seed, left_s: (f"soak/{name}.py", "--seed", str(seed), "--seconds", f"{min(left_s, at_most_s):.0f}")


PARTS: Mapping[str, Part] = {
    "load": Part(0.25, _script("load", 1800)),
    "artifacts": Part(0.05, _script("artifacts", 300)),
    "kills": Part(0.05, _script("kills", 600)),
    "faults": Part(0.35, _tests("tests/journeys/test_kill.py")),
    "alarms": Part(0.15, _script("alarms", 600)),
    "fuzz": Part(0.15, _properties),
}


def soaked(name: str, part: Part, seconds: float, seed: int) -> list[str]:
    """Runs a part under one seed after the other; the commands that failed."""
    until, failed, runs = time.monotonic() + seconds, [], 0
    while runs == 0 or time.monotonic() < until:
        command = part.command(seed + runs, max(until - time.monotonic(), 20.0))
        told = " ".join([".venv/bin/python", *command])
        _say(f"{name}, seed {seed + runs}: {told}")
        started = time.monotonic()
        is_well, last = _ran(command)
        _say(f"{name}, seed {seed + runs}: {'held' if is_well else 'FAILED'} in {time.monotonic() - started:.0f} s: {last}")
        if not is_well:
            failed.append(told)
        runs += 1
    return failed


def _ran(command: Sequence[str]) -> tuple[bool, str]:
    """Whether a command ended well, and the last line that it said; where it did not, all of its end is printed."""
    words = [sys.executable, *command]
    with tempfile.TemporaryFile("w+") as said:
        try:
            code = subprocess.run(words, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT, timeout=LONGEST_S, check=False).returncode  # noqa: S603 - our own
        except subprocess.TimeoutExpired:
            code = -1
        said.seek(0)
        text = said.read().strip()
    if code != 0:
        _say(text[-TOLD:])
    return code == 0, text.rpartition("\n")[2]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """0 if everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="how long in all, about")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; drawn unless given")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    given = parser.parse_args()
    seed = given.seed or secrets.randbelow(10**6) + 1
    names = [name for name in given.only.split(",") if name]
    whole = sum(PARTS[name].share for name in names)
    _say(f"soaking {', '.join(names)} for about {given.hours:g} h from seed {seed}")
    failed = [one for name in names for one in soaked(name, PARTS[name], given.hours * 3600 * PARTS[name].share / whole, seed)]
    _say("\n".join(["these failed; each line repeats one:", *failed]) if failed else "everything held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""A gateway under load while its versions cut over, canaries come and go, and roles are killed; then its log is held against it.

    python soak/load.py --seed 1 --seconds 60

Holds: no request fails while nothing is killed; every answer bears the version of its revision; every answered prediction
is in the log's tables once, also those that a rollback without control plane answered.
"""

import argparse
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.serving.domain import PredictionQuery, Route
from modelyard.serving.service import get_revision, read_predictions
from modelyard.storage.tables import Tables
from tests.live import Live, live
from tests.serving.world import LATE, ROW, until

THREADS = 3
PAUSE_S = 0.01
VERSIONS = (1, 2, 3)


class Asking:
    """Threads that ask until they are stopped; what they were answered, as small as it can be kept."""

    def __init__(self, made: Live) -> None:
        self.ids: list[bytes] = []
        self.answered: Counter[tuple[int, int]] = Counter()
        self.refused: list[str] = []
        self.broken = 0
        self.may_break = threading.Event()
        self._made, self._stop = made, threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(THREADS)]

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _ask(self, number: int) -> None:
        headers = {"authorization": f"Bearer {self._made.token}"}
        with httpx.Client(base_url=self._made.gateway_url, headers=headers, timeout=30, trust_env=False) as client:
            turn = 0
            while not self._stop.wait(PAUSE_S):
                turn += 1
                rows = [{**ROW, "origin": f"A{number}-{turn}-{row}"} for row in range(3)]
                is_excused = self.may_break.is_set()
                try:
                    answer = client.post("/predict/late", json={"rows": rows})
                except httpx.TransportError as error:
                    self.broken += 1
                    if not (is_excused or self.may_break.is_set()):
                        self.refused.append(repr(error))
                    continue
                self._note(answer)

    def _note(self, answer: httpx.Response) -> None:
        if answer.status_code != httpx.codes.OK:
            self.refused.append(answer.text)
            return
        told = answer.json()
        for one in told["predictions"]:
            self.ids.append(uuid.UUID(one["id"]).bytes)
            self.answered[told["revision"], one.get("version", told["version"])] += 1


class Trouble:
    """What is done to the installation meanwhile, drawn by a seed."""

    def __init__(self, made: Live, asking: Asking, random: np.random.Generator) -> None:
        self._made, self._asking, self._random = made, asking, random
        self._champion = 1
        self.done: Counter[str] = Counter()

    def make(self) -> None:
        """One thing more; once it is over, all roles run."""
        doings: tuple[tuple[Callable[[], None], int], ...] = (
            (self.cut_over, 6),
            (self.canary, 4),
            (self.kill_gateway, 1),
            (self.kill_worker, 1),
            (self.roll_back_without_server, 1),
        )
        weights = np.array([weight for _, weight in doings])
        one = doings[int(self._random.choice(len(doings), p=weights / weights.sum()))][0]
        one()
        self.done[one.__name__] += 1

    def cut_over(self) -> None:
        """Another champion."""
        self._champion = self._other()
        self._made.serve(self._champion)

    def canary(self) -> None:
        """A canary beside the champion, taken back again by a rollback."""
        share = float(self._random.uniform(0.05, 0.9))
        self._made.serve(self._champion, canary=Route(version=self._other(), share=share))
        assert self._made.yard("rollback", "late").returncode == 0

    def kill_gateway(self) -> None:
        """The gateway is gone at once, and comes back."""
        self._asking.may_break.set()
        self._made.end("gateway")
        self._made.start("gateway")
        time.sleep(0.5)
        self._asking.may_break.clear()

    def kill_worker(self) -> None:
        """Whoever compacts the log is gone at once, and comes back."""
        self._made.end("worker")
        self._made.start("worker")

    def roll_back_without_server(self) -> None:
        """The server is gone; the gateway rolls back by itself; when the server is back, all go on from there."""
        self._made.serve(self._champion)
        self._made.end("server")
        self._champion = self._other()
        done = self._made.yard("rollback", "late", "--local", "--to", str(self._champion))
        assert done.returncode in (0, 1), done.stderr
        assert done.returncode == 0 or "version_not_here" in done.stderr, done.stderr
        self._made.start("server")
        if done.returncode == 0:
            until(lambda: self._made.endpoint().live.revision.traffic.champion == self._champion, 60)  # type: ignore[union-attr]  # it is served
        else:
            self._champion = self._made.predict()["version"]

    def _other(self) -> int:
        return int(self._random.choice([version for version in VERSIONS if version != self._champion]))


def held(made: Live, asking: Asking) -> list[str]:
    """What did not hold."""
    found = [f"refused: {one}" for one in asking.refused[:5]]
    with made.database.read() as snapshot:
        for (revision, version), count in asking.answered.items():
            traffic = get_revision(snapshot, SYSTEM, LATE, revision).revision.traffic
            if version not in (traffic.champion, traffic.canary.version if traffic.canary else traffic.champion):
                found.append(f"{count} answers of version {version} under revision {revision}, which is {traffic}")
    with made.client() as client:
        sealed = client.request_seal().before_at
        until(lambda: client.log_position().complete_through_at >= sealed, 180)
    tables = Tables.open(f"file://{made.data / 'tables'}")
    query = PredictionQuery(model=LATE, since=Instant(0), until=Instant(2**60), only=())
    logged = Counter(uuid.UUID(one).bytes for one in read_predictions(tables, query)["id"])
    lost, twice = sum(one not in logged for one in asking.ids), sum(count > 1 for count in logged.values())
    found += [f"{lost} of {len(asking.ids)} answered predictions are not in the log"] if lost else []
    found += [f"{twice} predictions are in the log more than once"] if twice else []
    return found


def main() -> int:
    """0 where all held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    random, end = np.random.default_rng(given.seed), time.monotonic() + given.seconds
    with tempfile.TemporaryDirectory() as folder, live(Path(folder)) as made:
        made.start("worker")
        made.serve(1)
        with Asking(made) as asking:
            trouble = Trouble(made, asking, random)
            while time.monotonic() < end or not trouble.done:
                trouble.make()
        found = held(made, asking)
    sys.stdout.write("".join(f"broken: {one}\n" for one in found))
    doings = ", ".join(f"{count} {name}" for name, count in sorted(trouble.done.items()))
    sys.stdout.write(
        f"{len(asking.ids)} predictions answered under {len({one for one, _ in asking.answered})} revisions, all in the log"
        f" once: {'no' if found else 'yes'}; {doings}; {asking.broken} connections broke by kills\n"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

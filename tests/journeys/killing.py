"""Kills of a running installation at random moments, and traffic meanwhile. Owns no expectation about a delivery."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import msgspec
import numpy as np

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SystemClock
from modelyard.delivery.domain import ENDED, STAGES, DeliveryDetail, DeliveryId, StageName, StageState
from modelyard.delivery.machine import detail_of
from modelyard.delivery.rules import current_stage
from modelyard.delivery.service import list_deliveries
from modelyard.storage.database import Database
from tests.journeys.project import Mine

ROLES = ("server", "gateway", "worker")
CHILDREN = ("modelyard.sdk.child", "modelyard.core.processes", "/uv ")
UP = "up"
LOOK_S = 0.01
PAUSE_S = 0.2
PATIENCE_S = 60.0
ROWS = [{"origin": "JFK", "distance": 500, "hour": 14}, {"origin": "LGA", "distance": 900, "hour": 20}]


class Kill(msgspec.Struct, frozen=True):
    """Who is to be killed in which stage, after which share of the time that the stage takes undisturbed."""

    role: str
    stage: StageName
    share: float


def planned_kills(random: np.random.Generator, deliveries: int) -> list[list[Kill]]:
    """One kill in every stage of each delivery, every role as often as the others, and in the last one `yard up` as a whole."""
    count = deliveries * len(STAGES)
    roles = random.permutation([ROLES[n % len(ROLES)] for n in range(count)]).tolist()
    train, worker = STAGES.index(StageName.TRAIN), roles.index("worker")
    roles[train], roles[worker] = roles[worker], roles[train]  # whoever trains is hit while it does
    kills = [Kill(role, STAGES[n % len(STAGES)], round(float(random.random()), 3)) for n, role in enumerate(roles)]
    plans = [kills[start : start + len(STAGES)] for start in range(0, count, len(STAGES))]
    at = int(random.integers(len(STAGES)))
    plans[-1].insert(at, Kill(UP, STAGES[at], round(float(random.random()), 3)))
    return plans


def waited(found: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Returns once `found` says so."""
    until = time.monotonic() + patience_s
    while not found():
        assert time.monotonic() < until, f"{what} did not come within {patience_s:.0f} s"
        threading.Event().wait(LOOK_S)


class Records:
    """The installation's records, read from its database: also while no server answers."""

    def __init__(self, mine: Mine) -> None:
        self.database = Database.open(f"sqlite:///{mine.folder / '.yard' / 'modelyard.db'}", SystemClock())

    def delivery(self, model: str, after: str = "") -> DeliveryId | None:
        """The model's newest delivery, unless it is `after`."""
        with self.database.read() as snapshot:
            found = list_deliveries(snapshot, SYSTEM, model)
        return found[0].id if found and found[0].id > after else None

    def detail(self, delivery: DeliveryId) -> DeliveryDetail:
        """A delivery with its stages."""
        with self.database.read() as snapshot:
            return detail_of(snapshot, delivery)


def processes(folder: Path) -> dict[int, str]:
    """The living processes that serve the project in `folder`, by id, with their command lines; who only follows a delivery does not."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = f"{told} {(entry / 'cwd').readlink()}"
            is_alive = (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if is_alive and str(folder) in where and "modelyard.cli.main ship" not in told:
            found[int(entry.name)] = told.strip()
    return found


def role_process(mine: Mine, role: str) -> int | None:
    """The process of a role, while it runs."""
    mark = f"modelyard.cli.main {role} "
    return next((number for number, told in processes(mine.folder).items() if mark in told), None)


def kill(mine: Mine, role: str) -> None:
    """Kills a role without warning; one that is being started again is waited for. With `yard up` all go, and it is started again."""
    if role == UP:
        assert mine.up is not None
        mine.up.kill()
        mine.up.communicate()
        waited(lambda: not processes(mine.folder), "the end of all that yard up had started", 10.0)
        mine.start()
        return
    waited(lambda: role_process(mine, role) is not None, f"the role {role}")
    number = role_process(mine, role)
    assert number is not None
    os.kill(number, signal.SIGKILL)
    if role == "worker":
        waited(lambda: not any(mark in told for told in processes(mine.folder).values() for mark in CHILDREN), "the end of its children")


class Killer:
    """Kills in a delivery as planned. `took_s` says how long each stage takes undisturbed."""

    def __init__(self, mine: Mine, records: Records, took_s: dict[StageName, float]) -> None:
        self._mine, self._records, self._took_s = mine, records, took_s
        self.done: list[tuple[str, StageName, StageState]] = []

    def follow(self, delivery: DeliveryId, kills: list[Kill]) -> DeliveryDetail:
        """Carries the kills out, each when its stage has been seen at work for its share of time; the delivery once all is well again."""
        for one in kills:
            waited(lambda one=one: self._is_at(delivery, one.stage), f"{one.stage}")  # type: ignore[misc]
            until = time.monotonic() + one.share * self._took_s[one.stage]
            waited(lambda until=until: time.monotonic() >= until, "a moment")  # type: ignore[misc]
            at = current_stage(self._records.detail(delivery))
            kill(self._mine, one.role)
            self.done.append((one.role, at.name, at.state))
        waited(lambda: self._records.detail(delivery).delivery.state in ENDED, "the end", 2 * PATIENCE_S)
        waited(self._mine.answers, "all roles")
        return self._records.detail(delivery)

    def _is_at(self, delivery: DeliveryId, name: StageName) -> bool:
        detail = self._records.detail(delivery)
        at = current_stage(detail)
        return STAGES.index(at.name) > STAGES.index(name) or (at.name is name and at.state is not StageState.READY)


class Traffic:
    """Requests to the gateway, one after the other, while the block runs; notes every answered prediction."""

    def __init__(self, mine: Mine, models: tuple[str, ...]) -> None:
        self._mine, self._models = mine, models
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")
        self.answered: dict[str, list[str]] = {model: [] for model in models}
        self.refused: list[str] = []
        self.unanswered = 0

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._mine.client(self._mine.gateway) as gateway:
            for model in self._turns():
                try:
                    answer = gateway.post(f"/predict/{model}", json={"rows": ROWS})
                except httpx.HTTPError:
                    self.unanswered += 1
                    continue
                if answer.is_success:
                    self.answered[model] += [one["id"] for one in answer.json()["predictions"]]
                elif answer.status_code != httpx.codes.NOT_FOUND:
                    self.refused.append(answer.text)

    def _turns(self) -> Iterator[str]:
        while not self._stop.wait(PAUSE_S):
            yield from self._models

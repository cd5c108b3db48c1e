"""The replay: hour by hour the clock moves, features are brought online, flights are asked about, labels arrive.

Owns the order of an hour and of a day's end. Nothing of it depends on the machine's speed: the clock stands while a
delivery works, and monitoring looks once the day's log is in the tables.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress

import msgspec

from demo.installation import Place, ProcessFailed, Records
from demo.traffic import HOUR, Outcomes, Step, Traffic
from demo.wire import Refused, Wire
from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant, wall_now
from modelyard.core.errors import ModelyardError
from modelyard.delivery.domain import DeliveryState, Stage, StageState
from modelyard.delivery.service import fire_schedules, follow_alerts, get_delivery, list_deliveries
from modelyard.ledger.service import sequence_pending
from modelyard.monitoring import service as monitoring
from modelyard.serving.domain import Seal
from modelyard.serving.service import log_position, request_seal
from modelyard.serving.service import tick as log_tick
from modelyard.storage.replay import advance_replay

DAY = 24 * HOUR
PAUSE_S, WORK_PAUSE_S = 0.015, 0.05
PATIENCE_S = 120.0
LOOKED_BY = 23 * HOUR
"""How long after midnight, at the latest, a day's look is waited for: the hours go on beside it."""
SKEW_DAYS = 7
"""After how many days what was read online is held against its sources."""
HOLDER = "demo/replay"
MATERIALIZE = "/api/v1/feature-materializations"


class Prediction(msgspec.Struct, frozen=True, gc=False):
    """What the driver keeps of an answer."""

    id: str


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The gateway's answer to a request."""

    predictions: list[Prediction]


class Asked:
    """One model: its connections, the ids that its flights were answered under, and the labels that are to come."""

    def __init__(self, model: str, place: Place, traffic: Traffic) -> None:
        self.model = model
        self.wire, self.telling = (Wire(place.gateway_url, place.token) for _ in range(2))
        self.ids: list[str | None] = [None] * traffic.count
        self.labels: Outcomes = traffic.outcomes(model)


class Midnight:
    """A clock that stands at a midnight while the machine's time goes on: the look at a day does not depend on how long it takes."""

    def __init__(self) -> None:
        self.at = Instant(0)

    def now(self) -> Instant:
        """The midnight."""
        return self.at

    def wall(self) -> Instant:
        """The machine's time."""
        return wall_now()


class Replay:
    """The replay of one installation, from `begins` on."""

    def __init__(self, place: Place, records: Records, traffic: Traffic, models: Sequence[str]) -> None:
        self.place, self.records, self.traffic = place, records, traffic
        self.now = records.database.clock.now()
        self.skipped = sum(step.last - step.first for step in traffic.steps(Instant(0), self.now))
        self.left = 0
        """Flights that are not asked about because the replay was ended early."""
        self.control = Wire(place.url, place.token)
        self.asked = {model: Asked(model, place, traffic) for model in models}
        self.spent: dict[str, float] = {}
        self._wakes_at: Instant | None = None
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._look: Future[None] | None = None
        self._midnight = Midnight()
        self._at_midnight = records.own.with_clock(self._midnight)
        self._answers = msgspec.json.Decoder(Answer)

    def hour(self, step: Step) -> None:
        """Asks every model about the flights of a step, at its instant."""
        if step.at % DAY >= LOOKED_BY:
            self.looked()
        self.move(step.at)
        # Labels are told while features are brought online: neither needs the other.
        telling = self._telling()
        self.materialize()
        body, headers = self.traffic.body(step), {"Modelyard-At": str(step.at)}
        with self._timed("predict"):
            for one in self.asked.values():
                one.wire.send(f"/predict/{one.model}", body, headers)
            for one in self.asked.values():
                self._take(one, step)
        with self._timed("labels"):
            self._told(telling)

    def _take(self, one: Asked, step: Step) -> None:
        try:
            found = self._answers.decode(one.wire.receive())
        except Refused:
            return
        one.ids[step.first : step.last] = [prediction.id for prediction in found.predictions]

    def move(self, at: Instant) -> None:
        """Moves the clock on to `at`, stopping wherever a delivery wakes up on the way."""
        if self._wakes_at is not None and self._wakes_at <= at:
            self.looked()
        while (wakes := self._wakes_at) is not None and wakes <= at:
            # What it wakes up for is a judgement on the log, so that the log comes first.
            self._advance(Instant(max(wakes - 1, self.now)))
            self.tell()
            self.settle_log()
            self._advance(Instant(max(wakes, self.now)))
            self.rest()
        self._advance(at)

    def _advance(self, at: Instant) -> None:
        if at > self.now:
            with self._timed("clock"):
                self.records.own.write(lambda tx: advance_replay(tx, at))
            self.now = at

    def materialize(self) -> None:
        """Brings online what has become available by now."""
        with self._timed("materialize"):
            self.control.ask(MATERIALIZE, b"{}")

    def tell(self) -> None:
        """Sends the labels that have become known by now."""
        with self._timed("labels"):
            self._told(self._telling())

    def _telling(self) -> list[Wire]:
        """Sends each model's labels; the connections on which their answers come."""
        sent = []
        for one in self.asked.values():
            body = one.labels.until(self.now, one.ids)
            if body:
                one.telling.send(f"/labels/{one.model}", body)
                sent.append(one.telling)
        return sent

    def _told(self, sent: Sequence[Wire]) -> None:
        for wire in sent:
            wire.receive()

    def day_end(self, midnight: Instant) -> None:
        """The end of a day: its labels are in, its log is sealed. Monitoring looks at it meanwhile, as of midnight; see `looked`."""
        self.looked()
        self.move(midnight)
        self.tell()
        self._look = self._beside.submit(self._looked_at, midnight, self._sealed())

    def looked(self) -> None:
        """Waits for the look at the last day, if one is under way; then schedules and alerts start what they start."""
        if self._look is None:
            return
        with self._timed("look"):
            self._look.result(PATIENCE_S)
            self._look = None
            sequence_pending(self.records.own, HOLDER)
            self.records.database.write(follow_alerts)
            self.records.database.write(fire_schedules)
        self.rest()

    def _looked_at(self, midnight: Instant, seal: Seal) -> None:
        self._await_log(seal)
        self._midnight.at = midnight
        monitoring.tick(self._at_midnight, self.records.tables)
        if midnight // DAY % SKEW_DAYS == 0:
            monitoring.measure_due(self._at_midnight, self.records.tables)

    def close(self) -> None:
        """Has everything that was answered looked at and held against its sources, and closes the connections."""
        self.looked()
        for _ in range(2):
            # The first call notes up to when the log must be in, the second finds it there.
            monitoring.measure_due(self.records.database, self.records.tables)
            self.settle_log()
        monitoring.measure_due(self.records.database, self.records.tables)
        for wire in (self.control, *(wire for one in self.asked.values() for wire in (one.wire, one.telling))):
            wire.close()

    def settle_log(self) -> None:
        """Waits until all that was answered so far is in the tables, and its events have their places."""
        with self._timed("settle"):
            self._await_log(self._sealed())

    def _sealed(self) -> Seal:
        return self.records.own.write(lambda tx: request_seal(tx, SYSTEM))

    def _await_log(self, seal: Seal) -> None:
        self.await_that("the prediction log to be in the tables", lambda: self._is_complete(seal))
        sequence_pending(self.records.own, HOLDER)

    def _is_complete(self, seal: Seal) -> bool:
        # What fails here is tried again, as a worker would; patience has its end in `await_that`.
        with suppress(ModelyardError):
            log_tick(self.records.own, self.records.blobs, self.records.tables, HOLDER)
        with self.records.own.read() as snapshot:
            return log_position(snapshot).complete_through_at >= seal.before_at

    def rest(self) -> None:
        """Waits until no delivery works: each has ended, bakes, or waits for a person."""
        with self._timed("deliveries"):
            self.await_that("a delivery's stage to end", lambda: not any(map(self._is_at_work, self.open_stages())), WORK_PAUSE_S)
        self._wakes_at = min((stage.wake_at for stage in self.open_stages() if stage.wake_at is not None), default=None)

    def open_stages(self) -> list[Stage]:
        """The stages of deliveries under way that are neither over nor behind another one."""
        with self.records.database.read() as snapshot:
            running = list_deliveries(snapshot, SYSTEM, state=DeliveryState.RUNNING)
            details = [get_delivery(snapshot, SYSTEM, one.id) for one in running]
        states = (StageState.READY, StageState.RUNNING, StageState.WAITING)
        return [stage for detail in details for stage in detail.stages if stage.state in states]

    def _is_at_work(self, stage: Stage) -> bool:
        is_due = stage.wake_at is not None and stage.wake_at <= self.now
        return stage.state is not StageState.WAITING or is_due

    def await_that(self, what: str, is_so: Callable[[], bool], pause_s: float = PAUSE_S) -> None:
        """Waits until `is_so`. Raises ProcessFailed after two minutes."""
        until = time.monotonic() + PATIENCE_S
        while not is_so():
            if time.monotonic() > until:
                raise ProcessFailed(f"waited {PATIENCE_S:.0f} s for {what}; the logs are in {self.place.state}")
            time.sleep(pause_s)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began

"""A model under one revision: splits rows over the arms, answers, logs before it answers, copies to shadows afterwards.

Immutable once made; a cut-over is another handler. Owns the order of these steps; HTTP and the forms of requests are elsewhere.
"""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import msgspec

from modelyard.core.clock import Clock, Instant
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.ids import uuid7
from modelyard.core.names import nearest
from modelyard.serving import rules
from modelyard.serving.domain import Arm, CannotAnswer, Cell, Deployment, NoSuchRevision
from modelyard.serving.gateway.model import NOTHING_READ, Computed, LoadedVersion, taken
from modelyard.serving.gateway.rows import Asked, form_of
from modelyard.serving.keys import id_texts
from modelyard.serving.log.frames import ID_BYTES, PredictionFrame, encoded
from modelyard.serving.log.writer import FrameBody, LogWriter


class Shadows(Protocol):
    """Where copies for shadow versions go."""

    def offer(self, copy: "ShadowCopy") -> None:
        """Takes a copy, or drops and counts it; never waits."""
        ...


class Services(msgspec.Struct, frozen=True):
    """What handlers share: the log, the clock, threads for slow versions, and the queue of shadow copies."""

    log: LogWriter
    clock: Clock
    pool: ThreadPoolExecutor
    shadows: Shadows


class Part(msgspec.Struct, frozen=True):
    """Rows that one arm answers: their places in the request, and what is asked about them."""

    arm: Arm
    loaded: LoadedVersion
    rows: Sequence[int]
    asked: Asked


class Given(msgspec.Struct, frozen=True):
    """What a part was answered with. `reasons` says row by row why the fallback served; empty where it did not."""

    part: Part
    computed: Computed
    values: list[float]
    reasons: list[str | None]
    latency_us: int


class Answer(msgspec.Struct, frozen=True):
    """The answer to a request, row by row, under one revision. Its predictions are durable."""

    model: str
    version: int
    revision: int
    ids: list[str]
    values: list[float]
    versions: list[int] | None
    reasons: list[str | None] | None


class ShadowCopy(msgspec.Struct, frozen=True):
    """An answered request for the versions that only watch."""

    handler: "Handler"
    asked: Asked
    ids: bytes
    now: Instant
    wall: Instant


class Handler:
    """A model that is ready to be served under one revision."""

    def __init__(self, deployment: Deployment, loaded: dict[int, LoadedVersion], services: Services) -> None:
        self.deployment = deployment
        self.revision = deployment.revision
        self.loaded = loaded
        self.form = form_of(deployment)
        self._services = services
        traffic = self.revision.traffic
        self.champion = loaded[traffic.champion]
        self.shadows = tuple(loaded[version] for version in traffic.shadows)
        self._canary = loaded[traffic.canary.version] if traffic.canary and traffic.canary.share > 0 else None
        self._fallback = traffic.fallback
        self._stale = {number: rules.fallback_reason(traffic.fallback, one.version) for number, one in loaded.items()}
        champion = self.champion.version
        self.keys = tuple(name for name, _ in champion.keys)
        self._sticky = self.keys or tuple(name for name, _ in champion.request)

    async def answer(self, asked: Asked, now: Instant, version: int | None = None) -> Answer:
        """The answer to every row, once it is in the log. `version` asks one of the answering versions alone.

        Raises CannotAnswer where a model gave no usable value and there is no fallback, and NoSuchRevision for a version
        that answers nobody now.
        """
        wall = self._services.clock.wall()
        given = [await self._given(part, now) for part in self._parts(asked, version)]
        ids = prediction_ids(asked.rows)
        await self._log(given, ids, now, wall)
        if self.shadows:
            self._services.shadows.offer(ShadowCopy(self, asked, ids, now, wall))
        return self._joined(given, ids, asked.rows)

    def _parts(self, asked: Asked, version: int | None) -> list[Part]:
        whole = range(asked.rows)
        if version is not None:
            arm = rules.arm_of(self.revision.traffic, version)
            if arm is None:
                live = [str(number) for number in self.revision.traffic.versions]
                raise NoSuchRevision(f"version {version} of {self.revision.model} answers nobody now", hint=nearest(str(version), live))
            return [Part(arm, self.loaded[version], whole, asked)]
        canary = self.revision.traffic.canary
        if self._canary is None or canary is None:
            return [Part(Arm.CHAMPION, self.champion, whole, asked)]
        keys = zip(*(asked.columns[name] for name in self._sticky), strict=True) if self._sticky else [()] * asked.rows
        chosen = rules.canary_rows(self.revision.model, canary, keys)
        arms = (
            (Arm.CHAMPION, self.champion, [row for row in whole if not chosen[row]]),
            (Arm.CANARY, self._canary, [row for row in whole if chosen[row]]),
        )
        return [Part(arm, one, rows, asked if len(rows) == asked.rows else taken(asked, rows)) for arm, one, rows in arms if rows]

    async def _given(self, part: Part, now: Instant) -> Given:
        started = time.perf_counter_ns()
        stale = self._stale[part.loaded.version.number]
        if stale is not None:
            return self._fallen_back(part, NOTHING_COMPUTED, stale, started)
        try:
            if part.loaded.is_slow:
                loop = asyncio.get_running_loop()
                computed = await loop.run_in_executor(self._services.pool, part.loaded.answered, part.asked, now)
            else:
                computed = part.loaded.answered(part.asked, now)
        except ModelyardError as error:
            if error.kind is Kind.INVALID or self._fallback is None:
                raise
            return self._fallen_back(part, NOTHING_COMPUTED, error.message, started)
        if not computed.are_finite:
            return self._fallen_back(part, computed, "the model gave no finite value", started)
        return Given(part, computed, computed.values, [], (time.perf_counter_ns() - started) // 1000)

    def _fallen_back(self, part: Part, computed: Computed, why: str, started: int) -> Given:
        if self._fallback is None:
            raise CannotAnswer(
                f"version {part.loaded.version.number} of {self.revision.model}: {why}, and the model declares no fallback",
                hint="declare one: @model(..., fallback=constant(0.25)), or roll back",
            )
        value, made = self._fallback.value, computed.values
        usable = [one - one == 0.0 for one in made] if made else [False] * part.asked.rows
        values = [made[row] if good else value for row, good in enumerate(usable)]
        reasons = [None if good else why for good in usable]
        return Given(part, computed, values, reasons, (time.perf_counter_ns() - started) // 1000)

    async def _log(self, given: list[Given], ids: bytes, now: Instant, wall: Instant) -> None:
        bodies: list[FrameBody] = [(one.part.loaded.layout, encoded(self._frame(one, ids, now, wall))) for one in given]
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._services.log.append(bodies, future)
        await future

    def _frame(self, given: Given, ids: bytes, now: Instant, wall: Instant) -> PredictionFrame:
        part = given.part
        mine = ids if part.asked.rows * ID_BYTES == len(ids) else b"".join(ids[row * ID_BYTES : (row + 1) * ID_BYTES] for row in part.rows)
        columns = part.loaded.logged_columns(part.asked, given.computed.read)
        arm = Arm.FALLBACK if given.reasons and None not in given.reasons else part.arm
        key, revision = part.loaded.layout.key, self.revision.number
        return PredictionFrame(key, now, wall, revision, arm, given.latency_us, mine, given.values, columns, given.reasons)

    def _joined(self, given: list[Given], ids: bytes, rows: int) -> Answer:
        champion, names = self.champion.version.number, id_texts(ids)
        reasons: list[str | None] | None = None
        if len(given) == 1:
            one, number = given[0], given[0].part.loaded.version.number
            versions = None if number == champion else [number] * rows
            return Answer(self.revision.model, champion, self.revision.number, names, one.values, versions, one.reasons or None)
        values, numbers = [0.0] * rows, [champion] * rows
        if any(one.reasons for one in given):
            reasons = [None] * rows
        for one in given:
            for place, row in enumerate(one.part.rows):
                values[row], numbers[row] = one.values[place], one.part.loaded.version.number
                if reasons is not None and one.reasons:
                    reasons[row] = one.reasons[place]
        return Answer(self.revision.model, champion, self.revision.number, names, values, numbers, reasons)

    def shadow_bodies(self, copy: ShadowCopy) -> list[FrameBody]:
        """What the shadows say to a copy, as bodies for the log, under the ids of the answers."""
        bodies: list[FrameBody] = []
        for one in self.shadows:
            started = time.perf_counter_ns()
            computed = one.answered(copy.asked, copy.now)
            latency_us = (time.perf_counter_ns() - started) // 1000
            columns: list[list[Cell]] = one.logged_columns(copy.asked, computed.read)
            number = self.revision.number
            frame = PredictionFrame(one.layout.key, copy.now, copy.wall, number, Arm.SHADOW, latency_us, copy.ids, computed.values, columns)
            bodies.append((one.layout, encoded(frame)))
        return bodies


NOTHING_COMPUTED = Computed(NOTHING_READ, [], False)


def prediction_ids(rows: int) -> bytes:
    """So many UUIDv7s, 16 bytes each, rising: one a request from the process's sequence, its rows told apart behind it.

    The random part of the first is 62 bits; the rows of one request share its upper 46 and count in the lower 16.
    """
    first = uuid7().int & ~0xFFFF
    return b"".join([(first | row).to_bytes(ID_BYTES, "big") for row in range(rows)])

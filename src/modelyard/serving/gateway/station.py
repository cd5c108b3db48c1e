"""A gateway between its requests: tells the control plane how it stands, does what it is assigned, sends sealed segments off.

Owns the rhythm. When the control plane is away it goes on under its last revisions, also after a restart.
"""

import asyncio
import contextlib
import logging
from pathlib import Path

import msgspec

from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import ModelyardError
from modelyard.serving.domain import Assignment, Heartbeat, OwnRevision, RevisionDetail, RevisionState, Switch
from modelyard.serving.gateway.clock import GatewayClock
from modelyard.serving.gateway.door import opened
from modelyard.serving.gateway.guard import Guard
from modelyard.serving.gateway.link import ControlLink
from modelyard.serving.gateway.meters import Meters
from modelyard.serving.gateway.own import CannotKeep, ControlPlaneAnswers, LocalRollback, Standing, planned
from modelyard.serving.gateway.shelf import Shelf
from modelyard.serving.log.shipping import forget, ship
from modelyard.serving.log.writer import LogWriter
from modelyard.storage.blobs import Blobs

AFTER_FAILURE_S = 1.0
KEEP_EVERY_S = 60.0
LOG = "log"


class Identity(msgspec.Struct, frozen=True):
    """A gateway's name and its folder."""

    name: str
    folder: Path


class Parts(msgspec.Struct, frozen=True):
    """What a station works with."""

    shelf: Shelf
    guard: Guard
    log: LogWriter
    blobs: Blobs
    link: ControlLink
    meters: Meters
    clock: GatewayClock


class Station:
    """The task beside the requests."""

    def __init__(self, identity: Identity, parts: Parts) -> None:
        self.identity = identity
        self.parts = parts
        self.is_ready = False
        self.heard_at: Instant | None = None
        self.requests = 0
        self.shed = 0
        self._started_at = parts.clock.wall()
        self._sealed_through = Instant(0)
        self._heard = Assignment()
        self._kept = (Assignment(), Instant(0))
        self._is_cut_off = False
        # Exchanges with the control plane and rollbacks without it take turns: neither sees the other half done.
        self._turn = asyncio.Lock()
        self._door: asyncio.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serves what was served before the stop, begins to exchange with the control plane, and opens the folder's door."""
        kept = self.parts.shelf.restore()
        if kept is not None:
            self._heard = Assignment(tokens=kept.tokens, tokens_until=kept.tokens_until, replay_at=kept.replay_at)
            self.parts.guard.accept(kept.tokens, kept.tokens_until)
            self.parts.clock.follow(kept.replay_at)
            self.heard_at, self.is_ready = kept.heard_at, True
        self._task = asyncio.get_running_loop().create_task(self._follow())
        try:
            self._door = await opened(self.identity.folder, self.roll_back)
        except OSError as error:
            logging.getLogger("modelyard.serving").warning("no rollback by %s: %s", self.identity.folder, error)

    async def stop(self) -> None:
        """Seals the log, sends it off and says so, as far as somebody is there to hear it."""
        if self._door is not None:
            self._door.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(self.parts.log.close)
        with contextlib.suppress(ModelyardError):
            await self._exchange()
        self.parts.link.close()

    async def roll_back(self, order: LocalRollback, by: str) -> RevisionDetail:
        """The own revision that serves from now on, here alone, and after a restart too: `by` has asked for it on this machine.

        Raises ControlPlaneAnswers where it does, what `planned` raises, what loading raises, and CannotKeep; then nothing is changed.
        """
        async with self._turn:
            await self._check_cut_off(order)
            shelf = self.parts.shelf
            live = {model: handler.deployment for model, handler in shelf.live.items()}
            own, deployment = planned(Standing(live, shelf.past, shelf.own, shelf.next_number), order, by, self.parts.clock)
            await asyncio.to_thread(shelf.add_own, own, deployment)
            try:
                await asyncio.to_thread(shelf.keep, self._heard, self.heard_at or Instant(0))
            except OSError as error:
                shelf.drop_own(own)
                raise CannotKeep(f"the gateway's folder cannot be written: {error}", hint="nothing is changed; make room there") from error
            return self._served_own(own)

    async def _check_cut_off(self, order: LocalRollback) -> None:
        """Raises ControlPlaneAnswers unless the last exchange failed and another one does."""
        if not self._is_cut_off:
            try:
                await self._exchanged()
            except ModelyardError:
                self._is_cut_off = True
        if not self._is_cut_off:
            raise ControlPlaneAnswers("the control plane answers this gateway, so it decides", hint=f"yard rollback {order.model}")

    def _served_own(self, own: OwnRevision) -> RevisionDetail:
        since = self.parts.shelf.serve_own(own)
        one, words = own.revision, "%s is at version %d under the gateway's own revision %d, by %s: %s"
        logging.getLogger("modelyard.serving").warning(words, one.model, one.traffic.champion, one.number, own.by, one.cause)
        return RevisionDetail(revision=one, state=RevisionState.LOCAL, switches=(Switch(gateway=self.identity.name, switched_at=since),))

    def control_age_s(self) -> float | None:
        """Seconds since the control plane was last heard of; None before the first time."""
        return None if self.heard_at is None else max(0.0, (self.parts.clock.wall() - self.heard_at) / SECOND)

    async def _follow(self) -> None:
        while True:
            try:
                again_s = await self._exchange()
            except ModelyardError as error:
                logging.getLogger("modelyard.serving").warning("%s; going on under the last revisions", error)
                again_s = AFTER_FAILURE_S
            except Exception:  # a worker's loop: serving goes on whatever an assignment holds
                logging.getLogger("modelyard.serving").exception("an assignment could not be carried out")
                again_s = AFTER_FAILURE_S
            await self._rest(again_s)

    async def _rest(self, seconds: float) -> None:
        """Waits so long, and no longer than until a replay's day is over: its log is wanted at once."""
        day_began = self.parts.clock.day_began
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(day_began.wait(), seconds)
        day_began.clear()

    async def _exchange(self) -> float:
        async with self._turn:
            try:
                again_s = await self._exchanged()
            except ModelyardError:
                self._is_cut_off = True
                raise
            self._is_cut_off = False
            return again_s

    async def _exchanged(self) -> float:
        heartbeat = await asyncio.to_thread(self._heartbeat)
        assignment = await asyncio.to_thread(self.parts.link.exchange, heartbeat)
        self.heard_at, self._heard = self.parts.clock.wall(), assignment
        self.parts.guard.accept(assignment.tokens, assignment.tokens_until)
        self.parts.clock.follow(assignment.replay_at)
        await asyncio.to_thread(self.parts.shelf.prepare, assignment.deployments)
        settled = bool(assignment.taken_over)
        self.parts.shelf.settle(assignment.taken_over, assignment.own_number)
        changed = self.parts.shelf.switch(assignment.active, assignment.prepare) or settled
        self.is_ready = True
        await asyncio.to_thread(self._settle, assignment, changed)
        return self._again_s(assignment, heartbeat, changed)

    def _heartbeat(self) -> Heartbeat:
        parts = self.parts
        # In this order: whatever is appended after the first line is younger than what the line before last reports.
        now = parts.clock.wall()
        through = parts.log.unsealed_since() or now
        try:
            sealed = ship(parts.log.folder, self.identity.name, parts.blobs)
            self._sealed_through = through
        except ModelyardError as error:
            logging.getLogger("modelyard.serving").warning("segments wait for the blob store: %s", error)
            sealed = ()
        return Heartbeat(
            started_at=self._started_at,
            held=parts.shelf.report(),
            sealed=sealed,
            sealed_through_at=self._sealed_through,
            requests=self.requests,
            shed=self.shed,
            log_waiting_bytes=parts.log.waiting_bytes,
            is_failing=parts.log.failed,
            own=parts.shelf.own,
        )

    def _settle(self, assignment: Assignment, changed: bool) -> None:
        """What of an assignment is for the disk: known segments go, revisions and tokens stay."""
        forget(self.parts.log.folder, assignment.registered)
        since = self.parts.log.unsealed_since()
        if since is not None and since < assignment.seal_before:
            self.parts.log.request_seal()
        assert self.heard_at is not None
        before, kept_at = self._kept
        if changed or before.tokens != assignment.tokens or self.heard_at - kept_at > KEEP_EVERY_S * SECOND:
            self.parts.shelf.keep(assignment, self.heard_at)
            self._kept = (assignment, self.heard_at)

    def _again_s(self, assignment: Assignment, heartbeat: Heartbeat, changed: bool) -> float:
        """Soon again where something was just done that the control plane waits for."""
        news = changed or self.parts.shelf.report() != heartbeat.held
        sealing = heartbeat.sealed_through_at < assignment.seal_before
        return 0.02 if news or sealing else assignment.again_s

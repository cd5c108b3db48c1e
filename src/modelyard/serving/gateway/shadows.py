"""Copies for shadow versions: a bounded queue and one thread behind it. Nobody waits for them; what does not fit is dropped and counted."""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor

from modelyard.serving.gateway.handler import ShadowCopy
from modelyard.serving.gateway.meters import Meters
from modelyard.serving.log.writer import LogWriter

MOST_WAITING = 64


class ShadowQueue:
    """The queue of copies, worked off by one task while the gateway runs."""

    def __init__(self, log: LogWriter, meters: Meters) -> None:
        self._log = log
        self._queue: asyncio.Queue[ShadowCopy] = asyncio.Queue(MOST_WAITING)
        self._logged, self._dropped, self._failed = (meters.shadows.labels(outcome) for outcome in ("logged", "dropped", "failed"))
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to work the queue off, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._work())

    def offer(self, copy: ShadowCopy) -> None:
        """Takes a copy, or drops and counts it; never waits."""
        try:
            self._queue.put_nowait(copy)
        except asyncio.QueueFull:
            self._dropped.inc()

    async def stop(self) -> None:
        """Finishes what waits and stops."""
        await self._queue.join()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._pool.shutdown()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            copy = await self._queue.get()
            try:
                bodies = await loop.run_in_executor(self._pool, copy.handler.shadow_bodies, copy)
                self._log.append(bodies)
                self._logged.inc()
            except Exception:  # a worker's loop: a shadow that fails harms nobody, and the next copy may fare better
                self._failed.inc()
                logging.getLogger("modelyard.serving").exception("a shadow of %s failed", copy.handler.revision.model)
            finally:
                self._queue.task_done()

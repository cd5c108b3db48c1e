"""A claim's lease while work goes on: extended in the background, and known to be lost. Owns the thread alone."""

import contextvars
import logging
import threading
from collections.abc import Callable

from modelyard.core.errors import ModelyardError
from modelyard.delivery.domain import FencedOff, TrainingFailed
from modelyard.delivery.environments import EnvironmentFailed
from modelyard.storage.database import Database, Transaction

LOG = logging.getLogger("modelyard.worker")
HEARTBEATS_A_LEASE = 3


class WorkerStops(Exception):
    """No error: the worker was told to end while it held a claim, and gives it back."""


def has_stopped(error: Exception, told: threading.Event | None) -> bool:
    """Whether work ended because the worker does: the signal that it was told by may have reached its child before it was asked."""
    was_told = told is not None and told.is_set()
    return isinstance(error, WorkerStops) or (was_told and isinstance(error, TrainingFailed | EnvironmentFailed))


class Heart:
    """Extends a claim's lease in the background while the block runs; `check` raises once the claim was lost, or `told` to stop."""

    def __init__(
        self, database: Database, extend: Callable[[Transaction], object], lease_s: float, told: threading.Event | None = None
    ) -> None:
        self._told = told
        self._database, self._extend, self._lease_s = database, extend, lease_s
        self._stop = threading.Event()
        self._lost: FencedOff | None = None
        self._thread = threading.Thread(target=contextvars.copy_context().run, args=(self._beat,), name="lease", daemon=True)

    def __enter__(self) -> "Heart":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> None:
        """Raises FencedOff where another worker has taken the work up, and WorkerStops where this one was told to end."""
        if self._lost is not None:
            raise self._lost
        if self._told is not None and self._told.is_set():
            raise WorkerStops

    def _beat(self) -> None:
        while not self._stop.wait(self._lease_s / HEARTBEATS_A_LEASE):
            try:
                self._database.write(self._extend)
            except FencedOff as error:
                self._lost = error
                return
            except ModelyardError:
                LOG.warning("a lease could not be extended", exc_info=True)

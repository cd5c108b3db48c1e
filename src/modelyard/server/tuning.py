"""The worker's hands for studies: threads beside its loop that read a study's rows or work on its trials. Owns what becomes of an error.

A trial waits for its child most of the time, so the loop goes on meanwhile: no delivery waits for a study.
"""

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Protocol

import msgspec
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.underway import JOB_ID
from modelyard.delivery.domain import FencedOff
from modelyard.server.installation import Installation
from modelyard.server.leases import Heart, WorkerStops, has_stopped
from modelyard.server.yards import yard_of
from modelyard.storage.database import Transaction
from modelyard.tuning.cluster.remote import Cluster
from modelyard.tuning.domain import MOST_PARALLEL, HeldTrial, Loss, Study, TrialState
from modelyard.tuning.places import Here, Place
from modelyard.tuning.rows import read_rows
from modelyard.tuning.service import (
    Outcome,
    broken_preparation,
    claimed_preparation,
    claimed_trial,
    ended_trial,
    extended_preparation,
    extended_trial,
    given_back_preparation,
    is_claimable,
    lost_trial,
    prepared,
)

TRACER = trace.get_tracer("modelyard")
LOG = logging.getLogger("modelyard.worker")
PASSING = frozenset({Kind.OVERLOADED, Kind.UNREACHABLE})
"""Errors that another attempt may not meet; any other is the answer."""


class Failed(Protocol):
    """Ends a duty as failed for that reason, or has it taken up again where the error may pass."""

    def __call__(self, reason: str, *, may_pass: bool) -> None: ...


class Duty(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was taken up: the work, which is given what says that it is to end, and what becomes of its claim."""

    name: str
    model: str
    work: Callable[[Callable[[], None]], None]
    extend: Callable[[Transaction], object]
    give_back: Callable[[Transaction], object]
    fail: Failed


class Hands:
    """What one worker does for studies, in at most sixteen threads. `close` has them give back what they hold, and waits for that."""

    def __init__(self, installation: Installation, holder: str, stop: threading.Event) -> None:
        self._installation, self._holder, self._stop = installation, holder, stop
        self._threads: list[threading.Thread] = []
        settings = installation.settings
        self._place: Place = Cluster(settings.worker.ray) if settings.worker.ray else Here(settings.folder / "environments")

    def turn(self) -> bool:
        """Takes up one thing that waits, if there is any, and leaves it to a thread; whether there was."""
        self._threads = [one for one in self._threads if one.is_alive()]
        database, lease_s = self._installation.database, self._installation.settings.worker.lease_s
        if len(self._threads) >= MOST_PARALLEL or self._stop.is_set():
            return False
        with database.read() as snapshot:
            if not is_claimable(snapshot):
                return False
        study = database.write(lambda tx: claimed_preparation(tx, self._holder, lease_s))
        if study is not None:
            self._begin(lambda: _study_prepared(self._installation, study, self._stop))
            return True
        trial = database.write(lambda tx: claimed_trial(tx, self._holder, lease_s))
        if trial is not None:
            self._begin(lambda: _trial_brought_to_end(self._installation, self._place, trial, self._stop))
        return trial is not None

    def rest(self) -> bool:
        """Waits for one of the threads; whether there was one."""
        for thread in self._threads[:1]:
            thread.join()
        return bool(self._threads)

    def close(self) -> None:
        """Waits for every thread. Whoever calls it has set `stop`, or waits for all of the work."""
        for thread in self._threads:
            thread.join()
        self._place.close()

    def _begin(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name="tuning")
        self._threads.append(thread)
        thread.start()


def _study_prepared(installation: Installation, held: Study, stop: threading.Event) -> None:
    database, lease_s = installation.database, installation.settings.worker.lease_s

    def work(beat: Callable[[], None]) -> None:
        rows = read_rows(yard_of(installation, held.holder, beat), held)
        database.write(lambda tx: prepared(tx, held, rows))
        LOG.info("the rows of %s were read: %d to learn from, %d to measure on", held.id, rows.learned, rows.validated)

    def failed(reason: str, *, may_pass: bool) -> None:
        database.write(lambda tx: broken_preparation(tx, held, reason, may_pass=may_pass))

    _done(
        Duty(
            name=f"{held.id}/rows",
            model=held.model,
            work=work,
            extend=lambda tx: extended_preparation(tx, held, lease_s),
            give_back=lambda tx: given_back_preparation(tx, held),
            fail=failed,
        ),
        installation,
        stop,
    )


def _trial_brought_to_end(installation: Installation, place: Place, held: HeldTrial, stop: threading.Event) -> None:
    database, lease_s = installation.database, installation.settings.worker.lease_s

    def work(beat: Callable[[], None]) -> None:
        # Optuna takes a second and 40 MB, which only a study is to pay; the lease is kept up meanwhile.
        from modelyard.tuning.sampling.storage import DatabaseStorage
        from modelyard.tuning.trying import tried

        outcome: Outcome = tried(yard_of(installation, held.holder, beat), DatabaseStorage(database), held, place)
        database.write(lambda tx: ended_trial(tx, held, outcome))
        LOG.info("trial %d of %s: %s", held.number, held.study.id, outcome.state)

    def failed(reason: str, *, may_pass: bool) -> None:
        if may_pass:
            database.write(lambda tx: lost_trial(tx, held, Loss.CRASHED, reason))
        else:
            database.write(lambda tx: ended_trial(tx, held, Outcome(state=TrialState.FAIL, reason=reason)))

    _done(
        Duty(
            name=f"{held.study.id}/{held.number}",
            model=held.study.model,
            work=work,
            extend=lambda tx: extended_trial(tx, held, lease_s),
            give_back=lambda tx: lost_trial(tx, held, Loss.GIVEN_BACK, "its worker was told to end"),
            fail=failed,
        ),
        installation,
        stop,
    )


def _done(duty: Duty, installation: Installation, stop: threading.Event) -> None:
    token = JOB_ID.set(duty.name)
    try:
        with TRACER.start_as_current_span("tune", attributes={"modelyard.job": duty.name, "modelyard.model": duty.model}):
            _brought_to_end(duty, installation, stop)
    except Exception:  # the worker loop: the claim's lease runs out, and another takes it up
        LOG.exception("%s could not be ended", duty.name)
    finally:
        JOB_ID.reset(token)


def _brought_to_end(duty: Duty, installation: Installation, stop: threading.Event) -> None:
    with Heart(installation.database, duty.extend, installation.settings.worker.lease_s, stop) as heart:
        try:
            duty.work(heart.check)
        except FencedOff:
            LOG.warning("%s was stopped, or taken up by another worker", duty.name)
        except Exception as error:  # the worker loop
            with contextlib.suppress(FencedOff):
                if has_stopped(error, stop):
                    installation.database.write(duty.give_back)
                    LOG.info("%s was given back: the worker ends", duty.name, exc_info=not isinstance(error, WorkerStops))
                    return
                reason = f"{error.message} ({error.code})" if isinstance(error, ModelyardError) else f"{type(error).__name__}: {error}"
                LOG.warning("%s broke down", duty.name, exc_info=error)
                trace.get_current_span().set_status(StatusCode.ERROR, reason[:2000])
                if isinstance(error, ModelyardError) and error.kind in PASSING:
                    duty.fail(f"{reason}: {error.hint}", may_pass=True)
                else:
                    duty.fail(reason, may_pass=False)

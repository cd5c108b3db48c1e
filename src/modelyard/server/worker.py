"""The worker's loop: each turn calls every component's tick, then takes up stages that wait. Owns the loop alone."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from msgspec.structs import astuple
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from modelyard.core.clock import ReplayClock
from modelyard.core.errors import ModelyardError
from modelyard.core.underway import JOB_ID
from modelyard.delivery.audits import audit_champions
from modelyard.delivery.domain import Claim, DeliveryDetail, FencedOff
from modelyard.delivery.machine import Outcome, broken, claimed, ended, extended, given_back, is_claimable
from modelyard.delivery.service import fire_schedules, follow_alerts
from modelyard.delivery.stages import staged
from modelyard.features.service import Purging, flush_pushed, keep_histories, materialize_due, purge_erased
from modelyard.governance.service import tick as governance_tick
from modelyard.ledger.service import tick as ledger_tick
from modelyard.monitoring.service import forget_examples, measure_due
from modelyard.monitoring.service import tick as monitoring_tick
from modelyard.registry.service import Courier
from modelyard.server.beside import Beside
from modelyard.server.installation import Installation
from modelyard.server.leases import Heart, WorkerStops, has_stopped
from modelyard.server.reproducing import reproduce_once
from modelyard.server.spools import tick as spools_tick
from modelyard.server.tuning import Hands
from modelyard.server.yards import yard_of
from modelyard.serving.service import note_all_reads
from modelyard.serving.service import tick as log_tick
from modelyard.storage.idempotency import forget_answers
from modelyard.tracking.service import expire_uploads
from modelyard.tracking.service import tick as tracking_tick

TRACER = trace.get_tracer("modelyard")
LOG = logging.getLogger("modelyard.worker")
LEDGER_S = 0.25
SCHEDULES_EVERY_S = 1.0
FEATURES_S = 10.0
HISTORIES_S = 60.0
FLUSH_S = 30.0
ERASURES_S = 15.0
ANSWERS_S = 60.0
READS_S = 600.0
AUDIT_S = 60.0
TICK_S = 2.0
WEBHOOKS_S = 0.5
AFTER_FAILURE_S = 1.0


def work_until(stop: threading.Event, installation: Installation, holder: str) -> None:
    """Works until `stop` is set, and gives back what it then holds. A turn that finds nothing waits for a moment."""
    with contextlib.closing(Courier(installation.database, installation.hooks)) as courier:
        ticks, hands = _ticks(installation, holder, courier), Hands(installation, holder, stop)
        while not stop.is_set():
            for one in ticks:
                one.run()
            if not _has_worked(installation, holder, hands, stop):
                stop.wait(installation.settings.worker.poll_s)
        hands.close()


def _has_worked(installation: Installation, holder: str, hands: Hands, stop: threading.Event) -> bool:
    """Whether there was a stage, a reproduction or something of a study to take up. A database that is away does not end the worker."""
    try:
        has_tuned = hands.turn()
        return work_once(installation, holder, stop) or reproduce_once(installation, holder, stop) or has_tuned
    except Exception:  # the worker loop
        LOG.exception("looking for work failed and is tried again")
        stop.wait(AFTER_FAILURE_S)
        return False


def work_once(installation: Installation, holder: str, stop: threading.Event | None = None) -> bool:
    """Takes up one stage that waits and brings it to its end, or gives it back once `stop` is set; whether there was one."""
    database, lease_s = installation.database, installation.settings.worker.lease_s
    with database.read() as snapshot:
        if not is_claimable(snapshot):
            return False
    found = database.write(lambda tx: claimed(tx, holder, lease_s))
    if found is None:
        return False
    held, detail = found
    token = JOB_ID.set(f"{held.delivery}/{held.stage}")
    try:
        facts = {"modelyard.job": JOB_ID.get(), "modelyard.model": detail.delivery.model}
        with TRACER.start_as_current_span(str(held.stage), attributes=facts):
            _brought_to_end(installation, held, detail, stop)
    finally:
        JOB_ID.reset(token)
    return True


def _brought_to_end(installation: Installation, held: Claim, detail: DeliveryDetail, stop: threading.Event | None) -> None:
    database, lease_s = installation.database, installation.settings.worker.lease_s
    with Heart(database, lambda tx: extended(tx, held, lease_s), lease_s, stop) as heart:
        try:
            outcome: Outcome = staged(held.stage, yard_of(installation, held.holder, heart.check), detail)
            database.write(lambda tx: ended(tx, held, outcome))
            LOG.info("%s of %s: %s", held.stage, held.delivery, type(outcome).__name__.lower())
        except FencedOff:
            LOG.warning("%s of %s was taken up by another worker", held.stage, held.delivery)
        except Exception as error:
            if has_stopped(error, stop):
                with contextlib.suppress(FencedOff):
                    database.write(lambda tx: given_back(tx, held))
                LOG.info("%s of %s was given back: the worker ends", held.stage, held.delivery, exc_info=not isinstance(error, WorkerStops))
                return
            reason = str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {error}"
            LOG.warning("%s of %s broke down", held.stage, held.delivery, exc_info=error)
            trace.get_current_span().set_status(StatusCode.ERROR, reason[:2000])
            with contextlib.suppress(FencedOff):
                database.write(lambda tx: broken(tx, held, reason[:2000]))


class _Tick:
    """Something done again and again, no faster than every so many seconds, that says whether there was anything to do.

    A failure is logged and does not end the worker.
    """

    def __init__(self, name: str, every_s: float, work: Callable[[], object]) -> None:
        self._name, self._every_s, self._work = name, every_s, work
        self._next = 0.0

    def run(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._every_s
        began = time.time_ns()
        try:
            has_worked = bool(self._work())
        except Exception as error:  # the worker loop
            LOG.exception("%s failed and is tried again", self._name)
            span = TRACER.start_span(self._name, start_time=began)
            span.set_status(StatusCode.ERROR, str(error))
            span.end()
        else:
            if has_worked:  # turns that found nothing would bury the others
                TRACER.start_span(self._name, start_time=began).end()


def _ticks(installation: Installation, holder: str, courier: Courier) -> list[_Tick]:
    database, settings = installation.database, installation.settings
    checkpoint_s = settings.ledger.checkpoint_s
    purging = Purging(database=database, histories=installation.histories, online=installation.online, holder=holder)
    erasures = Beside("erasures", lambda: purge_erased(purging, lambda: forget_examples(database)))
    always = [
        _Tick("what is read", READS_S, lambda: database.write(note_all_reads)),
        _Tick("prediction log", TICK_S, lambda: log_tick(database, installation.blobs, installation.tables, holder)),
        _Tick("ledger", LEDGER_S, lambda: ledger_tick(database, installation.log_key, holder, checkpoint_s=checkpoint_s)),
        _Tick("tracking", TICK_S, lambda: tracking_tick(database)),
        _Tick("spools", TICK_S, lambda: spools_tick(installation)),
        _Tick("uploads", ANSWERS_S, lambda: expire_uploads(database, installation.blobs)),
        _Tick("kept answers", ANSWERS_S, lambda: forget_answers(database)),
        _Tick("pushed events", FLUSH_S, lambda: flush_pushed(database, installation.tables, installation.online)),
        _Tick("erasures", ERASURES_S, erasures.turn),
        _Tick("attestations", TICK_S, lambda: governance_tick(database, installation.blobs, installation.role_keys)),
    ]
    if isinstance(installation.clock, ReplayClock):
        # Whoever moves a replay's clock has these looked after at its own instants, so that a slow machine tells the same story. A
        # look that meets a measurement of skew is left to the next tick, which in a replay is a day later.
        return always
    histories = Beside("histories", lambda: keep_histories(database, installation.histories, holder))
    return [
        *always,
        _Tick("monitoring", TICK_S, lambda: any(astuple(monitoring_tick(database, installation.tables)))),
        _Tick("skew", TICK_S, lambda: measure_due(database, installation.tables)),
        _Tick("features", FEATURES_S, lambda: materialize_due(database, installation.online)),
        _Tick("histories", HISTORIES_S, histories.turn),
        _Tick("alerts", SCHEDULES_EVERY_S, lambda: database.write(follow_alerts)),
        _Tick("webhooks", WEBHOOKS_S, courier.tick),
        _Tick("schedules", SCHEDULES_EVERY_S, lambda: database.write(fire_schedules)),
        _Tick("audit", AUDIT_S, lambda: audit_champions(database, settings.reproduction.audit)),
    ]

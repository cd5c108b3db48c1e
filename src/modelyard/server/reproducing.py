"""The worker's turn for reproductions: takes one up under a lease and brings it to its end. Owns what becomes of an error."""

import contextlib
import logging
import threading
from pathlib import Path

from opentelemetry import trace
from opentelemetry.trace import StatusCode

from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.underway import JOB_ID
from modelyard.delivery.domain import FencedOff, Reproduction
from modelyard.delivery.rebuilding import rebuilt
from modelyard.delivery.reproductions import (
    claimed_reproduction,
    ended_reproduction,
    extended_reproduction,
    failed,
    given_back_reproduction,
    is_claimable,
    put_back,
)
from modelyard.server.installation import Installation
from modelyard.server.leases import Heart, WorkerStops, has_stopped
from modelyard.server.outcomes import read_outcome
from modelyard.server.yards import yard_of
from modelyard.storage.objects import local_folder

TRACER = trace.get_tracer("modelyard")
LOG = logging.getLogger("modelyard.worker")
PASSING = frozenset({Kind.OVERLOADED, Kind.UNREACHABLE})
"""Errors that another attempt may not meet; any other is the reproduction's answer."""


def reproduce_once(installation: Installation, holder: str, stop: threading.Event | None = None) -> bool:
    """Takes up one reproduction that waits and brings it to its end, or gives it back once `stop` is set; whether there was one."""
    database, lease_s = installation.database, installation.settings.worker.lease_s
    with database.read() as snapshot:
        if not is_claimable(snapshot):
            return False
    held = database.write(lambda tx: claimed_reproduction(tx, holder, lease_s))
    if held is None:
        return False
    token = JOB_ID.set(f"{held.id}/{held.fence}")
    try:
        with TRACER.start_as_current_span("reproduce", attributes={"modelyard.job": JOB_ID.get(), "modelyard.model": held.model or ""}):
            _brought_to_end(installation, held, stop)
    finally:
        JOB_ID.reset(token)
    return True


def _brought_to_end(installation: Installation, held: Reproduction, stop: threading.Event | None) -> None:
    database, lease_s = installation.database, installation.settings.worker.lease_s
    with Heart(database, lambda tx: extended_reproduction(tx, held, lease_s), lease_s, stop) as heart:
        yard = yard_of(installation, held.holder, heart.check)
        try:
            found = rebuilt(yard, held, _hidden(installation), read_outcome)
            database.write(lambda tx: ended_reproduction(tx, found))
            LOG.info("reproduction %s of %s: %s", held.id, held.name, found.verdict)
        except FencedOff:
            LOG.warning("reproduction %s was taken up by another worker", held.id)
        except Exception as error:  # the worker loop
            if has_stopped(error, stop):
                with contextlib.suppress(FencedOff):
                    database.write(lambda tx: given_back_reproduction(tx, held))
                LOG.info("reproduction %s was given back: the worker ends", held.id, exc_info=not isinstance(error, WorkerStops))
                return
            LOG.warning("reproduction %s broke down", held.id, exc_info=error)
            trace.get_current_span().set_status(StatusCode.ERROR, str(error)[:2000])
            with contextlib.suppress(FencedOff):
                _ended_with(installation, held, error)


def _hidden(installation: Installation) -> tuple[Path, ...]:
    """Every folder and file of this machine that holds something of the installation: no rebuild may find the original there."""
    settings = installation.settings
    database = settings.database_url.partition("sqlite:///")[2]
    places = [local_folder(url) for url in (settings.blobs_url, settings.tables_url)]
    online = settings.online_url.partition("lmdb://")[2]
    # SQLite's latest pages stand beside its file until they are copied into it.
    beside = [f"{database}{end}" for end in ("", "-wal", "-shm", "-journal")] if database else []
    files = [Path(path).absolute() for path in (*beside, online) if path]
    return tuple(dict.fromkeys((settings.folder, *(place.absolute() for place in places if place is not None), *files)))


def _ended_with(installation: Installation, held: Reproduction, error: Exception) -> None:
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ModelyardError):
        reason = f"{error.message} ({error.code})" + (f"; {error.hint}" if error.hint else "")
    if isinstance(error, ModelyardError) and error.kind not in PASSING:
        installation.database.write(lambda tx: ended_reproduction(tx, failed(held, reason)))
    else:
        installation.database.write(lambda tx: put_back(tx, held, reason[:2000]))

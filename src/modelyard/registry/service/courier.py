"""Sends what is on its way to webhooks, behind the transactions that put it there: at least once, tried again for hours.

Owns its threads. A row is claimed for a while in a transaction of its own, so that of several workers one sends it; whoever
dies meanwhile leaves it to be claimed again.
"""

import logging
import random
from concurrent.futures import Future, ThreadPoolExecutor
from http import HTTPStatus

from modelyard.core.clock import SECOND, Instant
from modelyard.core.errors import Kind, ModelyardError
from modelyard.registry.posting import Answered
from modelyard.registry.service.webhooks import Hooks, send
from modelyard.registry.store import webhooks as store
from modelyard.registry.webhooks import Dispatch, HookStatus
from modelyard.storage.database import Database

LOG = logging.getLogger("modelyard.webhooks")
SENDERS = 4
CLAIMED_S = 60
MOST_ATTEMPTS = 12
LONGEST_PAUSE_S = 3600
PASSES = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Answers after which the same may go well later."""


class Courier:
    """Sends on a few threads of its own, so that no slow receiver holds up whoever asks it to look."""

    def __init__(self, database: Database, hooks: Hooks) -> None:
        self._database = database
        self._hooks = hooks
        self._pool = ThreadPoolExecutor(SENDERS, "webhook-sender")
        self._sending: set[Future[None]] = set()

    def tick(self) -> int:
        """Takes up what is due, as far as there are threads; how much it was. While nothing is, it only reads."""
        self._sending = {one for one in self._sending if not one.done()}
        free = SENDERS - len(self._sending)
        with self._database.read() as snapshot:
            if free <= 0 or not store.is_due(snapshot, snapshot.lease_time()):
                return 0
        claimed = self._database.write(lambda tx: store.claim_due(tx, tx.lease_time(), Instant(tx.lease_time() + CLAIMED_S * SECOND), free))
        self._sending |= {self._pool.submit(self._sent, one) for one in claimed}
        return len(claimed)

    def close(self) -> None:
        """Returns when what is being sent was sent."""
        self._pool.shutdown()

    def _sent(self, dispatch: Dispatch) -> None:
        try:
            self._settled(dispatch)
        except Exception:
            LOG.exception("a webhook could not be looked after and is tried again")

    def _settled(self, dispatch: Dispatch) -> None:
        with self._database.read() as snapshot:
            hook = store.find_webhook(snapshot, dispatch.webhook)
        if hook is None or hook.status is not HookStatus.ACTIVE:
            self._database.write(lambda tx: store.delete_dispatch(tx, dispatch.id))
            return
        answered: Answered | None = None
        try:
            answered = send(hook, dispatch.id, dispatch.body, self._hooks, self._database.clock.wall())
            reason, passes = f"it answered {answered.status}", answered.status in PASSES
        except ModelyardError as error:
            reason, passes = error.message, error.kind is Kind.UNREACHABLE
        if answered is not None and answered.status < HTTPStatus.BAD_REQUEST:
            self._database.write(lambda tx: store.delete_dispatch(tx, dispatch.id))
            return
        self._failed(dispatch, hook.name, reason, answered.retry_after_s if answered else 0, passes=passes)

    def _failed(self, dispatch: Dispatch, name: str, reason: str, asked_s: int, *, passes: bool) -> None:
        attempts = dispatch.attempts + 1
        if not passes or attempts >= MOST_ATTEMPTS:
            LOG.warning("the webhook %s was not told of an event, which is given up after %d attempts: %s", name, attempts, reason)
            self._database.write(lambda tx: store.delete_dispatch(tx, dispatch.id))
            return
        pause = pause_s(attempts, asked_s)
        LOG.info("the webhook %s was not told of an event and is tried again in %.0f s: %s", name, pause, reason)
        self._database.write(lambda tx: store.postpone(tx, dispatch.id, Instant(tx.lease_time() + int(pause * SECOND)), attempts))


def pause_s(attempts: int, asked_s: int = 0) -> float:
    """How long to wait after so many failed attempts: twice as long each time, a little by chance, or as long as was asked for."""
    doubled = min(2.0**attempts, LONGEST_PAUSE_S)
    return float(min(max(doubled, asked_s), LONGEST_PAUSE_S)) * random.uniform(1.0, 1.25)

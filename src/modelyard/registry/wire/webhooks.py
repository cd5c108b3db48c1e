"""MLflow's routes about webhooks. A secret comes in and is never told."""

import threading
from typing import Any, ClassVar

import msgspec

from modelyard.access.domain import Principal
from modelyard.registry import service
from modelyard.registry.webhooks import HookStatus, NewWebhook, Webhook, checked_event
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.wire.codec import Int64, Request, wrong
from modelyard.tracking.wire.errors import MlflowError, missing
from modelyard.tracking.wire.experiments import given
from modelyard.tracking.wire.messages import Empty, milliseconds
from modelyard.tracking.wire.routing import MlflowRoute, Read, Write

PATH = "/mlflow/webhooks"
MOST_TRIALS = 2


class HookRequest(Request, kw_only=True):
    """A request about one webhook, by the name in its path."""

    webhook_id: str | None = None


class PutHook(HookRequest, kw_only=True):
    """What a webhook is made of or changed to"""

    name: str | None = None
    url: str | None = None
    events: Any = None
    description: str | None = None
    secret: str | None = None
    status: str | None = None


class CreateHook(PutHook, kw_only=True):
    """webhooks, made"""

    REQUIRED: ClassVar[tuple[str, ...]] = ("name", "url")


class ListHooks(Request, kw_only=True):
    """webhooks, listed"""

    max_results: Int64 | None = None
    page_token: str | None = None


class TryHook(HookRequest, kw_only=True):
    """webhooks/{webhook_id}/test"""

    event: Any = None


class EventMessage(msgspec.Struct, frozen=True):
    """An event."""

    entity: str
    action: str


class HookMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A webhook."""

    webhook_id: str
    name: str
    url: str
    events: list[EventMessage]
    status: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str = ""


class HookAnswer(msgspec.Struct, frozen=True):
    """One webhook."""

    webhook: HookMessage


class HooksAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """Some webhooks."""

    webhooks: list[HookMessage] = []
    next_page_token: str | None = None


class TrialMessage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a trial went."""

    success: bool
    response_status: int | None = None
    response_body: str | None = None
    error_message: str | None = None


class TrialAnswer(msgspec.Struct, frozen=True):
    """The result of a trial."""

    result: TrialMessage


def hook_message(hook: Webhook) -> HookMessage:
    """A webhook on the wire."""
    words = [one.upper().partition(".") for one in hook.events]
    return HookMessage(
        webhook_id=hook.id,
        name=hook.name,
        url=hook.url,
        events=[EventMessage(entity, action) for entity, _, action in words],
        status=hook.status.value,
        creation_timestamp=milliseconds(hook.created_at),
        last_updated_timestamp=milliseconds(hook.updated_at),
        description=hook.description,
    )


def _event(value: Any) -> str:
    entity, action = (value.get("entity"), value.get("action")) if isinstance(value, dict) else (None, None)
    if not isinstance(entity, str) or not isinstance(action, str):
        raise wrong("event", value)
    return checked_event(entity, action)


def _body(request: PutHook) -> NewWebhook:
    if not isinstance(request.events, list | None):
        raise wrong("events", request.events)
    status = next((one for one in HookStatus if one == request.status), None)
    return NewWebhook(
        name=request.name or None,
        url=request.url or None,
        events=tuple(_event(one) for one in request.events or ()),
        description=request.description,
        status=status,
        secret=request.secret,
    )


class WebhookRoutes:
    """The routes, over what webhooks need of the installation."""

    def __init__(self, hooks: service.Hooks) -> None:
        self._hooks = hooks
        self._trials = threading.BoundedSemaphore(MOST_TRIALS)

    def rows(self) -> tuple[MlflowRoute, ...]:
        """The rows for the table."""
        one = f"{PATH}/{{webhook_id}}"
        return (
            MlflowRoute(method="POST", path=PATH, request=CreateHook, action=Write(self._create)),
            MlflowRoute(method="GET", path=PATH, request=ListHooks, action=Read(self._list)),
            MlflowRoute(method="GET", path=one, request=HookRequest, action=Read(self._get)),
            MlflowRoute(method="PATCH", path=one, request=PutHook, action=Write(self._update)),
            MlflowRoute(method="DELETE", path=one, request=HookRequest, action=Write(self._delete)),
            MlflowRoute(method="POST", path=f"{one}/test", request=TryHook, action=Read(self._try)),
        )

    def _create(self, tx: Transaction, principal: Principal, request: CreateHook) -> HookAnswer:
        if request.events is None:
            raise missing("events")
        return HookAnswer(hook_message(service.create_webhook(tx, principal, _body(request), self._hooks)))

    def _list(self, snapshot: Snapshot, principal: Principal, request: ListHooks) -> HooksAnswer:
        found = service.list_webhooks(snapshot, principal, request.max_results or 0, request.page_token or "")
        return HooksAnswer([hook_message(one) for one in found.webhooks], found.next or None)

    def _get(self, snapshot: Snapshot, principal: Principal, request: HookRequest) -> HookAnswer:
        return HookAnswer(hook_message(service.get_webhook(snapshot, principal, given(request.webhook_id))))

    def _update(self, tx: Transaction, principal: Principal, request: PutHook) -> HookAnswer:
        found = service.get_webhook(tx, principal, given(request.webhook_id))
        return HookAnswer(hook_message(service.update_webhook(tx, principal, found.id, _body(request), self._hooks)))

    def _delete(self, tx: Transaction, principal: Principal, request: HookRequest) -> Empty:
        service.delete_webhook(tx, principal, given(request.webhook_id))
        return Empty()

    def _try(self, snapshot: Snapshot, principal: Principal, request: TryHook) -> TrialAnswer:
        hook = service.get_webhook(snapshot, principal, given(request.webhook_id))
        event = hook.events[0] if request.event is None else _event(request.event)
        # Each trial holds a reader for as long as the other side takes, ten seconds at most.
        if not self._trials.acquire(blocking=False):
            raise MlflowError("REQUEST_LIMIT_EXCEEDED", "Other webhooks are being tried; try again in a moment.")
        try:
            trial = service.try_webhook(snapshot, hook, event, self._hooks)
        finally:
            self._trials.release()
        if trial.answered is None:
            return TrialAnswer(TrialMessage(success=False, error_message=trial.error))
        status, body = trial.answered.status, trial.answered.body
        return TrialAnswer(TrialMessage(success=status < 400, response_status=status, response_body=body))

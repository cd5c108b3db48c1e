"""Webhooks: made, changed, removed, tried; and what happens in the registry, put on its way to them in the same transaction."""

import urllib.parse
from typing import Any

import msgspec

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.clock import SECOND, Instant, moment
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.core.ids import uuid7
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.registry.posting import Answered, checked_url, post
from modelyard.registry.rules.names import checked_description, sound
from modelyard.registry.store import webhooks as store
from modelyard.registry.webhooks import (
    LONGEST_SECRET,
    LONGEST_URL,
    Dispatch,
    HookKey,
    NewWebhook,
    NoSuchWebhook,
    Webhook,
    checked_hook_name,
    example_of,
    headers_of,
    payload,
)
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tracking.service.guard import home_team
from modelyard.tracking.sql import fingerprint, token_of, values_of

MILLISECOND = 1000
MOST_LISTED = 1000
LISTED = 100
MOST_OF_A_TEAM = 200
"""Each change puts a row on its way to every webhook that asks for it, in its own transaction."""

_MARK = fingerprint("webhooks")


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """What webhooks need of the installation: the key of their secrets, and whether they may lead to private addresses."""

    key: HookKey
    allows_private: bool = False


class HookPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some webhooks, and the token that goes on behind them; empty on the last page."""

    webhooks: list[Webhook]
    next: str = ""


def create_webhook(tx: Transaction, principal: Principal, body: NewWebhook, hooks: Hooks) -> Webhook:
    """A new webhook of the caller's team, told of what happens to that team's models from now on."""
    team, now = home_team(principal), tx.now()
    empty = Webhook(id=str(uuid7()), team_id=team, name="", url="", events=(), created_by=principal.id, created_at=now, updated_at=now)
    made = _changed(empty, msgspec.structs.replace(body, name=body.name or "", url=body.url or ""), hooks)
    if not made.events:
        raise InvalidInput("Webhook events must be a non-empty list of WebhookEvent objects: [].")
    if store.count_webhooks(tx, team) >= MOST_OF_A_TEAM:
        raise InvalidInput(f"A team has at most {MOST_OF_A_TEAM} webhooks.", hint="delete one that is not used any more")
    store.put_webhook(tx, made)
    _record(tx, principal, made, "set")
    return made


def get_webhook(snapshot: Snapshot, principal: Principal, webhook: str, least: Role = Role.CONTRIBUTOR) -> Webhook:
    """A webhook. Its address may hold a secret, so that viewers do not see it. Raises NoSuchWebhook."""
    found = store.find_webhook(snapshot, webhook) if "\0" not in webhook else None
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NoSuchWebhook(f"Webhook with ID {webhook[:100]} not found.", hint="list the webhooks that are there")
    require(principal, least, found.team_id)
    return found


def list_webhooks(snapshot: Snapshot, principal: Principal, limit: int, page: str = "") -> HookPage:
    """The webhooks of the teams that the caller contributes to, newest first."""
    count = limit or LISTED
    if not 1 <= count <= MOST_LISTED:
        raise InvalidInput(f"max_results must be between 1 and {MOST_LISTED}.")
    teams = None if principal.teams is None else [team for team in principal.teams if principal.may(Role.CONTRIBUTOR, team)]
    found = store.list_webhooks(snapshot, teams, values_of(page, _MARK), count + 1)
    token = token_of(_MARK, (found[count - 1].created_at, found[count - 1].id)) if len(found) > count else ""
    return HookPage(webhooks=found[:count], next=token)


def update_webhook(tx: Transaction, principal: Principal, webhook: str, body: NewWebhook, hooks: Hooks) -> Webhook:
    """The webhook with what is given in `body`."""
    found = get_webhook(tx, principal, webhook)
    # MLflow's clients tell time in milliseconds, and that something was changed by a later one.
    later = Instant(max(tx.now(), found.updated_at + MILLISECOND))
    changed = msgspec.structs.replace(_changed(found, body, hooks), updated_at=later)
    store.put_webhook(tx, changed)
    _record(tx, principal, changed, "set")
    return changed


def delete_webhook(tx: Transaction, principal: Principal, webhook: str) -> None:
    """Removes a webhook; what was on its way to it is not sent."""
    found = get_webhook(tx, principal, webhook)
    store.delete_webhook(tx, webhook)
    _record(tx, principal, found, "deleted")


def _changed(hook: Webhook, body: NewWebhook, hooks: Hooks) -> Webhook:
    fields: dict[str, Any] = {}
    if body.name is not None:
        fields["name"] = checked_hook_name(body.name)
    if body.url is not None:
        if len(body.url) > LONGEST_URL:
            raise InvalidInput(f"'url' exceeds the maximum length of {LONGEST_URL} characters")
        fields["url"] = sound(checked_url(body.url, allows_private=hooks.allows_private), "url")
    if body.events:
        fields["events"] = tuple(sorted(set(body.events)))
    if body.description is not None:
        fields["description"] = checked_description(body.description)
    if body.status is not None:
        fields["status"] = body.status
    if body.secret is not None:
        if len(body.secret) > LONGEST_SECRET:
            raise InvalidInput(f"'secret' exceeds the maximum length of {LONGEST_SECRET} characters")
        fields["secret"] = hooks.key.sealed(sound(body.secret, "secret")) if body.secret else None
    return msgspec.structs.replace(hook, **fields)


def _record(tx: Transaction, principal: Principal, hook: Webhook, what: str) -> None:
    """Writes the entry of a webhook. Path and query of its address often hold a secret and stay out of it."""
    parsed = urllib.parse.urlsplit(hook.url)
    data = {"name": hook.name, "to": f"{parsed.scheme}://{parsed.hostname}", "events": list(hook.events), "status": hook.status.value}
    entry = NewEntry(type=f"registry.webhook_{what}", subject=f"webhook:{hook.id}", actor=principal.id, data=data, team_id=hook.team_id)
    record(tx, entry)


def announce(tx: Transaction, team: TeamId, event: str, data: dict[str, Any]) -> None:
    """Puts an event on its way to every webhook of the team that asks for it."""
    asked = [hook.id for hook in store.list_active(tx, team) if event in hook.events]
    if not asked:
        return
    body = payload(event, moment(tx.now()).isoformat(), data)
    for webhook in asked:
        store.insert_dispatch(tx, Dispatch(id=str(uuid7()), webhook=webhook, body=body, due_at=tx.lease_time()))


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """How a webhook answered to an example, or why it did not."""

    answered: Answered | None = None
    error: str = ""


def try_webhook(snapshot: Snapshot, hook: Webhook, event: str, hooks: Hooks) -> Trial:
    """How the webhook answers to an example of an event; nothing is kept of it."""
    body = payload(event, moment(snapshot.now()).isoformat(), example_of(event))
    try:
        return Trial(answered=send(hook, str(uuid7()), body, hooks, snapshot.wall()))
    except ModelyardError as error:
        return Trial(error=f"Failed to test webhook: {error.message}")


def send(hook: Webhook, dispatch: str, body: str, hooks: Hooks, at: Instant) -> Answered:
    """What the webhook answers to a body, signed with its secret for that time. Raises PostRefused and PostFailed."""
    secret = None if hook.secret is None else hooks.key.opened(hook.secret)
    headers = headers_of(dispatch, body, at // SECOND, secret)
    return post(hook.url, body.encode(), headers, allows_private=hooks.allows_private)

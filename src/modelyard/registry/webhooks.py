"""Webhooks: who is told of which of the registry's events, in MLflow's words for them, and what travels. Owns no sending."""

import base64
import hashlib
import hmac
import re
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from cryptography.fernet import Fernet, InvalidToken

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.errors import Corrupted, InvalidInput, NotFound
from modelyard.storage.durable import put_secret

MODEL_CREATED = "registered_model.created"
VERSION_CREATED = "model_version.created"
TAG_SET = "model_version_tag.set"
TAG_DELETED = "model_version_tag.deleted"
ALIAS_CREATED = "model_version_alias.created"
ALIAS_DELETED = "model_version_alias.deleted"

ENTITY_ACTIONS: dict[str, tuple[str, ...]] = {
    "registered_model": ("created",),
    "model_version": ("created",),
    "model_version_tag": ("deleted", "set"),
    "model_version_alias": ("created", "deleted"),
    "prompt": ("created",),
    "prompt_version": ("created",),
    "prompt_tag": ("deleted", "set"),
    "prompt_version_tag": ("deleted", "set"),
    "prompt_alias": ("created", "deleted"),
    "budget_policy": ("exceeded",),
}
"""What MLflow's clients may subscribe to; what is about prompts and budgets never happens here."""

_ACTIONS = ("created", "updated", "deleted", "set", "exceeded")
_NAME = re.compile(r"(?=.{1,63}$)[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?")
LONGEST_URL = 2000
LONGEST_SECRET = 1000

EXAMPLES: dict[str, dict[str, Any]] = {
    "created": {"name": "example", "tags": {"key": "value"}, "description": "An example"},
    VERSION_CREATED: {
        "name": "example",
        "version": "1",
        "source": "models:/m-0",
        "run_id": None,
        "tags": {"key": "value"},
        "description": "An example",
    },
    TAG_SET: {"name": "example", "version": "1", "key": "key", "value": "value"},
    TAG_DELETED: {"name": "example", "version": "1", "key": "key"},
    ALIAS_CREATED: {"name": "example", "alias": "champion", "version": "1"},
    ALIAS_DELETED: {"name": "example", "alias": "champion"},
}
"""What a trial tells of an event; of one that never happens here, what is told of a model."""


class NoSuchWebhook(NotFound):
    """No webhook of that id that the caller may see."""


class HookStatus(StrEnum):
    """Whether a webhook is told of what happens."""

    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told: an address, of which events. `secret` is sealed and never told."""

    id: str
    team_id: TeamId
    name: str
    url: str
    events: tuple[str, ...]
    description: str = ""
    status: HookStatus = HookStatus.ACTIVE
    secret: bytes | None = None
    created_by: PrincipalId
    created_at: Instant
    updated_at: Instant


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook is made of, or changed to where something is given. An empty `secret` takes it away."""

    name: str | None = None
    url: str | None = None
    events: tuple[str, ...] = ()
    description: str | None = None
    status: HookStatus | None = None
    secret: str | None = None


class Dispatch(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one webhook. `id` is told with every try, so that the other side knows it again."""

    id: str
    webhook: str
    body: str
    due_at: Instant
    attempts: int = 0


class HookKey:
    """The key that webhooks' secrets are sealed with, a file of the data folder."""

    def __init__(self, key: bytes) -> None:
        self._cipher = Fernet(key)

    @classmethod
    def open(cls, path: Path) -> "HookKey":
        """The key at `path`, made at the first call, readable by its owner only."""
        if not path.exists():
            put_secret(path, Fernet.generate_key())
        try:
            return cls(path.read_bytes())
        except ValueError as error:
            raise Corrupted(f"{path} holds no key", hint="restore the file from a backup") from error

    def sealed(self, secret: str) -> bytes:
        """The secret as it is kept."""
        return self._cipher.encrypt(secret.encode())

    def opened(self, sealed: bytes) -> str:
        """The secret itself. Raises Corrupted where it was sealed with another key."""
        try:
            return self._cipher.decrypt(sealed).decode()
        except InvalidToken as error:
            raise Corrupted("a webhook's secret was sealed with another key", hint="give the webhook its secret again") from error

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "HookKey()"


def checked_event(entity: str, action: str) -> str:
    """The event that the words stand for. Raises InvalidInput.

    >>> checked_event("MODEL_VERSION", "CREATED")
    'model_version.created'
    """
    entity_word, action_word = entity.lower(), action.lower()
    known = ENTITY_ACTIONS.get(entity_word)
    if known is None or entity != entity.upper() or action != action.upper() or action_word not in _ACTIONS:
        raise InvalidInput(f"Invalid webhook event: entity {entity[:60]!r}, action {action[:60]!r}.")
    if action_word not in known:
        raise InvalidInput(f"Invalid action '{action_word}' for entity '{entity_word}'. Valid actions are: {sorted(known)}")
    return f"{entity_word}.{action_word}"


def checked_hook_name(name: str) -> str:
    """`name` where it may name a webhook. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"Webhook name {name[:100]!r} is invalid. It must start and end with a letter or digit, be less than 63 characters long, and "
            "contain only letters, digits, dots (.), underscores (_), and hyphens (-)."
        )
    return name


def example_of(event: str) -> dict[str, Any]:
    """What a trial tells of an event."""
    return EXAMPLES.get(event, EXAMPLES["created"])


def payload(event: str, timestamp: str, data: dict[str, Any]) -> str:
    """What is told of an event, as JSON."""
    entity, _, action = event.partition(".")
    return msgspec.json.encode({"entity": entity, "action": action, "timestamp": timestamp, "data": data}).decode()


def headers_of(dispatch: str, body: str, sent_s: int, secret: str | None) -> dict[str, str]:
    """The headers that go with a body: its id, when it was sent, and the signature over both and the body."""
    headers = {"Content-Type": "application/json", "X-MLflow-Delivery-Id": dispatch, "X-MLflow-Timestamp": str(sent_s)}
    if secret:
        made = hmac.new(secret.encode(), f"{dispatch}.{sent_s}.{body}".encode(), hashlib.sha256).digest()
        headers["X-MLflow-Signature"] = f"v1,{base64.b64encode(made).decode()}"
    return headers

"""What fleet decides without records: what an id names, how a model stands, in which order models are shown. Pure functions."""

import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from modelyard.core.digests import Digest
from modelyard.core.names import NAME
from modelyard.delivery.domain import CauseKind, Delivery, DeliveryState
from modelyard.fleet.domain import Deliveries, Row, Tone
from modelyard.monitoring.domain import SEVERITY, AlertKind

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RUN = re.compile(r"[0-9a-f]{32}")
DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
VERSION = re.compile(r"(?:models:/)?(?P<model>[^/@:]+)[/@:]v?(?P<version>[0-9]+|[a-z][a-z0-9_.-]*)")
TONES = ("bad", "warn", "busy", "good", "idle")


class IdKind(StrEnum):
    """What an id names."""

    PREDICTION = "prediction"
    RUN = "run"
    DIGEST = "digest"
    DELIVERY = "delivery"
    APPROVAL = "approval"
    VERSION = "version"
    NAME = "name"
    UNKNOWN = "unknown"


def kind_of(text: str) -> IdKind:
    """What `text` names, by its shape.

    >>> kind_of("late_arrival/3"), kind_of("late_arrival@champion"), kind_of("dlv_01a2"), kind_of("late_arrival")
    (<IdKind.VERSION: 'version'>, <IdKind.VERSION: 'version'>, <IdKind.DELIVERY: 'delivery'>, <IdKind.NAME: 'name'>)
    """
    shapes = ((UUID, IdKind.PREDICTION), (RUN, IdKind.RUN), (DIGEST, IdKind.DIGEST))
    for shape, kind in shapes:
        if shape.fullmatch(text.lower()):
            return kind
    for prefix, kind in (("dlv_", IdKind.DELIVERY), ("apr_", IdKind.APPROVAL)):
        if text.startswith(prefix):
            return kind
    if VERSION.fullmatch(text):
        return IdKind.VERSION
    return IdKind.NAME if NAME.fullmatch(text) else IdKind.UNKNOWN


def version_reference(text: str) -> str:
    """The registry's reference for a version that is written as `late/3`, `late@champion` or `models:/late/3`.

    >>> version_reference("late/3"), version_reference("late@champion"), version_reference("late@v3")
    ('models:/late/3', 'models:/late@champion', 'models:/late/3')
    """
    found = VERSION.fullmatch(text)
    if found is None:
        return text
    model, version = found["model"], found["version"]
    return f"models:/{model}/{version}" if version.isdigit() else f"models:/{model}@{version}"


def digest_in(text: str) -> Digest:
    """The digest that `text` writes with or without its algorithm.

    >>> digest_in("a" * 64)[:9]
    'sha256:aa'
    """
    found = DIGEST.fullmatch(text.lower())
    return Digest(f"sha256:{found[1]}" if found else text)


def worst_first(rows: Iterable[Row]) -> tuple[Row, ...]:
    """The rows by how much they need a look, then by risk, then by name."""
    risks = {"high": 0, "limited": 1, "minimal": 2}
    return tuple(sorted(rows, key=lambda row: (TONES.index(row.tone), -sum(row.alerts.values()), risks[row.risk], row.model)))


def needs_a_look(row: Row) -> bool:
    """Whether somebody should look at the model: it fails, has changed, or waits for a person."""
    return row.tone in ("bad", "warn")


WORDS: dict[AlertKind, tuple[Tone, str]] = {
    AlertKind.DEGRADATION: ("bad", "Degraded"),
    AlertKind.STALE: ("bad", "Stale"),
    AlertKind.QUALITY: ("warn", "Bad values"),
    AlertKind.DRIFT: ("warn", "Drifting"),
    AlertKind.SKEW: ("warn", "Skewed"),
    AlertKind.UNVERIFIED: ("warn", "Unverified"),
}
"""How a model stands by its worst open alert."""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What decides how a model stands: open alerts, whether somebody must approve, whether it is delivered, served, watched."""

    alerts: Iterable[AlertKind] = ()
    waits: bool = False
    is_delivered: bool = False
    is_live: bool = False
    is_watched: bool = False


def stand(seen: Seen) -> tuple[Tone, str]:
    """How a model stands, as a tone and a word: by its worst alert, else by what is waited for, else by whether it is live.

    >>> stand(Seen(is_live=True, is_watched=True)), stand(Seen(alerts=[AlertKind.DRIFT], waits=True, is_live=True))
    (('good', 'Healthy'), ('warn', 'Drifting'))
    """
    worst = min(seen.alerts, key=SEVERITY.index, default=None)
    if worst is not None:
        return WORDS[worst]
    if seen.waits:
        return "warn", "Waiting"
    if seen.is_delivered:
        return "busy", "Delivering"
    if not seen.is_live:
        return "idle", "Not served"
    return ("good", "Healthy") if seen.is_watched else ("idle", "Not watched")


def summed(deliveries: Iterable[Delivery]) -> Deliveries:
    """Deliveries, counted by how they began and ended."""
    found = list(deliveries)
    states = [one.state for one in found]
    return Deliveries(
        started=len(found),
        triggered=sum(one.cause.kind is not CauseKind.PERSON for one in found),
        done=states.count(DeliveryState.DONE),
        refused=states.count(DeliveryState.REFUSED),
        rolled_back=states.count(DeliveryState.ROLLED_BACK),
    )

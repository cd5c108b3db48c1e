"""Examples of entities that were erased: none is kept from then on, and those that were are taken away. Owns no count."""

from collections.abc import Callable, Iterable

import msgspec

from modelyard.features.service import erased_vectors
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, AlertId, AlertKind, SkewEvidence, SkewExample, ViewSkew
from modelyard.storage.database import Database, Snapshot, Transaction

MOST_ALERTS = 1_000_000
Told = Callable[[SkewExample], bool]


def without_erased(snapshot: Snapshot, counts: Iterable[ViewSkew]) -> tuple[ViewSkew, ...]:
    """The counts with the examples of those alone who were not erased since they were read."""
    is_erased = _told(snapshot)
    return tuple(msgspec.structs.replace(one, examples=_kept(one.examples, is_erased)) if one.examples else one for one in counts)


def forget_examples(database: Database) -> int:
    """Removes the examples of entities that were erased, with their keys and values, from days and alerts; how many of these had one.

    What was counted stays as it is.
    """
    with database.read() as snapshot:
        is_erased = _told(snapshot)
        days = [one for one in store.list_skew_days(snapshot) if any(map(is_erased, one.examples))]
        alerts = [one.id for one in store.list_alerts_of(snapshot, AlertKind.SKEW, MOST_ALERTS) if _is_about(one, is_erased)]

    for one in days:
        database.write(lambda tx, one=one: store.keep_examples(tx, one, lambda example: not is_erased(example)))  # type: ignore[misc] # bound now
    for alert in alerts:
        database.write(lambda tx, alert=alert: _forget(tx, alert, is_erased))  # type: ignore[misc] # bound now
    return len(days) + len(alerts)


def _told(snapshot: Snapshot) -> Told:
    is_erased = erased_vectors(snapshot)
    return lambda example: is_erased(example.keys, example.at)


def _kept(examples: Iterable[SkewExample], is_erased: Told) -> tuple[SkewExample, ...]:
    return tuple(one for one in examples if not is_erased(one))


def _is_about(alert: Alert, is_erased: Told) -> bool:
    evidence = alert.evidence
    return isinstance(evidence, SkewEvidence) and evidence.example is not None and is_erased(evidence.example)


def _forget(tx: Transaction, alert: AlertId, is_erased: Told) -> None:
    standing = store.find_alert(tx, alert)
    if standing is not None and _is_about(standing, is_erased):
        store.update_alert(tx, msgspec.structs.replace(standing, evidence=msgspec.structs.replace(standing.evidence, example=None)))

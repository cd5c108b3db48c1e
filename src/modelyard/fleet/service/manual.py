"""Manual steps: what people did for each delivery that reached production, by the ledger's entries. Owns how they are counted."""

from collections.abc import Iterable

import msgspec

from modelyard.delivery import service as delivery
from modelyard.delivery.domain import CauseKind, Delivery, DeliveryState, StageName
from modelyard.fleet.service.sight import Sight
from modelyard.ledger.domain import Entry
from modelyard.ledger.service import list_entries

STARTED, APPROVED, REJECTED = "delivery.started", "delivery.approved", "delivery.rejected"
MOST_ENTRIES = 1000
RELEASED = (StageName.ROLL_OUT, StageName.WATCH)


class Steps(msgspec.Struct, frozen=True, kw_only=True):
    """The entries of one delivery's starts and decisions: those by people, and those by policy or a trigger."""

    delivery: Delivery
    by_people: tuple[Entry, ...]
    by_rules: tuple[Entry, ...]


def list_steps(sight: Sight) -> list[Steps]:
    """The steps of each delivery that reached production, newest first, at most 100."""
    found = delivery.list_deliveries(sight.snapshot, sight.principal, state=DeliveryState.DONE)
    released = [one for one in found if one.until in RELEASED]
    by_delivery: dict[str, list[Entry]] = {}
    for kind in (STARTED, APPROVED, REJECTED) if released else ():
        for entry in list_entries(sight.snapshot, type=kind, limit=MOST_ENTRIES).entries:
            by_delivery.setdefault(str(entry.data.get("delivery")), []).append(entry)
    return [_steps(one, by_delivery[one.id]) for one in released if one.id in by_delivery]


def _steps(one: Delivery, entries: Iterable[Entry]) -> Steps:
    ordered = sorted(entries, key=lambda entry: entry.index)
    people = tuple(entry for entry in ordered if is_by_a_person(entry))
    return Steps(delivery=one, by_people=people, by_rules=tuple(entry for entry in ordered if entry not in people))


def is_by_a_person(entry: Entry) -> bool:
    """Whether a person did it: a start that no trigger made, or a decision that no policy made."""
    if entry.type == STARTED:
        return entry.data.get("cause") == CauseKind.PERSON.value
    return not entry.data.get("by_policy")

"""What happened, in one line each, read from the ledger. Owns the words; decides nothing."""

from collections.abc import Iterator

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import iso
from modelyard.delivery.domain import DeliveryDetail, DeliveryId, DeliveryState, StageName
from modelyard.delivery.service import get_delivery
from modelyard.ledger.domain import Event
from modelyard.ledger.service import list_events
from modelyard.storage.database import Database, Snapshot

TYPES = ("delivery.started", "delivery.ended", "delivery.approval_asked", "monitoring.alert_opened", "monitoring.alert_closed")
AT_ONCE = 200


class News:
    """The lines about what is new in the ledger since the last time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._position = -1

    def lines(self) -> Iterator[str]:
        """A line for each new entry that people care about, in the ledger's order."""
        with self._database.read() as snapshot:
            events = list_events(snapshot, self._position, TYPES, AT_ONCE)
            for event in events:
                yield f"{iso(event.occurred_at)[:10]}  {told(snapshot, event)}"
        if events:
            self._position = events[-1].index


def told(snapshot: Snapshot, event: Event) -> str:
    """An entry in words."""
    if event.type == "monitoring.alert_opened":
        return f"[yellow]{event.data['kind']}[/] {event.data.get('model') or event.data['about']}: {event.data['title']}"
    if event.type == "monitoring.alert_closed":
        return f"[dim]{event.data['kind']} is over for {event.data.get('model') or event.data['about']}: {event.data['why']}[/]"
    detail = get_delivery(snapshot, SYSTEM, DeliveryId(str(event.data["delivery"])))
    delivery = detail.delivery
    if event.type == "delivery.started":
        return f"{delivery.model} is delivered ({delivery.cause.kind}{': ' + delivery.cause.detail if delivery.cause.detail else ''})"
    if event.type == "delivery.approval_asked":
        by_policy = detail.facts(StageName.APPROVE).get("by_policy")
        return f"{delivery.model} v{event.data['version']} {'is approved by policy' if by_policy else '[bold]waits for a person[/]'}"
    return ended(detail, str(event.data["reason"]))


def ended(detail: DeliveryDetail, reason: str) -> str:
    """How a delivery ended, with what the challenge found."""
    delivery, found = detail.delivery, detail.facts(StageName.CHALLENGE).get("challenge")
    against = f", {difference(found)} against the champion" if found else ""
    if delivery.state is DeliveryState.DONE:
        return f"[green]{delivery.model} v{delivery.version} is live[/]{against}"
    name = f"{delivery.model} v{delivery.version}" if delivery.version else f"a candidate of {delivery.model}"
    return f"[red]{name} is {delivery.state.replace('_', ' ')}[/]{against}: {reason.splitlines()[0][:160] if reason else ''}"


def difference(found: dict[str, float]) -> str:
    """A paired difference with its interval."""
    return f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"

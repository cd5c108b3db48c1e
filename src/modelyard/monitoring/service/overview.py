"""What is asked of all models at once: the losses that alarms told of and what became of them. A few queries, however many models."""

from typing import Literal

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.monitoring import store
from modelyard.monitoring.domain import Alert, AlertKind
from modelyard.monitoring.rules.alerting import RECOVERED
from modelyard.storage.database import Snapshot

MOST_LOSSES = 200


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """A loss that an alarm told of, and how it ended: not yet, by the level coming back, or by another version that answers.

    `is_confirmed` says that a later look, with the outcomes of further days, still found it.
    """

    alert: Alert
    end: Literal["open", "recovered", "replaced"]

    @property
    def is_confirmed(self) -> bool:
        """Whether outcomes of days after the alarm said so too."""
        return self.alert.seen_at > self.alert.opened_at

    @property
    def is_false(self) -> bool:
        """Whether the level was back before any later look could confirm the loss."""
        return self.end == "recovered" and not self.is_confirmed


def list_losses(snapshot: Snapshot, principal: Principal) -> list[Loss]:
    """The losses that alarms told of, of models that the caller may see, newest first, at most 200."""
    found = store.list_alerts_of(snapshot, AlertKind.DEGRADATION, MOST_LOSSES)
    return [Loss(alert=one, end=_end(one)) for one in found if principal.may(Role.VIEWER, one.team_id)]


def _end(alert: Alert) -> Literal["open", "recovered", "replaced"]:
    if alert.is_open:
        return "open"
    return "recovered" if alert.closed_why.endswith(RECOVERED) else "replaced"

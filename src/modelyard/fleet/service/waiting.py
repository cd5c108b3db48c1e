"""What waits in each room of the product, for the counts beside its name. Two small queries."""

from modelyard.access.domain import Principal
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import ApprovalState
from modelyard.monitoring import service as monitoring
from modelyard.storage.database import Snapshot


def count_waiting(snapshot: Snapshot, principal: Principal) -> dict[str, int]:
    """How many approvals wait and alerts are open that the caller may see, by the path of their room."""
    return {
        "/approvals": len(delivery.list_approvals(snapshot, principal, ApprovalState.WAITING)),
        "/monitoring": len(monitoring.list_open_alerts(snapshot, principal)),
    }

"""What governance offers: keys by role, attestations of versions and the tick that makes them, model cards."""

from modelyard.governance.service.attesting import attest, list_attestations, tick
from modelyard.governance.service.cards import get_card
from modelyard.governance.service.keys import RoleKeys

__all__ = ["RoleKeys", "attest", "get_card", "list_attestations", "tick"]

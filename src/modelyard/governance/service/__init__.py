"""What governance offers: keys by role, attestations of versions, and the tick that makes them."""

from modelyard.governance.service.attesting import attest, list_attestations, tick
from modelyard.governance.service.keys import RoleKeys

__all__ = ["RoleKeys", "attest", "list_attestations", "tick"]

"""What governance offers: keys by role, attestations of versions and the tick that makes them, model cards, dossiers, trust."""

from modelyard.governance.service.attesting import attest, list_attestations, tick
from modelyard.governance.service.cards import get_card
from modelyard.governance.service.dossiers import get_dossier, list_dossiers, list_version_dossiers, make_dossier, open_bundle
from modelyard.governance.service.keys import RoleKeys
from modelyard.governance.service.trusting import give_trust

__all__ = [
    "RoleKeys",
    "attest",
    "get_card",
    "get_dossier",
    "give_trust",
    "list_attestations",
    "list_dossiers",
    "list_version_dossiers",
    "make_dossier",
    "open_bundle",
    "tick",
]

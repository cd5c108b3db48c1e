"""What governance offers: keys by role, attestations of versions and the tick that makes them, model cards, dossiers, trust."""

from modelyard.governance.service.attesting import attest, list_attestations, tick
from modelyard.governance.service.cards import get_card
from modelyard.governance.service.dossiers import get_dossier, list_dossiers, list_version_dossiers, make_dossier, open_bundle
from modelyard.governance.service.keys import RoleKeys
from modelyard.governance.service.reading import Contents, open_pdf, read_dossier
from modelyard.governance.service.releases import Release, Releases, find_release, list_releases
from modelyard.governance.service.trusting import give_trust

__all__ = [
    "Contents",
    "Release",
    "Releases",
    "RoleKeys",
    "attest",
    "find_release",
    "get_card",
    "get_dossier",
    "give_trust",
    "list_attestations",
    "list_dossiers",
    "list_releases",
    "list_version_dossiers",
    "make_dossier",
    "open_bundle",
    "open_pdf",
    "read_dossier",
    "tick",
]

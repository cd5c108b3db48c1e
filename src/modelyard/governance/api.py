"""Governance's operations: model cards, attestations, dossiers, trust. Decides nothing."""

from modelyard.governance import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/models/{model}/versions/{version}/card", service.get_card),
    operation("GET", "/models/{model}/versions/{version}/attestations", service.list_attestations),
    operation("POST", "/models/{model}/versions/{version}/dossiers", service.make_dossier),
    operation("GET", "/models/{model}/versions/{version}/dossiers", service.list_version_dossiers),
    operation("GET", "/dossiers", service.list_dossiers),
    operation("GET", "/dossiers/{dossier}", service.get_dossier),
    operation("POST", "/trust", service.give_trust),
)

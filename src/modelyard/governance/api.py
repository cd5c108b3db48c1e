"""Governance's operations: model cards, attestations. Decides nothing."""

from modelyard.governance import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/models/{model}/versions/{version}/card", service.get_card),
    operation("GET", "/models/{model}/versions/{version}/attestations", service.list_attestations),
)

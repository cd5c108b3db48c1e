"""Tuning's operations: studies started or gone on with, looked at, stopped. Decides nothing."""

from modelyard.tuning import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("POST", "/studies", service.start_study),
    operation("GET", "/studies", service.list_studies),
    operation("GET", "/studies/{study}", service.get_study),
    operation("POST", "/studies/{study}/stop", service.stop_study),
)

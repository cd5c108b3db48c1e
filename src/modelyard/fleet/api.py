"""Fleet's operations: traces. Decides nothing."""

from modelyard.fleet import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (operation("GET", "/traces/{id}", service.get_trace),)

"""Fleet's operations: the portfolio, the six questions, traces. Decides nothing."""

from modelyard.fleet import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/fleet/portfolio", service.get_portfolio),
    operation("GET", "/fleet/questions", service.get_questions),
    operation("GET", "/traces/{id}", service.get_trace),
)

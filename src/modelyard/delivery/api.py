"""Delivery's operations: declarations, deliveries, approvals, reproductions. Decides nothing."""

from modelyard.delivery import roots, service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("POST", "/declarations", roots.declare_model),
    operation("POST", "/declarations/plan", service.plan_model),
    operation("GET", "/declarations/{model}", service.get_declared, name="get_declaration"),
    operation("POST", "/deliveries", service.start_delivery),
    operation("GET", "/deliveries", service.list_deliveries),
    operation("GET", "/deliveries/{delivery}", service.get_delivery),
    operation("POST", "/deliveries/{delivery}/cancellation", service.cancel_delivery),
    operation("POST", "/models/{model}/versions/{version}/reproductions", service.start_reproduction),
    operation("GET", "/models/{model}/versions/{version}/reproductions", service.list_version_reproductions),
    operation("POST", "/runs/{run_id}/reproductions", service.start_run_reproduction),
    operation("GET", "/runs/{run_id}/reproductions", service.list_run_reproductions),
    operation("GET", "/reproductions", service.list_reproductions),
    operation("GET", "/reproductions/{reproduction}", service.get_reproduction),
    operation("GET", "/approvals", service.list_approvals),
    operation("POST", "/approvals/{approval}/approval", service.approve),
    operation("POST", "/approvals/{approval}/rejection", service.reject),
)

"""The operations of serving. Requests for predictions go to the gateways and not through here."""

from modelyard.serving import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/endpoints", service.list_endpoints),
    operation("GET", "/endpoints/{model}", service.get_endpoint),
    operation("GET", "/endpoints/{model}/revisions", service.list_revisions),
    operation("GET", "/endpoints/{model}/revisions/{number}", service.get_revision),
    operation("POST", "/endpoints/{model}/revisions", service.propose_revision),
    operation("POST", "/endpoints/{model}/step", service.step_rollout),
    operation("POST", "/endpoints/{model}/rollback", service.rollback),
    operation("PUT", "/endpoints/{model}/shadows", service.set_shadows),
    operation("POST", "/endpoints/{model}/withdrawal", service.withdraw, name="withdraw_endpoint"),
    operation("GET", "/gateways", service.list_gateways),
    operation("POST", "/gateways/{gateway}/heartbeat", service.heartbeat, answers_secret=True),
    operation("DELETE", "/gateways/{gateway}", service.remove_gateway),
    operation("GET", "/predictions/{prediction}", service.get_prediction),
    operation("GET", "/prediction-log/segments", service.list_segments),
    operation("GET", "/prediction-log/position", service.log_position),
    operation("POST", "/prediction-log/seal", service.request_seal),
)

"""The operations of monitoring. Decides nothing."""

from modelyard.monitoring import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/monitoring", service.list_monitoring),
    operation("GET", "/monitoring/{model}", service.get_monitoring),
    operation("GET", "/alerts", service.list_alerts),
    operation("GET", "/open-alerts", service.list_open_alerts),
    operation("GET", "/alerts/{alert}", service.get_alert),
    operation("GET", "/alerts/{alert}/why", service.why_alert),
    operation("POST", "/alerts/{alert}/silence", service.silence_alert),
    operation("POST", "/alerts/{alert}/acknowledgement", service.acknowledge_alert),
    operation("GET", "/skew", service.list_skew),
    operation("GET", "/skew-days", service.list_skew_days),
)

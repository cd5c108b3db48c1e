"""What serving offers: endpoints and revisions of traffic, gateways and their assignments, the prediction log."""

from modelyard.serving.service.catalogue import find_served
from modelyard.serving.service.gateways import heartbeat, list_gateways, remove_gateway
from modelyard.serving.service.log import (
    compact_segment,
    count_by_day,
    count_predictions,
    get_prediction,
    list_segments,
    log_position,
    read_labelled,
    read_predictions,
    request_seal,
    tick,
)
from modelyard.serving.service.newest import newest_prediction
from modelyard.serving.service.revisions import (
    get_endpoint,
    get_revision,
    list_endpoints,
    list_live,
    list_revisions,
    mark_stale,
    note_all_reads,
    propose_revision,
    rollback,
    set_shadows,
    step_rollout,
    why_bound,
    withdraw,
)

__all__ = [
    "compact_segment",
    "count_by_day",
    "count_predictions",
    "find_served",
    "get_endpoint",
    "get_prediction",
    "get_revision",
    "heartbeat",
    "list_endpoints",
    "list_gateways",
    "list_live",
    "list_revisions",
    "list_segments",
    "log_position",
    "mark_stale",
    "newest_prediction",
    "note_all_reads",
    "propose_revision",
    "read_labelled",
    "read_predictions",
    "remove_gateway",
    "request_seal",
    "rollback",
    "set_shadows",
    "step_rollout",
    "tick",
    "why_bound",
    "withdraw",
]

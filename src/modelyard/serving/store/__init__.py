"""All of serving's SQL: endpoints and revisions, gateways, segments of the prediction log; rows to domain types and back."""

from modelyard.serving.store.endpoints import (
    find_endpoint,
    find_revision,
    get_deployments,
    insert_endpoint,
    insert_revision,
    list_endpoints,
    list_revisions,
    list_switches,
    next_number,
    put_switches,
    set_state,
    update_endpoint,
)
from modelyard.serving.store.gateways import delete_gateway, list_gateways, put_gateway, put_seal, seal_before
from modelyard.serving.store.segments import (
    find_holding,
    list_segments,
    list_waiting,
    mark_compacted,
    put_segments,
    take_lease,
)

__all__ = [
    "delete_gateway",
    "find_endpoint",
    "find_holding",
    "find_revision",
    "get_deployments",
    "insert_endpoint",
    "insert_revision",
    "list_endpoints",
    "list_gateways",
    "list_revisions",
    "list_segments",
    "list_switches",
    "list_waiting",
    "mark_compacted",
    "next_number",
    "put_gateway",
    "put_seal",
    "put_segments",
    "put_switches",
    "seal_before",
    "set_state",
    "take_lease",
    "update_endpoint",
]

"""What the feature store offers: applying definitions, bringing values online, reading them, training rows, freshness."""

from modelyard.features.service.bringing import list_materializations, materialize, materialize_due
from modelyard.features.service.definitions import (
    apply_features,
    apply_set,
    apply_view,
    find_applied_set,
    get_set,
    get_view,
    list_sets,
    list_view_versions,
    list_views,
    resolved_set,
    resolved_view,
    typed_like,
)
from modelyard.features.service.reading import (
    OnlineSample,
    historical_rows,
    known_entity,
    read_features,
    recompute,
    roots_of,
    sample_online,
)
from modelyard.features.service.searching import FoundView, found_views, search_views
from modelyard.features.service.watching import list_consumers, list_freshness, put_consumer, remove_consumer, view_freshness

__all__ = [
    "FoundView",
    "OnlineSample",
    "apply_features",
    "apply_set",
    "apply_view",
    "find_applied_set",
    "found_views",
    "get_set",
    "get_view",
    "historical_rows",
    "known_entity",
    "list_consumers",
    "list_freshness",
    "list_materializations",
    "list_sets",
    "list_view_versions",
    "list_views",
    "materialize",
    "materialize_due",
    "put_consumer",
    "read_features",
    "recompute",
    "remove_consumer",
    "resolved_set",
    "resolved_view",
    "roots_of",
    "sample_online",
    "search_views",
    "typed_like",
    "view_freshness",
]

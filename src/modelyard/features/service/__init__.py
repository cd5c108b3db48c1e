"""What the feature store offers: applying definitions, bringing values online, reading them, training rows, freshness."""

from modelyard.features.service.bringing import list_materializations, materialize, materialize_due
from modelyard.features.service.definitions import (
    apply_features,
    apply_set,
    apply_view,
    find_applied_set,
    get_readable_set,
    get_set,
    get_view,
    list_sets,
    list_view_versions,
    list_views,
    resolved_set,
    resolved_view,
    typed_like,
)
from modelyard.features.service.erasing import erase_entity, erasures_since, list_erasures, open_erasures, personal_in
from modelyard.features.service.planning import plan_views
from modelyard.features.service.reading import historical_rows, known_entity, read_features, recompute, roots_of, sample_online
from modelyard.features.service.staying import check_sources_stay
from modelyard.features.service.watching import (
    list_consumers,
    list_freshness,
    list_readers,
    put_consumer,
    put_readers,
    remove_consumer,
    view_freshness,
)

__all__ = [
    "apply_features",
    "apply_set",
    "apply_view",
    "check_sources_stay",
    "erase_entity",
    "erasures_since",
    "find_applied_set",
    "get_readable_set",
    "get_set",
    "get_view",
    "historical_rows",
    "known_entity",
    "list_consumers",
    "list_erasures",
    "list_freshness",
    "list_materializations",
    "list_readers",
    "list_sets",
    "list_view_versions",
    "list_views",
    "materialize",
    "materialize_due",
    "open_erasures",
    "personal_in",
    "plan_views",
    "put_consumer",
    "put_readers",
    "read_features",
    "recompute",
    "remove_consumer",
    "resolved_set",
    "resolved_view",
    "roots_of",
    "sample_online",
    "typed_like",
    "view_freshness",
]

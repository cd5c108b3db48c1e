"""What the feature store offers: applying definitions, bringing values online, reading them, training rows, freshness."""

from modelyard.features.service.backfilling import backfill
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
    teams_of,
    typed_like,
)
from modelyard.features.service.erasing import erase_entity, erased_vectors, erasures_since, list_erasures, open_erasures, personal_in
from modelyard.features.service.keeping import keep_histories
from modelyard.features.service.planning import plan_views
from modelyard.features.service.purging import Purging, purge_erased
from modelyard.features.service.pushed_sources import check_pushed_sources, declare_pushed, get_pushed_source, list_pushed_sources
from modelyard.features.service.pushing import flush_pushed, push_events
from modelyard.features.service.reading import (
    OnlineSample,
    historical_rows,
    known_entity,
    read_features,
    recompute,
    recompute_on_demand,
    roots_of,
    sample_online,
)
from modelyard.features.service.searching import FoundView, found_views, search_views
from modelyard.features.service.staying import check_sources_stay
from modelyard.features.service.trusting import (
    Proofs,
    apply_on_demand,
    called,
    list_on_demand,
    list_on_demand_readers,
    list_on_demand_versions,
    proofs_of,
)
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
    "FoundView",
    "OnlineSample",
    "Proofs",
    "Purging",
    "apply_features",
    "apply_on_demand",
    "apply_set",
    "apply_view",
    "backfill",
    "called",
    "check_pushed_sources",
    "check_sources_stay",
    "declare_pushed",
    "erase_entity",
    "erased_vectors",
    "erasures_since",
    "find_applied_set",
    "flush_pushed",
    "get_pushed_source",
    "get_readable_set",
    "found_views",
    "get_set",
    "get_view",
    "historical_rows",
    "keep_histories",
    "known_entity",
    "list_consumers",
    "list_erasures",
    "list_freshness",
    "list_materializations",
    "list_on_demand",
    "list_on_demand_readers",
    "list_on_demand_versions",
    "list_pushed_sources",
    "list_readers",
    "list_sets",
    "list_view_versions",
    "list_views",
    "materialize",
    "materialize_due",
    "proofs_of",
    "purge_erased",
    "push_events",
    "open_erasures",
    "personal_in",
    "plan_views",
    "put_consumer",
    "put_readers",
    "read_features",
    "recompute",
    "recompute_on_demand",
    "remove_consumer",
    "resolved_set",
    "resolved_view",
    "roots_of",
    "sample_online",
    "search_views",
    "teams_of",
    "typed_like",
    "view_freshness",
]

"""The feature store's operations: views, sets, on-demand features, freshness, materialization, online reads. Decides nothing."""

from modelyard.features import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/feature-views", service.list_views, name="list_feature_views"),
    operation("GET", "/feature-views/{view}", service.get_view, name="get_feature_view"),
    operation("GET", "/feature-views/{view}/versions", service.list_view_versions, name="list_feature_view_versions"),
    operation("GET", "/feature-views/{view}/freshness", service.view_freshness, name="get_feature_view_freshness"),
    operation("GET", "/feature-views/{view}/consumers", service.list_consumers, name="list_feature_view_consumers"),
    operation("GET", "/feature-views/{view}/readers", service.list_readers, name="list_feature_view_readers"),
    operation("GET", "/feature-sets", service.list_sets, name="list_feature_sets"),
    operation("GET", "/feature-sets/{feature_set}", service.get_set, name="get_feature_set"),
    operation("GET", "/on-demand-features", service.list_on_demand, name="list_on_demand_features"),
    operation("GET", "/on-demand-features/{feature}/versions", service.list_on_demand_versions, name="list_on_demand_feature_versions"),
    operation("GET", "/feature-materializations", service.list_materializations, name="list_feature_materializations"),
    operation("POST", "/feature-materializations", service.materialize, name="materialize_features"),
    operation("POST", "/feature-views/{view}/backfills", service.backfill, name="backfill_features"),
    operation("GET", "/feature-sources", service.list_pushed_sources, name="list_feature_sources"),
    operation("GET", "/feature-sources/{source}", service.get_pushed_source, name="get_feature_source"),
    operation("POST", "/feature-sources/{source}/events", service.push_events),
    operation("GET", "/feature-erasures", service.list_erasures, name="list_feature_erasures"),
    operation("POST", "/feature-erasures", service.erase_entity, name="erase_features"),
    operation("POST", "/features/{feature_set}", service.read_features),
)

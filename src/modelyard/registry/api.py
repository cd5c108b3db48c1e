"""The operations of the registry. Decides nothing."""

from modelyard.registry import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/models", service.list_models),
    operation("POST", "/models", service.create_model),
    operation("GET", "/models/{model}", service.get_model),
    operation("PUT", "/models/{model}", service.update_model),
    operation("GET", "/models/{model}/versions", service.list_versions),
    operation("POST", "/models/{model}/versions", service.register_artifact, name="register_version"),
    operation("GET", "/models/{model}/versions/{version}", service.show_version, name="get_version"),
    operation("GET", "/models/{model}/versions/{version}/lineage", service.get_lineage),
    operation("POST", "/models/{model}/versions/{version}/retirement", service.retire_version),
    operation("PUT", "/models/{model}/versions/{version}/deprecation", service.deprecate_version),
    operation("DELETE", "/models/{model}/versions/{version}/deprecation", service.withdraw_deprecation),
    operation("GET", "/models/{model}/comparison", service.compare_versions),
    operation("GET", "/models/{model}/aliases", service.list_aliases),
    operation("PUT", "/models/{model}/aliases/{alias}", service.set_alias),
    operation("DELETE", "/models/{model}/aliases/{alias}", service.delete_alias),
    operation("GET", "/models/{model}/alias-moves", service.list_alias_moves),
    operation("GET", "/models/{model}/record", service.get_model_record),
    operation("GET", "/models/{model}/versions/{version}/files", service.list_version_files),
    operation("POST", "/imports/registered-models", service.import_model),
)

"""What the registry offers: models, versions, aliases, artifacts. Functions without a principal are for components that check theirs."""

from modelyard.registry.service.aliases import delete_alias, find_alias, list_alias_moves, list_aliases, set_alias
from modelyard.registry.service.artifacts import inspect_artifact, keep_artifact
from modelyard.registry.service.models import create_model, ensure_model, get_model, list_models, update_model
from modelyard.registry.service.versions import (
    compare_versions,
    get_lineage,
    get_version,
    list_versions,
    put_hold,
    register_artifact,
    register_version,
    release_hold,
    resolve,
    retire_version,
    show_version,
    versions_of_digest,
    versions_of_run,
)

__all__ = [
    "compare_versions",
    "create_model",
    "delete_alias",
    "ensure_model",
    "find_alias",
    "get_lineage",
    "get_model",
    "get_version",
    "inspect_artifact",
    "keep_artifact",
    "list_alias_moves",
    "list_aliases",
    "list_models",
    "list_versions",
    "put_hold",
    "register_artifact",
    "register_version",
    "release_hold",
    "resolve",
    "retire_version",
    "set_alias",
    "show_version",
    "update_model",
    "versions_of_digest",
    "versions_of_run",
]

"""What the registry offers: models, versions, aliases, artifacts. Functions without a principal are for components that check theirs."""

from modelyard.registry.service.aliases import delete_alias, find_alias, list_alias_moves, list_aliases, set_alias
from modelyard.registry.service.artifacts import inspect_artifact, keep_artifact
from modelyard.registry.service.importing import get_model_record, import_model, list_version_files, open_version_file
from modelyard.registry.service.logged import Sought, download_location, prepare_logged, register_logged
from modelyard.registry.service.models import create_model, delete_empty_model, ensure_model, get_model, list_models, update_model
from modelyard.registry.service.notes import STAGES, delete_tag, describe_version, find_notes, move_stage, set_tags
from modelyard.registry.service.search import Asked, dated_models, read_beside, search_models, search_versions, versions_by_key
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
    "STAGES",
    "Asked",
    "Sought",
    "compare_versions",
    "create_model",
    "dated_models",
    "delete_alias",
    "delete_empty_model",
    "delete_tag",
    "describe_version",
    "download_location",
    "ensure_model",
    "find_alias",
    "find_notes",
    "get_lineage",
    "get_model",
    "get_model_record",
    "get_version",
    "import_model",
    "inspect_artifact",
    "keep_artifact",
    "list_alias_moves",
    "list_aliases",
    "list_models",
    "list_version_files",
    "list_versions",
    "move_stage",
    "open_version_file",
    "prepare_logged",
    "put_hold",
    "read_beside",
    "register_artifact",
    "register_logged",
    "register_version",
    "release_hold",
    "resolve",
    "retire_version",
    "search_models",
    "search_versions",
    "set_alias",
    "set_tags",
    "show_version",
    "update_model",
    "versions_by_key",
    "versions_of_digest",
    "versions_of_run",
]

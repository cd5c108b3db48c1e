"""MLflow's words for what a request about models and versions names: its checks, in its order, and its refusals."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from modelyard.registry.domain import ModelIsBound, ModelName, NameWasUsed, NoSuchModel, NoSuchVersion, VersionIsLive, VersionIsRetired
from modelyard.registry.rules.names import PROMPT_TAG, checked_model_name, checked_tag
from modelyard.registry.service.guard import MOST_NUMBER
from modelyard.tracking.wire.codec import KeyValue
from modelyard.tracking.wire.errors import MlflowError, invalid

LONGEST_NUMBER = 30


def name_of(request: Any) -> ModelName:
    """The model that a request is about. Raises InvalidInput."""
    return checked_model_name(request.name or "")


def number_of(request: Any) -> int:
    """The number of the version that a request is about; 0, which none has, for one that is out of range. Raises MlflowError."""
    text = request.version or ""
    try:
        number = int(text[:LONGEST_NUMBER])
    except ValueError as error:
        raise invalid(f"Parameter 'version' must be an integer, got '{text[:60]}'.") from error
    return number if 0 < number <= MOST_NUMBER and len(text) <= LONGEST_NUMBER else 0


def checked_tags(tags: Iterable[KeyValue]) -> dict[str, str]:
    """The tags of a new model or version; of two of one key the last counts.

    Raises InvalidInput, and ENDPOINT_NOT_FOUND for a prompt's, which are not kept here.
    """
    found = dict(checked_tag(tag.key or "", tag.value or "") for tag in tags)
    check_no_prompt(found)
    return found


def check_no_prompt(tags: dict[str, str]) -> None:
    """Raises ENDPOINT_NOT_FOUND for the mark of a prompt."""
    if tags.get(PROMPT_TAG, "").lower() == "true":
        raise MlflowError("ENDPOINT_NOT_FOUND", "Prompts are not kept here: no endpoint answers for them.")


def model_not_found(name: str) -> MlflowError:
    """The error for a model that is not there, or that the caller may not see."""
    return MlflowError("RESOURCE_DOES_NOT_EXIST", f"Registered Model with name={name} not found")


def version_not_found(name: str, version: object) -> MlflowError:
    """The error for a version that is not there, was deleted, or that the caller may not see."""
    return MlflowError("RESOURCE_DOES_NOT_EXIST", f"Model Version (name={name}, version={version}) not found")


def worded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` of a route, its refusals told as MLflow tells them."""

    @wraps(function)
    def told(snapshot: Any, principal: Any, request: Any, *more: Any) -> Any:
        try:
            return function(snapshot, principal, request, *more)
        except (NoSuchModel, NoSuchVersion, VersionIsRetired) as error:
            version = getattr(request, "version", None)
            raise (model_not_found(request.name) if version is None else version_not_found(request.name, version)) from error
        except (ModelIsBound, NameWasUsed, VersionIsLive) as error:
            raise MlflowError("RESOURCE_CONFLICT", f"{error.message}; {error.hint}") from error

    return told

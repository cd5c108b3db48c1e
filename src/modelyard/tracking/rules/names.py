"""Which names, values and batches are accepted: MLflow's limits, in MLflow's words. Owns no lookup."""

import json
import posixpath
import re
from collections.abc import Sequence
from urllib.parse import unquote, urlparse

from modelyard.core.clock import Instant
from modelyard.core.errors import InvalidInput
from modelyard.tracking.domain import Dataset, Metric

LONGEST_KEY = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_EXPERIMENT_NAME = 500
LONGEST_EXPERIMENT_TAG = 20_000
LONGEST_LOCATION = 2048
MOST_METRICS = 1000
MOST_PARAMS_OR_TAGS = 100
MOST_ENTITIES = 1000
MILLISECOND = 1000
LATEST_MILLISECOND = (2**63 - 1) // MILLISECOND

_KEY = re.compile(r"[/\w.\- :]*")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}")
_BAD_CHARACTERS = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
_NAMING_A_HOST = frozenset({"ftp", "sftp", "hdfs", "viewfs", "http", "https", "r2", "b2", "abfss"})
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*")
_LONGEST_EXPERIMENT_ID = 64
_known_keys: set[str] = set()
_MOST_KNOWN = 65_536


def checked_key(key: str | None, path: str, what: str = "") -> str:
    """`key` where it may name a metric, param or tag. Raises InvalidInput that names the request's `path`.

    `what` is the word that an excessive length is told with; without it the length is not looked at here.
    """
    if key in _known_keys:
        return key
    if key is None:
        raise InvalidInput(f"Missing value for required parameter '{path}'.")
    if not _KEY.fullmatch(key):
        raise InvalidInput(_invalid(path, key, _BAD_CHARACTERS))
    normal = posixpath.normpath(key)
    if normal != key or normal == "." or normal.startswith(("..", "/")):
        reason = (
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
            f"This name would resolve to {normal!r}"
        )
        raise InvalidInput(_invalid(path, key, reason))
    checked_length(key, what or path, LONGEST_KEY)
    if len(_known_keys) < _MOST_KNOWN:
        _known_keys.add(key)
    return key


def checked_length(value: str, what: str, most: int) -> str:
    """`value` where it has at most that many characters. Raises InvalidInput."""
    if len(value) > most:
        raise InvalidInput(f"'{what}' exceeds the maximum length of {most} characters")
    return value


def checked_text(value: str, what: str) -> str:
    """`value` where a database can hold it: without the character NUL. Raises InvalidInput."""
    if "\0" in value:
        raise InvalidInput(f"'{what}' holds the character NUL, which no text here may hold")
    return value


def checked_param(key: str | None, value: str | None, path: str) -> tuple[str, str]:
    """A param within the limits; a value that is too long is cut, as MLflow cuts it."""
    return checked_key(key, f"{path}key", "Param key"), checked_text((value or "")[:LONGEST_PARAM], f"{path}value")


def checked_tag(key: str | None, value: str | None, path: str) -> tuple[str, str]:
    """A run's tag within the limits; a value that is too long is cut, as MLflow cuts it."""
    return checked_key(key, f"{path}key"), checked_text((value or "")[:LONGEST_TAG], f"{path}value")


def checked_new_tag(key: str, value: str) -> tuple[str, str]:
    """A tag that a run is made with: there MLflow takes any characters in a key and any length of a value."""
    return checked_text(checked_length(key, "key", LONGEST_KEY), "key"), checked_text(value, "value")


def checked_experiment_tag(key: str | None, value: str | None) -> tuple[str, str]:
    """An experiment's tag within the limits; it is not cut."""
    text = checked_length(value or "", "value", LONGEST_EXPERIMENT_TAG)
    return checked_key(key, "key"), checked_text(text, "value")


def checked_experiment_name(name: str | None) -> str:
    """`name` where it may name an experiment. Raises InvalidInput."""
    if not name:
        raise InvalidInput(f"Invalid experiment name: '{name}'")
    return checked_text(checked_length(name, "name", LONGEST_EXPERIMENT_NAME), "name")


def checked_location(location: str) -> str:
    """`location` where artifacts may be said to lie there. It is told to clients and never opened here."""
    if len(location) > LONGEST_LOCATION:
        raise InvalidInput(
            f"Invalid artifact path length. The length of the artifact path cannot be greater than {LONGEST_LOCATION} characters."
        )
    try:
        parsed = urlparse(location)
    except ValueError as error:
        raise InvalidInput(f"Invalid artifact location '{location}': {error}") from error
    if parsed.fragment or parsed.params:
        raise InvalidInput("'artifact_location' URL can't include fragments or params.")
    if ".." in _unquoted(parsed.query):
        raise InvalidInput("Invalid query string")
    if parsed.scheme in _NAMING_A_HOST or (parsed.scheme == "mlflow-artifacts" and parsed.netloc):
        raise InvalidInput(
            f"'artifact_location' cannot use the '{parsed.scheme}' scheme: the '{parsed.scheme}' scheme addresses a host other than the "
            "tracking server's configured artifact storage."
        )
    if parsed.scheme == "runs":
        raise InvalidInput(f"Artifact location cannot be a runs:/ URI. Given: '{location}'")
    if ".." in _unquoted(location).replace("\\", "/").split("/"):
        raise InvalidInput("'artifact_location' must not leave its folder with '..'.")
    return checked_text(location, "artifact_location")


def _unquoted(text: str) -> str:
    """`text` with its percent signs decoded, also where it was encoded several times over."""
    while (further := unquote(text)) != text:
        text = further
    return text


def checked_run_id(run_id: str) -> str:
    """`run_id` where it has the shape of one. Raises InvalidInput."""
    if not _RUN_ID.fullmatch(run_id):
        raise InvalidInput(f"Invalid value {json.dumps(run_id)} for parameter 'run_id' supplied.")
    return run_id


def checked_experiment_id(experiment_id: str) -> str:
    """`experiment_id` in its normal form. Raises InvalidInput where it is no number."""
    if not (len(experiment_id) <= _LONGEST_EXPERIMENT_ID and _INTEGER.fullmatch(experiment_id)):
        raise InvalidInput(f"Invalid experiment ID '{experiment_id}'. Experiment ID must be a valid integer.")
    return str(int(experiment_id))


def instant_of(milliseconds: int, what: str) -> Instant:
    """MLflow's milliseconds as an instant. Raises InvalidInput beyond what microseconds in 64 bits can say."""
    if abs(milliseconds) > LATEST_MILLISECOND:
        raise InvalidInput(f"Invalid value {milliseconds} for parameter '{what}' supplied: it is no time in milliseconds that fits 64 bits")
    return Instant(milliseconds * MILLISECOND)


def check_batch(metrics: int, params: Sequence[tuple[str, str]], tags: int) -> None:
    """Passes where a batch is within MLflow's limits and names no param twice. Raises InvalidInput."""
    for name, most, count in (
        ("metrics", MOST_METRICS, metrics),
        ("params", MOST_PARAMS_OR_TAGS, len(params)),
        ("tags", MOST_PARAMS_OR_TAGS, tags),
        ("metrics, params, and tags", MOST_ENTITIES, metrics + len(params) + tags),
    ):
        if count > most:
            raise InvalidInput(
                f"A batch logging request can contain at most {most} {name}. Got {count} {name}. "
                f"Please split up {name} across multiple requests and try again."
            )
    if len({key for key, _ in params}) < len(params):
        seen: set[str] = set()
        twice = [key for key, _ in params if key in seen or seen.add(key)]  # type: ignore[func-returns-value]  # set.add answers None
        raise InvalidInput(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request contains only one param value per param key."
        )


def check_metrics(metrics: Sequence[Metric], path: str) -> None:
    """Passes where every metric's key, dataset and time are within the limits; `path` has the place of its index. Raises InvalidInput."""
    for index, metric in enumerate(metrics):
        if metric.key not in _known_keys:
            checked_key(metric.key, f"{path.format(index)}name", "Metric name")
        if metric.at < 0:
            raise InvalidInput(
                _invalid(
                    f"{path.format(index)}timestamp",
                    metric.at // MILLISECOND,
                    f"metric '{metric.key}' (value={metric.value}). Timestamp must be a nonnegative long (64-bit integer) ",
                )
            )
        if metric.dataset_name is not None or metric.model_id is not None:
            checked_text(f"{metric.dataset_name}{metric.dataset_digest}{metric.model_id}", "model_id or dataset_name")


def check_dataset(dataset: Dataset, *, longest_digest: int = 36) -> None:
    """Passes where a dataset's description is within MLflow's limits, its digest within its own. Raises InvalidInput."""
    for name, value, most in (
        ("name", dataset.name, 500),
        ("digest", dataset.digest, longest_digest),
        ("source_type", dataset.source_type, 65_535),
        ("source", dataset.source, 65_535),
        ("schema", dataset.schema or "", 1_048_575),
        ("profile", dataset.profile or "", 16_777_215),
    ):
        checked_text(checked_length(value, name, most), name)


def _invalid(path: str, value: object, reason: str) -> str:
    return f"Invalid value {json.dumps(value)} for parameter '{path}' supplied: {reason}"

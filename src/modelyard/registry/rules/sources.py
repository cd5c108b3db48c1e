"""What the source of a version names, by its text alone, and which are refused: nothing is opened or fetched to find out.

The rules, and the words of a refusal, are those of MLflow's server. Owns no lookup.
"""

import posixpath
import re
import urllib.parse
from enum import StrEnum

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.registry.rules.names import sound

LONGEST_URI = 2000
HOST_SCHEMES = frozenset({"abfss", "b2", "ftp", "hdfs", "http", "https", "mlflow-artifacts", "r2", "sftp", "viewfs"})
"""Schemes whose address names the host that a reader would connect to."""

_MOST_QUOTINGS = 10


class SourceKind(StrEnum):
    """What a source names."""

    LOCAL = "local"
    RUN = "run"
    PROXIED = "proxied"
    LOGGED_MODEL = "logged_model"
    REGISTERED = "registered"
    FOREIGN = "foreign"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A source by its parts: for a run or logged model its id and the folder below it, for a registered model's its reference."""

    uri: str
    kind: SourceKind
    owner: str = ""
    folder: str = ""
    suffix: str = ""
    is_alias: bool = False


def parsed_source(uri: str) -> Source:
    """What `uri` names. Raises InvalidInput for an address of a host, and for one that is no address.

    >>> parsed_source("runs:/6f/model").folder
    'model'
    >>> parsed_source("models:/churn@champion").suffix
    'champion'
    """
    sound(uri, "source")
    if len(uri) > LONGEST_URI:
        raise InvalidInput(f"'source' exceeds the maximum length of {LONGEST_URI} characters")
    try:
        parsed = urllib.parse.urlparse(uri)
    except ValueError as error:
        raise invalid(uri, f"It is no address: {error}.") from error
    scheme = parsed.scheme
    if scheme in HOST_SCHEMES and (scheme != "mlflow-artifacts" or parsed.netloc):
        raise InvalidInput(
            f"'source' cannot use the '{scheme}' scheme: the '{scheme}' scheme addresses a host other than the tracking server's "
            "configured artifact storage, so the server would connect to the host named in the URI. No setting allows it."
        )
    if scheme == "file" and parsed.hostname and not parsed.hostname.startswith(("localhost", "127.0.0.1")):
        raise InvalidInput(f"{uri} is not a valid remote uri.", hint="log the model instead")
    match scheme:
        case "" | "file":
            return Source(uri=uri, kind=SourceKind.LOCAL)
        case "models":
            return _models(uri, parsed.netloc)
        case "runs":
            owner, _, folder = parsed.path.removeprefix("/").partition("/")
            return Source(uri=uri, kind=SourceKind.RUN, owner="" if parsed.netloc else owner, folder=folder)
        case "mlflow-artifacts":
            return Source(uri=uri, kind=SourceKind.PROXIED, folder=parsed.path.lstrip("/"))
    return Source(uri=uri, kind=SourceKind.FOREIGN)


def _models(uri: str, netloc: str) -> Source:
    if netloc:
        raise invalid(uri, "Registered model sources must use the active model registry.")
    path = urllib.parse.urlparse(uri, allow_fragments=False).path
    parts = path.lstrip("/").split("/")
    name, *suffix = parts
    if not path.startswith("/") or len(parts) > 2 or not name.strip() or (suffix and not suffix[0].strip()):
        raise without(uri, "model_id")
    if suffix:
        return Source(uri=uri, kind=SourceKind.REGISTERED, owner=name, suffix=suffix[0])
    if "@" not in name:
        return Source(uri=uri, kind=SourceKind.LOGGED_MODEL, owner=name)
    name, _, alias = name.rpartition("@")
    if not alias.strip():
        raise without(uri, "model_id")
    return Source(uri=uri, kind=SourceKind.REGISTERED, owner=name, suffix=alias, is_alias=True)


def check_path(uri: str) -> None:
    """Passes for an address whose path is absolute and leaves no folder, however often it is quoted. Raises InvalidInput."""
    plain = uri
    for _ in range(_MOST_QUOTINGS):
        unquoted = urllib.parse.unquote_plus(plain)
        if unquoted == plain:
            break
        plain = unquoted
    path = re.sub(r"/+", "/", urllib.parse.urlparse(plain).path.rstrip("/"))
    leaves = "\0" in plain or "%" in _escapes(plain) or ".." in plain.split("/")
    if leaves or not path.startswith("/") or posixpath.normpath(path) != path:
        raise invalid(
            uri,
            "If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must "
            "be provided without relative path references present. Please provide an absolute path.",
        )


def _escapes(text: str) -> str:
    """The quoted characters that are left in a text that was unquoted as often as anybody would."""
    return "".join(re.findall(r"%[0-9a-fA-F]{2}", text))


def is_within(uri: str, root: str) -> bool:
    """Whether an address lies at or below another of the same place, part by part.

    >>> is_within("mlflow-artifacts:/0/6f/artifacts/model", "mlflow-artifacts:/0/6f/artifacts")
    True
    """
    place, parts = _parts(uri)
    root_place, root_parts = _parts(root)
    return place == root_place and bool(root_parts) and parts[: len(root_parts)] == root_parts


def _parts(uri: str) -> tuple[tuple[str, str], list[str]]:
    parsed = urllib.parse.urlsplit(uri)
    return (parsed.scheme.lower(), parsed.netloc.lower()), [part for part in parsed.path.split("/") if part]


def is_local(uri: str) -> bool:
    """Whether an address is a path of somebody's machine."""
    return urllib.parse.urlparse(uri).scheme in ("", "file")


def is_below(path: str, folder: str) -> bool:
    """Whether a local path, or its `file:` address, lies at or below another, by their texts alone."""
    below, above = _local(path), _local(folder)
    return above.startswith("/") and (below == above or below.startswith(f"{above.rstrip('/')}/"))


def _local(uri: str) -> str:
    path = urllib.parse.unquote(urllib.parse.urlparse(uri).path) if uri.startswith("file:") else uri
    return posixpath.normpath(path)


def invalid(uri: str, why: str) -> InvalidInput:
    """The refusal of a source."""
    return InvalidInput(f"Invalid model version source: '{uri[:LONGEST_URI]}'. {why}", hint="log the model, then register what was logged")


def without(uri: str, parameter: str) -> InvalidInput:
    """The refusal of a source of something that the request's `run_id` or `model_id` does not name."""
    return invalid(uri, f"The {parameter} request parameter must identify the resource that contains the source.")

"""Artifact paths: which are accepted, and whose a proxied path is. Owns the checks; opens nothing.

Artifacts are rows that point to content by digest, so no path of a caller ever reaches a file system here. The checks are
for those who download: a path that leaves its folder must not be stored, in whatever encoding it comes.
"""

import re
from collections.abc import Iterable
from urllib.parse import unquote

import msgspec

from modelyard.tracking.domain import FileEntry, PathRefused

LONGEST_PATH_BYTES = 1000
LONGEST_SEGMENT_BYTES = 255
ARTIFACTS = "artifacts"
SCHEME = "mlflow-artifacts:/"

SHARED = "shared"
"""The owner of files behind the proxy's address that are of no run and no model."""

_OWNER = re.compile(r"(m-)?[0-9a-f]{32}")
_DECODINGS = 8
_DRIVE_OR_SCHEME = re.compile(r"[A-Za-z]:|file:|[A-Za-z][A-Za-z0-9+.\-]*:/", re.IGNORECASE)


class OwnedPath(msgspec.Struct, frozen=True, kw_only=True):
    """A proxied path: `root` as the owner's address says it, the owner's id (a run's or a logged model's), the path below."""

    root: str
    owner: str
    path: str


def checked_path(path: str) -> str:
    """`path` where it may name an artifact. Raises PathRefused.

    >>> checked_path("model/MLmodel")
    'model/MLmodel'
    """
    decoded = path
    for _ in range(_DECODINGS):
        _check(decoded, path)
        further = unquote(decoded)
        if further == decoded:
            break
        decoded = further
    else:
        raise _refused(path, "it is encoded many times over")
    if len(path.encode()) > LONGEST_PATH_BYTES:
        raise _refused(path, f"it has more than {LONGEST_PATH_BYTES} bytes")
    return path


def _check(path: str, given: str) -> None:
    if not path or path.startswith("/") or "\\" in path or "#" in path or not path.isprintable():
        raise _refused(given, "it is empty or absolute, or holds a backslash, '#' or a control character")
    if _DRIVE_OR_SCHEME.match(path):
        raise _refused(given, "it begins like a drive or an address")
    for segment in path.split("/"):
        # Windows drops trailing dots and spaces, so "..." and ".. " are parents there.
        if not segment.strip(". ") or len(segment.encode()) > LONGEST_SEGMENT_BYTES:
            raise _refused(given, f"a part of it is empty, made of dots, or longer than {LONGEST_SEGMENT_BYTES} bytes")


def checked_folder(path: str | None) -> str:
    """`path` of a folder to list, without parts that are a dot and without a slash at its end; the root is the empty text.

    Raises PathRefused.
    """
    path = "/".join(part for part in (path or "").split("/") if part != ".")
    text = path.rstrip("/") if path != "/" else ""
    return checked_path(text) if text or path not in ("", "/") else ""


def owned_path(path: str) -> OwnedPath:
    """Whose artifact `path`, as it stands behind the proxy's address, is. What names no run and no model is shared.

    Raises PathRefused, also for a path through a run or model that is not below its artifacts.

    >>> owned_path("0/" + "a" * 32 + "/artifacts/model/MLmodel").path
    'model/MLmodel'
    """
    checked = checked_path(path.rstrip("/"))
    parts = checked.split("/")
    for index, part in enumerate(parts[:-1]):
        if parts[index + 1] == ARTIFACTS and _OWNER.fullmatch(part):
            below = "/".join(parts[index + 2 :])
            return OwnedPath(root=SCHEME + "/".join(parts[: index + 2]), owner=part, path=checked_path(below) if below else "")
    if any(_OWNER.fullmatch(part.lower()) for part in parts):
        raise _refused(path, "artifacts lie below EXPERIMENT/RUN/artifacts or EXPERIMENT/models/MODEL/artifacts")
    return OwnedPath(root=SCHEME, owner=SHARED, path=checked)


def listing(files: Iterable[FileEntry], folder: str) -> tuple[FileEntry, ...]:
    """The files and folders right below `folder`, sorted; `files` are all that lie below it, at any depth.

    A path that is itself a file lists as nothing, as MLflow has it.
    """
    depth = len(folder) + 1 if folder else 0
    found: dict[str, FileEntry] = {}
    for file in files:
        name, slash, _ = file.path[depth:].partition("/")
        path = file.path[:depth] + name
        if slash:
            found[path] = FileEntry(path=path, is_folder=True)
        else:
            found.setdefault(path, file)
    return tuple(found[path] for path in sorted(found))


def _refused(path: str, why: str) -> PathRefused:
    return PathRefused(f"Invalid path: {path[:100]!r}: {why}", hint="use a relative path such as model/MLmodel")

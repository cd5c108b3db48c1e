"""The files of a source, on this machine or in an object store: which there are, what tells that they changed, their digest.

Owns no format.
"""

import contextlib
import fnmatch
import functools
import glob
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import obstore
from obstore.exceptions import BaseError
from obstore.store import ObjectStore

from modelyard.core.digests import Digest, digest_chunks, digest_file
from modelyard.features.domain import Csv, Parquet, SourceUnreadable, is_address
from modelyard.features.sources.reach import object_options
from modelyard.storage.objects import first_line, open_objects

if TYPE_CHECKING:
    from obstore import ObjectMeta

CHUNK_BYTES = 1 << 20
WILD = "*?["


class SourceFile(msgspec.Struct, frozen=True):
    """A file of a source, with what tells that it changed: `tag` is an object store's own word for its content."""

    path: str
    size_bytes: int
    changed_ns: int
    tag: str = ""


Files = tuple[SourceFile, ...]
ENDINGS: dict[type, str] = {Parquet: ".parquet", Csv: ".csv"}
"""What a folder's files end with by the kind of source; a Delta table is all of its folder."""


def files_at(path: str, root: Path, ending: str) -> Files:
    """The files at `path`, taken from `root` unless it is an address, in order of their names; of a folder those of that ending.

    Raises SourceUnreadable where there are none.
    """
    found = _objects(path, ending) if is_address(path) else _local(path, root, ending)
    if not found:
        shown, hint = (path, "its folder and ending") if is_address(path) else (root / path, "it is taken from the project's folder")
        raise SourceUnreadable(f"there is no file at {shown}", hint=f"check the source's path; {hint}")
    return found


def _local(path: str, root: Path, ending: str) -> Files:
    path, is_folder = os.path.join(root, path), False  # noqa: PTH118 - asked for at every materialization, and five times as fast
    with contextlib.suppress(OSError):
        found = os.stat(path)  # noqa: PTH116
        if not stat.S_ISDIR(found.st_mode):
            return (_regular(path, found),)
        path, is_folder = os.path.join(path, "**", f"*{ending}"), True  # noqa: PTH118
    paths = sorted(glob.glob(path, recursive=True))  # noqa: PTH207 - an absolute pattern
    try:
        stats = [(one, Path(one).stat()) for one in paths]
    except OSError as error:  # a link that leads nowhere, or a file that went meanwhile
        raise SourceUnreadable(f"{error.filename} cannot be read: {error.strerror}", hint="mend the link, or take it away") from error
    # A folder in a folder, which may bear that ending too, stands for its files.
    return tuple(_regular(one, found) for one, found in stats if not (is_folder and stat.S_ISDIR(found.st_mode)))


def _regular(path: str, found: os.stat_result) -> SourceFile:
    """The file at `path`. Raises SourceUnreadable for what is none, such as a pipe or a device, whose reading might never end."""
    if not stat.S_ISREG(found.st_mode):
        raise SourceUnreadable(f"{path} is no regular file", hint="name files, a folder of them, or a pattern that nothing else fits")
    return SourceFile(path, found.st_size, found.st_mtime_ns)


def _objects(path: str, ending: str) -> Files:
    bucket, _, key = _split(path)
    fixed = fixed_part(key)
    found = []
    with unreachable(path):
        for page in obstore.list(_store(bucket), fixed.rpartition("/")[0] or None):
            found += [_object(bucket, one) for one in page if _is_meant(one["path"], key, ending)]
    return tuple(sorted(found, key=lambda file: file.path))


def _is_meant(name: str, key: str, ending: str) -> bool:
    """Whether an object is the one at `key`, one of that folder with that ending, or one of that pattern."""
    if fixed_part(key) != key:
        return fnmatch.fnmatchcase(name, key)
    return name == key or (name.startswith(f"{key.rstrip('/')}/") and name.endswith(ending))


def _object(bucket: str, meta: "ObjectMeta") -> SourceFile:
    return SourceFile(f"{bucket}/{meta['path']}", meta["size"], round(meta["last_modified"].timestamp() * 1e9), meta["e_tag"] or "")


def fixed_part(path: str) -> str:
    """What stands in front of a pattern's first letter that may stand for others.

    >>> fixed_part("s3://lake/sales/2026-*.csv"), fixed_part("s3://lake/sales")
    ('s3://lake/sales/2026-', 's3://lake/sales')
    """
    return path[: min([len(path), *(path.index(letter) for letter in WILD if letter in path)])]


def files_digest(files: Files) -> Digest:
    """The digest of the files' content, in order."""
    return _known_digest(files) if is_address(files[0].path) else _digest(files)


def _digest(files: Files) -> Digest:
    digests = [_object_digest(file.path) if is_address(file.path) else digest_file(Path(file.path)) for file in files]
    return digests[0] if len(digests) == 1 else digest_chunks(digest.encode() for digest in digests)


# All of an object must come over for it.
_known_digest = functools.lru_cache(maxsize=64)(_digest)


def _object_digest(path: str) -> Digest:
    running = hashlib.sha256()
    for chunk in object_chunks(path):
        running.update(chunk)
    return Digest(f"sha256:{running.hexdigest()}")


def object_chunks(path: str) -> Iterator[bytes]:
    """The bytes at an address, a piece at a time. Raises SourceUnreadable."""
    bucket, _, key = _split(path)
    with unreachable(path):
        for chunk in obstore.get(_store(bucket), key).stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)


@contextlib.contextmanager
def unreachable(path: str) -> Iterator[None]:
    """Turns what an object store says into SourceUnreadable."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise SourceUnreadable(
            f"{path} cannot be read: {first_line(error)}",
            hint="what opens the store stands in the server's environment or in features.options",
        ) from error


def _split(path: str) -> tuple[str, str, str]:
    scheme, _, rest = path.partition("://")
    bucket, slash, key = rest.partition("/")
    return f"{scheme}://{bucket}", slash, key


@functools.lru_cache(maxsize=16)
def _opened(bucket: str, options: tuple[tuple[str, str], ...]) -> ObjectStore:
    return open_objects(bucket, dict(options))


def _store(bucket: str) -> ObjectStore:
    return _opened(bucket, tuple(sorted(object_options().items())))

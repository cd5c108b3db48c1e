"""What a stored history holds of its source, and what is to be done once the source is another.

Pure, but for the digests of parts that were touched.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from modelyard.core.digests import Digest, digest_chunks
from modelyard.features.domain import is_address
from modelyard.features.erased import rest_of
from modelyard.features.rows import OpenSource
from modelyard.features.sources.parquets import ParquetFiles

BUCKET_BYTES = 2**26
"""What a bucket's values take when it is laid out first, each counted with 8 bytes."""
MOST_BUCKETS = 4096
GROWTH = 4
"""A history that has grown by so much is laid out anew, in more buckets."""


class Part(msgspec.Struct, frozen=True):
    """A part of a source that comes by itself: a Parquet file, or else all of it. `changed_ns` is 0 where its digest tells a change."""

    path: str
    size_bytes: int
    changed_ns: int
    opened: OpenSource


def parts_of(opened: OpenSource, root: Path) -> tuple[Part, ...]:
    """The parts of a source, its files' paths as seen from the view's root, so that a project may be moved."""
    if not isinstance(opened, ParquetFiles):
        return (Part(opened.place, 0, 0, opened),)
    return tuple(
        Part(
            file.path if is_address(file.path) else os.path.relpath(file.path, root),
            file.size_bytes,
            file.changed_ns,
            ParquetFiles(opened.place, (file,)),
        )
        for file in opened.files
    )


def together(parts: Sequence[Part]) -> OpenSource:
    """Some parts of one source, of which there is at least one."""
    opened = [part.opened for part in parts]
    files = [file for one in opened if isinstance(one, ParquetFiles) for file in one.files]
    return ParquetFiles(opened[0].place, tuple(files)) if files else opened[0]


class LaidFile(msgspec.Struct, frozen=True):
    """A part of the source as it was laid out: what names it, what tells that it changed, its content."""

    path: str
    size_bytes: int
    changed_ns: int
    digest: Digest


class Laid(msgspec.Struct, frozen=True, kw_only=True):
    """What a version of a stored history holds: the rows of these files, in so many buckets.

    `source_rows` are those that the files have by their own account, `rows` those of them that stand for something.
    """

    buckets: int
    rows: int
    source_rows: int
    files: tuple[LaidFile, ...]

    @property
    def source(self) -> Digest:
        """The digest of the source, as `files_digest` gives it."""
        digests = [file.digest for file in self.files]
        return digests[0] if len(digests) == 1 else digest_chunks(digest.encode() for digest in digests)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What brings a history up to its source: which rows come to those that it has, where it `goes_on`, and which files stay as noted."""

    fresh: tuple[Part, ...]
    kept: tuple[LaidFile, ...] = ()
    goes_on: bool = False


def next_step(laid: Laid | None, files: Sequence[Part]) -> Step | None:
    """The step from what was laid out to the files as they are, `None` where nothing is to be done.

    A file that grew, changed or went away changes the past: everything begins anew. One that was only touched is told by its digest.
    Pushed events only grow, unless some were erased meanwhile.
    """
    anew = Step(fresh=tuple(files))
    if laid is None:
        return anew
    known = {file.path: file for file in laid.files}
    fresh, kept = [], []
    for file in files:
        before = known.pop(file.path, None)
        if before is None:
            fresh.append(file)
        elif is_same(before, file):
            kept.append(msgspec.structs.replace(before, changed_ns=file.changed_ns))
        elif (rest := rest_of(file.opened, before.digest, laid.source_rows)) is None:
            return anew
        elif rest.count() > 0:
            fresh.append(msgspec.structs.replace(file, opened=rest))
        else:
            kept.append(before)  # others have laid out what came since it was opened
    if known:
        return anew
    return Step(fresh=tuple(fresh), kept=tuple(kept), goes_on=True) if fresh or tuple(kept) != laid.files else None


def is_same(before: LaidFile, file: Part) -> bool:
    """Whether a file still has the content that was laid out. Untouched and as large, it has."""
    if before.size_bytes != file.size_bytes:
        return False
    return bool(file.changed_ns and before.changed_ns == file.changed_ns) or file.opened.digest() == before.digest


def laid_files(files: Sequence[Part], digests: Sequence[Digest]) -> list[LaidFile]:
    """The parts as a history notes them."""
    return [LaidFile(file.path, file.size_bytes, file.changed_ns, digest) for file, digest in zip(files, digests, strict=True)]


def has_outgrown(laid: Laid, rows: int, width: int) -> bool:
    """Whether a history is to be laid out anew, in more buckets, when so many rows come to it."""
    return buckets_for(laid.rows + rows, width) > GROWTH * laid.buckets


def buckets_for(rows: int, width: int) -> int:
    """How many buckets hold so many rows of `width` values in reasonable parts: a power of two."""
    parts = max(1, -(-rows * width * 8 // BUCKET_BYTES))
    return min(1 << (parts - 1).bit_length(), MOST_BUCKETS)

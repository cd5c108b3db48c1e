"""Segments: append-only files of frames. Owns their names, recovery and reading; `writer` appends, `shipping` sends them off.

A segment is `<id>.open` while it grows and `<id>.sealed` once nothing is added; a manifest `<id>.json` says that it is in
the blob store. After a kill the tail that no caller was answered for is cut off and the segment is sealed.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import Corrupted
from modelyard.serving.domain import Contents
from modelyard.serving.log.frames import ID_BYTES, MAGIC, Frame, LabelFrame, Layout, PredictionFrame, bodies, decoded

OPEN = ".open"
SEALED = ".sealed"
MANIFEST = ".json"


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """A segment found open at start: what was kept, and how many bytes of an unanswered tail were cut off."""

    id: str
    kept_bytes: int
    cut_bytes: int


def frames(content: bytes | memoryview) -> Iterator[Frame]:
    """The frames of a segment, as far as they are whole."""
    return (decoded(body) for _, body in bodies(memoryview(content)))


def sealed_frames(content: bytes, segment: str) -> Iterator[Frame]:
    """The frames of a sealed segment. Raises Corrupted where any byte of it is not part of a whole frame."""
    end = len(MAGIC)
    for end, body in bodies(memoryview(content)):  # noqa: B007 - the last end is read after the loop
        yield decoded(body)
    if end != len(content) or content[: len(MAGIC)] != MAGIC:
        raise Corrupted(
            f"segment {segment} of the prediction log breaks at byte {end} of {len(content)}",
            hint="restore it from a backup; its digest in the ledger says which content is right",
        )


def recover(folder: Path) -> list[Recovered]:
    """Seals every segment that a stopped gateway left open, each cut where its last whole frame ends."""
    return [_recovered(path) for path in sorted(folder.glob(f"*{OPEN}"))]


def _recovered(path: Path) -> Recovered:
    content = path.read_bytes()
    end = 0
    for end, _ in bodies(memoryview(content)):  # noqa: B007 - the last end is read after the loop
        pass
    result = Recovered(id=path.stem, kept_bytes=end, cut_bytes=len(content) - end)
    if not end:
        path.unlink()
        return result
    if result.cut_bytes:
        with path.open("r+b") as stream:
            stream.truncate(end)
            stream.flush()
            os.fsync(stream.fileno())
    seal(path)
    return result


def seal(path: Path) -> Path:
    """Gives an open segment its sealed name, durably."""
    sealed = path.with_suffix(SEALED)
    path.rename(sealed)
    sync_folder(path.parent)
    return sealed


def sealed_paths(folder: Path) -> list[Path]:
    """The sealed segments in `folder`, oldest first."""
    return sorted(folder.glob(f"*{SEALED}"))


def sync_folder(folder: Path) -> None:
    """Makes new and changed names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def contents_of(content: bytes) -> Contents:
    """What a segment holds, counted."""
    predictions = labels = 0
    first, last = b"\xff" * ID_BYTES, b""
    walls: list[Instant] = []
    for frame in frames(content):
        if isinstance(frame, PredictionFrame):
            predictions += len(frame.values)
            first, last = min(first, frame.ids[:ID_BYTES]), max(last, frame.ids[-ID_BYTES:])
        elif isinstance(frame, LabelFrame):
            labels += len(frame.values)
        if not isinstance(frame, Layout):
            walls.append(frame.wall)
    return Contents(
        predictions=predictions,
        labels=labels,
        first_id=str(UUID(bytes=first)) if last else "",
        last_id=str(UUID(bytes=last)) if last else "",
        first_at=min(walls, default=Instant(0)),
        last_at=max(walls, default=Instant(0)),
    )


def find_frames(content: bytes, prediction: UUID) -> Iterator[tuple[Layout, PredictionFrame, int]]:
    """The frames that hold `prediction`, with their layout and the row; nothing where the segment does not have it."""
    if prediction.bytes not in content:
        return
    layouts: dict[str, Layout] = {}
    for _, body in bodies(memoryview(content)):
        frame = decoded(body)
        if isinstance(frame, Layout):
            layouts[frame.key] = frame
        elif isinstance(frame, PredictionFrame) and prediction.bytes in frame.ids:
            rows = [frame.ids[n : n + ID_BYTES] for n in range(0, len(frame.ids), ID_BYTES)]
            if prediction.bytes in rows:
                yield layouts[frame.layout], frame, rows.index(prediction.bytes)

"""The newest prediction that a caller may see, wherever it is by now. Reads the ends of a few segments, never the tables."""

from collections.abc import Collection, Iterator

from modelyard.access.domain import Principal
from modelyard.core.settings import Settings
from modelyard.serving import records, store
from modelyard.serving.domain import Arm, PredictionRecord
from modelyard.serving.log.frames import LAYOUT, Layout, PredictionFrame, bodies, decoded
from modelyard.serving.log.segments import OPEN, SEALED
from modelyard.serving.service.log import OWN_LOG
from modelyard.storage.blobs import BlobMissing, Blobs
from modelyard.storage.database import Snapshot

MOST_SEGMENTS = 20


def newest_prediction(snapshot: Snapshot, principal: Principal, blobs: Blobs, settings: Settings) -> PredictionRecord | None:
    """The last prediction of a model that the caller may see, of the newest segments; None where these hold none."""
    mine = {row.model for row in store.list_endpoints(snapshot, principal.teams)}
    if not mine:
        return None
    return next((found for content in _contents(snapshot, blobs, settings) for found in _last(content, mine)), None)


def _contents(snapshot: Snapshot, blobs: Blobs, settings: Settings) -> Iterator[bytes]:
    """The segments' bytes: first what this machine's gateway has not sent off, then what is registered, newest first."""
    folder = settings.folder / OWN_LOG
    paths = [path for ending in (OPEN, SEALED) for path in folder.glob(f"*{ending}")]
    for path in sorted(paths, key=lambda path: path.stem, reverse=True):
        try:
            yield path.read_bytes()
        except FileNotFoundError:
            continue
    for logged in store.list_segments(snapshot, None, MOST_SEGMENTS):
        if logged.segment.contents.predictions:
            try:
                yield blobs.get_bytes(logged.segment.digest)
            except BlobMissing:
                continue


def _last(content: bytes, mine: Collection[str]) -> Iterator[PredictionRecord]:
    frames = [body for _, body in bodies(memoryview(content))]
    layouts: dict[str, Layout] | None = None
    for at in range(len(frames) - 1, -1, -1):
        frame = decoded(frames[at])
        if not isinstance(frame, PredictionFrame) or frame.arm == Arm.SHADOW.value:
            continue
        if layouts is None:
            kept = (decoded(body) for body in frames if bytes(body[:1]) == LAYOUT)
            layouts = {one.key: one for one in kept if isinstance(one, Layout)}
        if layouts[frame.layout].model in mine:
            yield records.of_frame(layouts[frame.layout], frame, len(frame.values) - 1, source="segment")
            return

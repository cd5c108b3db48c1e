"""The writer of the prediction log on a real disk: durable before answered, sealed, recovered after a kill."""

import asyncio
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.core.clock import FixedClock, Instant
from modelyard.core.errors import Conflict, Corrupted
from modelyard.serving.log.frames import Field, Frame, LabelFrame, Layout, PredictionFrame, encoded
from modelyard.serving.log.segments import contents_of, find_frames, frames, recover, sealed_frames, sealed_paths
from modelyard.serving.log.writer import KnownLayout, LogUnavailable, LogWriter

LAYOUT = KnownLayout(Layout("late", 1, (Field("origin", "key", "text"), Field("wind", "feature", "float"))))


def prediction(number: int) -> bytes:
    """The body of a frame with one row whose id is `number`."""
    wall = Instant(1000 + number)
    ids = uuid.UUID(int=number).bytes
    return encoded(PredictionFrame(LAYOUT.key, wall, wall, 1, "champion", 10, ids, [float(number)], [["JFK"], [0.1]]))


def opened(folder: Path, clock: FixedClock, **options: object) -> LogWriter:
    """A writer that seals only when told or when full."""
    return LogWriter(folder, clock, **{"segment_bytes": 2**20, "segment_age_s": 3600.0, **options})  # type: ignore[arg-type]  # options of a test


async def append(log: LogWriter, *bodies: bytes) -> None:
    """Appends and waits until it is durable."""
    future = asyncio.get_running_loop().create_future()
    log.append([(LAYOUT, body) for body in bodies], future)
    await asyncio.wait_for(future, 10)


def read(folder: Path) -> list[Frame]:
    """All frames of the sealed segments."""
    return [frame for path in sealed_paths(folder) for frame in sealed_frames(path.read_bytes(), path.stem)]


@pytest.fixture
def log(tmp_path: Path, clock: FixedClock) -> Iterator[LogWriter]:
    """A writer, closed afterwards."""
    writer = opened(tmp_path, clock)
    yield writer
    writer.close()


def test_what_was_answered_is_on_disk_behind_its_layout(log: LogWriter) -> None:
    asyncio.run(append(log, prediction(1), prediction(2)))
    (path,) = log.folder.glob("*.open")
    layout, first, second = frames(path.read_bytes())
    assert layout == LAYOUT.layout
    assert isinstance(first, PredictionFrame)
    assert isinstance(second, PredictionFrame)
    assert (first.values, second.values) == ([1.0], [2.0])


def test_requests_that_wait_together_share_one_sync(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path, clock)

    async def many() -> None:
        await asyncio.gather(*(append(log, prediction(n)) for n in range(1, 401)))

    asyncio.run(many())
    log.close()
    assert len([frame for frame in read(tmp_path) if isinstance(frame, PredictionFrame)]) == 400
    assert log.syncs < 200


def test_each_segment_begins_with_the_layouts_it_uses(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path, clock, segment_bytes=1)
    for number in range(3):
        asyncio.run(append(log, prediction(number)))
    log.close()
    assert len(sealed_paths(tmp_path)) == 3
    assert [type(frame) for frame in read(tmp_path)] == [Layout, PredictionFrame] * 3


def test_a_segment_is_sealed_when_asked_and_says_since_when_it_grows(log: LogWriter, clock: FixedClock) -> None:
    assert log.unsealed_since() is None
    asyncio.run(append(log, prediction(1)))
    since = clock.wall()
    clock.advance(5)
    assert log.unsealed_since() == since
    log.request_seal()
    log.close()
    assert log.unsealed_since() is None
    assert contents_of(sealed_paths(log.folder)[0].read_bytes()).predictions == 1


def test_a_segment_grown_old_is_sealed(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path, clock, segment_age_s=60.0)
    asyncio.run(append(log, prediction(1)))
    clock.advance(61)
    # The segment is sealed between these two, at the latest; closing would seal it whatever its age.
    asyncio.run(append(log, prediction(2)))
    asyncio.run(append(log, prediction(3)))
    assert sealed_paths(tmp_path)
    log.close()


def test_a_second_gateway_is_refused_the_folder(log: LogWriter, clock: FixedClock) -> None:
    with pytest.raises(Conflict, match="another gateway"):
        opened(log.folder, clock)


def test_a_full_disk_fails_the_request_and_the_next_one_goes_to_a_new_segment(tmp_path: Path, clock: FixedClock) -> None:
    failing = [False]

    def sync(descriptor: int) -> None:
        if failing[0]:
            raise OSError(errno.ENOSPC, "no space left")
        os.fdatasync(descriptor)

    log = opened(tmp_path, clock, sync=sync)
    asyncio.run(append(log, prediction(1)))
    failing[0] = True
    with pytest.raises(LogUnavailable, match="no space"):
        asyncio.run(append(log, prediction(2)))
    states = [log.failed]
    failing[0] = False
    asyncio.run(append(log, prediction(3)))
    log.close()
    assert [*states, log.failed] == [True, False]
    assert [frame.values for frame in read(tmp_path) if isinstance(frame, PredictionFrame)] == [[1.0], [3.0]]


def test_a_closed_log_takes_nothing(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path, clock)
    log.close()
    with pytest.raises(LogUnavailable):
        asyncio.run(append(log, prediction(1)))


def test_recovery_cuts_a_torn_tail_at_every_byte_and_keeps_what_was_answered(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path / "whole", clock)
    asyncio.run(append(log, prediction(1)))
    (path,) = log.folder.glob("*.open")
    answered = path.stat().st_size
    asyncio.run(append(log, prediction(2)))
    content = path.read_bytes()
    log.close()
    for size in range(answered, len(content)):
        folder = tmp_path / str(size)
        folder.mkdir()
        (folder / "seg_1.open").write_bytes(content[:size])
        (found,) = recover(folder)
        assert (found.kept_bytes, found.cut_bytes) == (answered, size - answered)
        assert [type(frame) for frame in read(folder)] == [Layout, PredictionFrame]


def test_a_segment_without_a_frame_is_removed(tmp_path: Path) -> None:
    (tmp_path / "seg_1.open").write_bytes(b"")
    assert recover(tmp_path)[0].kept_bytes == 0
    assert list(tmp_path.iterdir()) == []


def test_a_sealed_segment_with_a_broken_byte_is_not_read_past_it(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path, clock)
    asyncio.run(append(log, prediction(1)))
    log.close()
    (path,) = sealed_paths(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with pytest.raises(Corrupted, match="breaks at byte"):
        list(sealed_frames(bytes(content), path.stem))


def test_a_prediction_is_found_by_its_id(tmp_path: Path, clock: FixedClock) -> None:
    log = opened(tmp_path, clock)
    asyncio.run(append(log, prediction(7), prediction(8)))
    labels = LabelFrame("late", Instant(5), [str(uuid.UUID(int=8))], [None], [Instant(4)], [1.0])
    log.append([(None, encoded(labels))])
    log.close()
    content = sealed_paths(tmp_path)[0].read_bytes()
    ((layout, frame, row),) = find_frames(content, uuid.UUID(int=8))
    assert (layout, frame.values[row]) == (LAYOUT.layout, 8.0)
    assert list(find_frames(content, uuid.UUID(int=9))) == []
    found = contents_of(content)
    assert (found.predictions, found.labels) == (2, 1)
    assert (found.first_id, found.last_id) == (str(uuid.UUID(int=7)), str(uuid.UUID(int=8)))
    assert (found.first_at, found.last_at) == (5, 1008)

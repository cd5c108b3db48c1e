"""The spool on disk: batches are durable, numbered and read once, whatever was being written when the machine died."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import Conflict, ModelyardError, Overloaded
from modelyard.sdk.tracking import leftovers
from modelyard.sdk.tracking.leftovers import SpoolReader, count_waiting, list_spools, read_refused, taken_over
from modelyard.sdk.tracking.packing import Item, Noted, packed_items
from modelyard.sdk.tracking.sending import Sending
from modelyard.sdk.tracking.spool import Head, Spooled, SpoolUnavailable, SpoolWriter
from modelyard.tracking.domain import NoSuchRun, RunId
from modelyard.tracking.rules.series import unpacked
from modelyard.tracking.spooled import MOST_POINTS, ContentMissing, Ended, File, Points, Record, Texts, new_source_id

AT = Instant(7)


def writer(root: Path, **given: int) -> SpoolWriter:
    return SpoolWriter(root, Head(source=new_source_id(), run_id=RunId("a" * 32), name="swift-heron"), **given)


def text(n: int) -> Texts:
    return Texts(tags={"n": str(n)})


def filled(root: Path, count: int, **given: int) -> SpoolWriter:
    """A spool with so many batches, each synced by itself."""
    spool = writer(root, **given)
    for n in range(1, count + 1):
        spool.put(text(n), AT)
        spool.sync()
    return spool


class Server:
    """A receiver that notes what it takes, and fails as it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, Record]] = []
        self.fails: ModelyardError | None = None
        self.files: list[Path] = []

    def take(self, head: Head, batch: Spooled) -> None:
        if self.fails is not None:
            raise self.fails
        self.taken.append((batch.sequence, batch.record))

    def put_file(self, head: Head, file: File, path: Path) -> None:
        self.files.append(path)


def sent(folder: Path, server: Server) -> int:
    """Sends what a writer left that is gone; how many batches."""
    with taken_over(folder) as reader:
        assert reader is not None
        sending = Sending(reader, server, is_orphan=True)
        while sending.step():
            pass
        return sending.sent


def test_a_spool_is_sent_in_order_and_then_it_is_gone(tmp_path: Path) -> None:
    spool = filled(tmp_path, 40, segment_bytes=300)
    spool.put(Ended(status="FINISHED", at=AT), AT)  # type: ignore[arg-type]  # a member of the enumeration
    spool.sync()
    assert (spool.acknowledged, len(list(spool.folder.glob("*.frames"))) > 3) == (41, True)
    with taken_over(spool.folder) as reader:
        assert reader is None  # its writer lives
    spool.close()
    server = Server()
    assert sent(spool.folder, server) == 41
    assert [record for _, record in server.taken[:-1]] == [text(n) for n in range(1, 41)]
    assert list_spools(tmp_path) == []


def test_a_writer_that_was_killed_owes_an_end(tmp_path: Path) -> None:
    spool = filled(tmp_path, 2)
    spool.close()
    server = Server()
    sent(spool.folder, server)
    assert server.taken[-1] == (3, Ended(status="KILLED", at=AT, is_owed=True))  # type: ignore[arg-type]  # a member of the enumeration


@pytest.mark.parametrize("torn", [1, 5, 9, 30])
def test_a_torn_tail_is_cut(tmp_path: Path, torn: int) -> None:
    spool = filled(tmp_path, 3)
    spool.close()
    (path,) = spool.folder.glob("*.frames")
    whole = path.stat().st_size
    frame = path.read_bytes()[-30:]
    path.write_bytes(path.read_bytes() + frame[:torn] + b"\0" * (torn == 30))
    with taken_over(spool.folder) as reader:
        assert reader is not None
        assert path.stat().st_size == whole
    assert sent(spool.folder, Server()) == 4


def test_what_was_sent_is_not_sent_again_and_what_waits_is_counted(tmp_path: Path) -> None:
    spool = filled(tmp_path, 30, segment_bytes=300)
    server, reader = Server(), SpoolReader(spool.folder)
    sending = Sending(reader, server, is_orphan=False)
    for _ in range(20):
        assert sending.step()
    assert count_waiting(spool.folder) == 10
    server.fails = Overloaded("busy")
    with pytest.raises(Overloaded):
        sending.step()
    spool.close()
    server.fails = None
    assert sent(spool.folder, server) == 11
    assert [number for number, _ in server.taken] == list(range(1, 32))


def test_no_batch_is_given_out_before_it_is_durable(tmp_path: Path) -> None:
    spool, server = filled(tmp_path, 2), Server()
    sending = Sending(SpoolReader(spool.folder, lambda: acknowledged), server, is_orphan=False)
    acknowledged = 1
    assert [sending.step(), sending.step()] == [True, False]
    acknowledged = 2
    assert (sending.step(), [number for number, _ in server.taken]) == (True, [1, 2])


def test_a_spool_is_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "READ_BYTES", 64)
    spool, sizes = writer(tmp_path), [1, 30, 64, 500, 3, 3, 3]
    for size in sizes:
        spool.put(Texts(tags={"n": "x" * size}), AT)
    spool.sync()
    spool.close()
    with next(spool.folder.glob("*.frames")).open("ab") as stream:
        stream.truncate(2**40)  # a hole: whoever reads it whole has no memory left
    server = Server()
    assert (count_waiting(spool.folder), sent(spool.folder, server)) == (7, 8)
    assert [len(record.tags["n"]) for _, record in server.taken[:-1] if isinstance(record, Texts)] == sizes


def test_what_a_full_disk_left_of_a_refusal_spoils_no_other(tmp_path: Path) -> None:
    spool = filled(tmp_path, 2)
    server = Server()
    server.fails = Conflict("no")
    (spool.folder / "refused.jsonl").write_bytes(b'{"sequence":1,"err')
    sending = Sending(SpoolReader(spool.folder), server, is_orphan=False)
    assert [sending.step(), sending.step()] == [True, True]
    assert [one.sequence for one in read_refused(spool.folder)] == [1, 2]


def test_batches_that_the_disk_lost_are_said(tmp_path: Path) -> None:
    spool = filled(tmp_path, 12, segment_bytes=150)
    spool.close()
    second = sorted(spool.folder.glob("*.frames"))[1]
    content = bytearray(second.read_bytes())
    content[20] ^= 0xFF
    second.write_bytes(content)
    server = Server()
    sent(spool.folder, server)
    assert 2 <= len(server.taken) < 12
    assert [one.error.code for one in read_refused(spool.folder)] == ["batches_lost"]


def test_a_bounded_spool_keeps_what_it_has_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    spool = filled(tmp_path, 5, most_bytes=400, segment_bytes=100)
    spool.put(Texts(tags={"long": "x" * 400}), AT)
    with pytest.raises(SpoolUnavailable):
        spool.sync()
    server = Server()
    sending = Sending(SpoolReader(spool.folder), server, is_orphan=False)
    assert [sending.step() for _ in range(6)] == [True] * 5 + [False]
    spool._most_bytes = 1000
    spool.put(text(7), AT)
    spool.sync()
    while sending.step():
        pass
    assert [number for number, _ in server.taken] == list(range(1, 8))


def test_a_disk_that_is_full_for_long_gets_no_segment_with_every_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = filled(tmp_path, 1)
    spool.put(text(2), AT)
    with monkeypatch.context() as full:
        full.setattr(os, "fdatasync", lambda descriptor: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        for _ in range(20):
            with pytest.raises(SpoolUnavailable):
                spool.sync()
    assert len(list(spool.folder.glob("*.frames"))) == 1
    spool.sync()
    spool.close()
    server = Server()
    sent(spool.folder, server)
    assert [number for number, _ in server.taken] == [1, 2, 3]


def test_a_refused_batch_is_passed_over_once_it_is_kept(tmp_path: Path) -> None:
    spool = filled(tmp_path, 2)
    server = Server()
    server.fails = Conflict("no")
    sending = Sending(SpoolReader(spool.folder), server, is_orphan=False)
    assert sending.step()
    server.fails = None
    assert sending.step()
    assert [number for number, _ in server.taken] == [2]
    assert [(one.sequence, one.record) for one in read_refused(spool.folder)] == [(1, {"type": "texts", "params": {}, "tags": {"n": "1"}})]


def test_a_spool_whose_run_is_gone_stays_whole_until_it_is_back(tmp_path: Path) -> None:
    spool = filled(tmp_path, 4)
    spool.close()
    server = Server()
    server.fails = NoSuchRun("restored from a backup that was made before")
    assert (sent(spool.folder, server), count_waiting(spool.folder)) == (0, 4)
    server.fails = None
    with taken_over(spool.folder) as reader:
        assert reader is None  # nobody sends it on his own
    with taken_over(spool.folder, is_asked=True) as reader:
        assert reader is not None
        sending = Sending(reader, server, is_orphan=True)
        while sending.step():
            pass
    assert ([number for number, _ in server.taken], spool.folder.exists()) == ([1, 2, 3, 4, 5], False)


@pytest.mark.parametrize("content", ["../../secret", "a" * 32, ""])
def test_a_spool_sends_no_file_but_its_own(tmp_path: Path, content: str) -> None:
    (tmp_path / "secret").write_text("mine")
    spool = writer(tmp_path / "spools")
    (spool.folder / "files").mkdir()
    (spool.folder / "files" / ("a" * 32)).symlink_to(tmp_path / "secret")
    spool.put(File(path="x", digest=digest_bytes(b"mine"), size_bytes=4), AT, content)
    spool.sync()
    server = Server()
    server.fails = ContentMissing("send it")
    sending = Sending(SpoolReader(spool.folder), server, is_orphan=False)
    assert sending.step()
    assert ([one.error.code for one in read_refused(spool.folder)], server.files) == (["artifact_not_sent"], [])


@pytest.mark.parametrize("where", ["..", "absolute"])
def test_a_spool_removes_no_file_but_its_own(tmp_path: Path, where: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    spool = writer(tmp_path / "spools")
    (spool.folder / "files").mkdir()
    spool.put(text(1), AT, str(secret) if where == "absolute" else "../../../secret")
    spool.sync()
    spool.close()
    assert sent(spool.folder, Server()) == 2
    assert secret.read_text() == "mine"


@pytest.mark.parametrize("name", ["state.json.new", "refused.jsonl", "lock", "00000002.frames", "files"])
def test_a_spool_that_leads_elsewhere_is_none(tmp_path: Path, name: str) -> None:
    spool = filled(tmp_path / "spools", 1)
    spool.close()
    assert list_spools(tmp_path / "spools") == [spool.folder]
    (spool.folder / name).unlink(missing_ok=True)
    (spool.folder / name).symlink_to(tmp_path / "elsewhere")
    assert list_spools(tmp_path / "spools") == []


def test_a_forked_child_does_not_keep_a_spool_that_was_let_go(tmp_path: Path) -> None:
    spool = filled(tmp_path, 1)
    inherited = os.dup(spool.lock)  # what a child has that was forked meanwhile
    spool.close()
    assert sent(spool.folder, Server()) == 2
    os.close(inherited)


VALUES = st.lists(st.tuples(st.sampled_from("abc"), st.floats(allow_nan=False)), max_size=3)
ITEMS = st.lists(st.one_of(st.tuples(st.integers(0, 9), st.integers(0, 9), VALUES.map(tuple)), st.just(Noted(AT, text(0)))), max_size=30)


@given(ITEMS)
def test_packing_keeps_every_point_in_its_place(items: list[Item]) -> None:
    def points(found: list[Item]) -> list[object]:
        """Everything in order: each record, and between two of them the points of each metric."""
        told: list[object] = []
        for item in [*found, Noted(AT, text(1))]:
            if isinstance(item, Noted) and isinstance(item.record, Points):
                batch = {key: list(zip(*(c.tolist() for c in unpacked([content])), strict=True)) for key, content in item.record.series}
                told.append(batch)
            elif isinstance(item, Noted):
                told.append("record")
            else:
                if not told or told[-1] == "record":
                    told.append({})
                for key, value in item[2]:
                    told[-1].setdefault(key, []).append((item[0], item[1], value))  # type: ignore[attr-defined]  # the dict just put
        return [one for one in told if one != {}]

    assert points(list(packed_items(items))) == points(items)


def test_a_batch_has_no_more_points_than_a_server_takes() -> None:
    wide = tuple((f"k{n}", 1.0) for n in range(MOST_POINTS + 5))
    batches = list(packed_items([(1, 1, wide), *((n, n, (("a", 1.0),)) for n in range(2 * MOST_POINTS))]))
    counts = [sum(len(content) // 24 for _, content in one.record.series) for one in batches if isinstance(one.record, Points)]
    assert (sum(counts), max(counts)) == (3 * MOST_POINTS + 5, MOST_POINTS)

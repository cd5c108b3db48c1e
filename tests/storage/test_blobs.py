"""The contract of the blob store, over a directory and an S3 server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import S3Store

from modelyard.core.clock import Instant, wall_now
from modelyard.core.digests import Digest, digest_bytes, digest_chunks
from modelyard.core.errors import Corrupted, InvalidInput, NotFound
from modelyard.storage.blobs import BlobMissing, Blobs, BlobsUnavailable
from tests.servers import S3, free_port

MISSING = digest_bytes(b"never stored")
# More than one part of an upload.
LARGE = 9_000_000

# Stores what it reads, and says so once it has begun.
WRITER = """
import json, sys
from modelyard.storage.blobs import Blobs
def chunks():
    for n in range(40):
        yield b"x" * 1_000_000
        if n == 20:
            print("writing", flush=True)
            sys.stdin.read(1)
Blobs.open(sys.argv[1], json.loads(sys.argv[2])).put_chunks(chunks())
"""

# Stores and fetches a file of 200 MB and prints how many bytes of memory that took.
STREAM = """
import resource, sys
from pathlib import Path
from modelyard.storage.blobs import Blobs
blobs, path = Blobs.open(sys.argv[1]), Path(sys.argv[2])
blobs.put_bytes(b"warm")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
blobs.fetch(blobs.put_file(path), path.with_name("fetched"))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


class Place:
    """Where blobs are kept: how to open it, and how to spoil one behind the store's back."""

    def __init__(self, url: str, options: dict[str, str], spoil: Callable[[Digest, bytes], object]) -> None:
        self.url, self.options, self.spoil = url, options, spoil

    def open(self) -> Blobs:
        """The store there."""
        return Blobs.open(self.url, self.options)


def blob_path(digest: Digest) -> str:
    """The layout that the documentation promises."""
    text = digest.removeprefix("sha256:")
    return f"sha256/{text[:2]}/{text[2:4]}/{text}"


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for blobs, once of each kind."""
    if request.param == "directory":
        root = tmp_path / "blobs"
        return Place(f"file://{root}", {}, lambda digest, content: (root / blob_path(digest)).write_bytes(content))
    s3: S3 = request.getfixturevalue("s3")
    config = {key: value for key, value in s3.options.items() if key != "allow_http"}
    store = S3Store.from_url(f"{s3.url}/below", config=config, client_options={"allow_http": True})  # type: ignore[arg-type] # plain words
    return Place(f"{s3.url}/below", s3.options, lambda digest, content: store.put(blob_path(digest), content))


@pytest.fixture
def blobs(place: Place) -> Blobs:
    """An empty blob store, once of each kind."""
    return place.open()


@pytest.mark.parametrize("content", [b"", b"a", b"x" * LARGE], ids=["empty", "one byte", "9 MB"])
def test_content_comes_back_however_it_is_stored_and_read(blobs: Blobs, tmp_path: Path, content: bytes) -> None:
    """Three ways in, four ways out."""
    source = tmp_path / "source"
    source.write_bytes(content)
    chunks = [content[start : start + 3_000_000] for start in range(0, len(content), 3_000_000)]
    assert {blobs.put_bytes(content), blobs.put_file(source), blobs.put_chunks(chunks)} == {digest_bytes(content)}
    digest = digest_bytes(content)
    assert blobs.get_bytes(digest) == content
    assert blobs.fetch(digest, tmp_path / "new" / "folder" / "target").read_bytes() == content
    assert b"".join(blobs.open_stream(digest)) == content
    assert b"".join(blobs.open_range(digest, 0, len(content))) == content
    assert blobs.size_bytes(digest) == len(content)
    assert list(blobs.list_digests()) == [digest]


@pytest.mark.parametrize("store", ["put_file", "put_chunks"])
def test_large_content_goes_in_without_a_first_put_of_bytes(blobs: Blobs, tmp_path: Path, store: str) -> None:
    """In parts on S3: several of them, the last one short."""
    source = tmp_path / "source"
    content = os.urandom(1000) * (LARGE // 1000)
    source.write_bytes(content)
    digest = blobs.put_file(source) if store == "put_file" else blobs.put_chunks(iter((content[:7], content[7:])))
    assert blobs.get_bytes(digest) == content


def test_ranges_are_exact(blobs: Blobs) -> None:
    """The end is not included; nothing, one byte, and the last bytes; beyond the end is refused."""
    digest = blobs.put_bytes(bytes(range(256)) * 20_000)
    for start, end in ((0, 1), (255, 258), (5_119_999, 5_120_000), (7, 7), (1, 3_000_000)):
        assert b"".join(blobs.open_range(digest, start, end)) == (bytes(range(256)) * 20_000)[start:end]
    for start, end in ((0, 5_120_001), (-1, 3), (4, 3)):
        with pytest.raises(InvalidInput, match="5120000 bytes"):
            blobs.open_range(digest, start, end)


def test_a_missing_blob_is_named(blobs: Blobs, tmp_path: Path) -> None:
    """By every way of reading, at once, and without a file left behind."""
    calls = (blobs.get_bytes, blobs.size_bytes, blobs.open_stream, lambda digest: blobs.open_range(digest, 0, 1))
    for call in (*calls, lambda digest: blobs.fetch(digest, tmp_path / "new" / "target")):
        with pytest.raises(BlobMissing, match=MISSING):
            call(MISSING)
    assert not blobs.has(MISSING)
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(NotFound, match="no file"):
        blobs.put_file(tmp_path / "nothing")


@pytest.mark.parametrize("text", ["sha256:../../etc/passwd", "sha256:" + "A" * 64, "md5:00", "sha256:" + "0" * 63])
def test_what_is_no_digest_is_refused(blobs: Blobs, text: str) -> None:
    """Before it becomes a path."""
    with pytest.raises(InvalidInput, match="no digest"):
        blobs.get_bytes(Digest(text))


@pytest.mark.parametrize("spoiled", [b"other content", b"short", b""])
def test_spoiled_content_is_never_handed_out_as_right(blobs: Blobs, place: Place, tmp_path: Path, spoiled: bytes) -> None:
    """Of the same length, shorter, and empty."""
    digest = blobs.put_bytes(b"right content")
    place.spoil(digest, spoiled)
    with pytest.raises(Corrupted, match=digest):
        blobs.get_bytes(digest)
    with pytest.raises(Corrupted):
        list(blobs.open_stream(digest))
    target = tmp_path / "target"
    target.write_bytes(b"what was here before")
    with pytest.raises(Corrupted):
        blobs.fetch(digest, target)
    assert target.read_bytes() == b"what was here before"
    assert [path.name for path in tmp_path.glob("*target*")] == ["target"]


def test_putting_content_again_mends_what_lost_bytes(blobs: Blobs, place: Place) -> None:
    """A truncated blob is replaced, not trusted."""
    digest = blobs.put_bytes(b"right content")
    place.spoil(digest, b"right")
    assert blobs.put_bytes(b"right content") == digest
    assert blobs.get_bytes(digest) == b"right content"


def test_concurrent_puts_of_one_content_all_succeed(place: Place) -> None:
    """From several stores at once, as several processes have them."""
    contents = [b"%d" % (n % 3) * 100_000 for n in range(24)]
    stores = [place.open() for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        digests = list(pool.map(lambda n: stores[n % 4].put_bytes(contents[n]), range(24)))
    assert digests == [digest_bytes(content) for content in contents]
    assert sorted(stores[0].list_digests()) == sorted(set(digests))


def test_a_stream_that_breaks_stores_nothing(blobs: Blobs) -> None:
    """The caller's own error comes out, in the midst of a part and of several."""

    def breaking() -> Iterator[bytes]:
        yield b"x" * LARGE
        raise KeyError("broken")

    with pytest.raises(KeyError):
        blobs.put_chunks(breaking())
    assert list(blobs.list_digests()) == []


def test_a_killed_writer_leaves_nothing_to_be_seen(place: Place, tmp_path: Path) -> None:
    """Nor does what it left behind last beyond the next opening."""
    options = "{" + ", ".join(f'"{key}": "{value}"' for key, value in place.options.items()) + "}"
    command = [sys.executable, "-c", WRITER, place.url, options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        held = place.open()
        writer.kill()
    assert list(held.list_digests()) == []
    digest = place.open().put_bytes(b"after")
    assert list(held.list_digests()) == [digest]
    assert list(tmp_path.glob("blobs/tmp/*")) == []


def test_opening_a_store_spares_the_files_of_writers_that_live(place: Place) -> None:
    """A second process opens it in the midst of a put."""

    def chunks() -> Iterator[bytes]:
        yield b"first"
        place.open()
        yield b"second"

    blobs = place.open()
    assert blobs.get_bytes(blobs.put_chunks(chunks())) == b"firstsecond"


def test_a_collector_sees_what_is_old_and_unused(blobs: Blobs) -> None:
    """Putting again counts as use; deleting is idempotent."""
    first, second = blobs.put_bytes(b"first"), blobs.put_bytes(b"second")
    assert sorted(blobs.list_digests(stored_before=Instant(wall_now() + 60_000_000))) == sorted([first, second])
    assert list(blobs.list_digests(stored_before=Instant(wall_now() - 60_000_000))) == []
    blobs.delete(first)
    blobs.delete(first)
    assert list(blobs.list_digests()) == [second]


def test_a_directory_counts_a_repeated_put_as_use(tmp_path: Path) -> None:
    """The blob was a day old before."""
    blobs = Blobs.open(f"file://{tmp_path}")
    digest = blobs.put_bytes(b"content")
    os.utime(tmp_path / blob_path(digest), (1_000_000_000, 1_000_000_000))
    hour_ago = Instant(wall_now() - 3_600_000_000)
    assert list(blobs.list_digests(stored_before=hour_ago)) == [digest]
    blobs.put_bytes(b"content")
    assert list(blobs.list_digests(stored_before=hour_ago)) == []


def test_large_files_pass_through_in_bounded_memory(tmp_path: Path) -> None:
    """200 MB in and out with less than 64 MB."""
    source = tmp_path / "source"
    with source.open("wb") as stream:
        stream.truncate(200_000_000)
    done = subprocess.run([sys.executable, "-c", STREAM, f"file://{tmp_path}", str(source)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 64_000_000


def test_places_that_cannot_be_used_say_why(s3: S3, tmp_path: Path) -> None:
    """An unknown option and address; a bucket that is not there; a server that is away; a folder that is a file."""
    with pytest.raises(InvalidInput, match="aws_nonsense"):
        Blobs.open(s3.url, s3.options | {"aws_nonsense": "1"})
    with pytest.raises(InvalidInput, match="address"):
        Blobs.open("ftp://example.org")
    with pytest.raises(BlobsUnavailable, match="cannot be stored"):
        Blobs.open("s3://no-such-bucket", s3.options).put_bytes(b"")
    away = Blobs.open(s3.url, s3.options | {"aws_endpoint": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(BlobsUnavailable, match="failed for sha256"):
        away.get_bytes(MISSING)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BlobsUnavailable):
        Blobs.open(f"file://{tmp_path / 'file'}")


@given(chunks=st.lists(st.binary(max_size=50), max_size=6))
@settings(max_examples=40)
def test_how_content_is_cut_makes_no_difference(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    """The digest is that of the whole."""
    blobs = Blobs.open(f"file://{tmp_path_factory.getbasetemp() / 'property'}")
    digest = blobs.put_chunks(chunks)
    assert digest == digest_chunks(chunks) == digest_bytes(b"".join(chunks))
    assert blobs.get_bytes(digest) == b"".join(chunks)

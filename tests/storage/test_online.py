"""The contract of the online store, over LMDB and Redis, from one process and from several."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.errors import InvalidInput, Overloaded
from modelyard.storage.online import CHECK_READERS_EVERY, LmdbStore, OnlineStore, OnlineUnavailable, open_online
from tests.servers import free_port

# Writes batches of one value under 500 keys until it is killed; says so when the first is in.
WRITER = """
import itertools, sys
from modelyard.storage.online import open_online
store = open_online(sys.argv[1])
for n in itertools.count(1):
    store.put_many((b"key:%d" % key, b"%d:" % n * 50) for key in range(500))
    if n == 3:
        print("written", flush=True)
"""

READER = """
import json, sys
from modelyard.storage.online import open_online
store = open_online(sys.argv[1])
for line in sys.stdin:
    values = store.get_many([key.encode() for key in json.loads(line)])
    print(json.dumps([None if value is None else value.decode() for value in values]), flush=True)
"""


class Reader:
    """A second process that reads what it is asked for."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", READER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def get_many(self, *keys: str) -> list[str | None]:
        """What the other process sees now."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(keys) + "\n")
        self.process.stdin.flush()
        values: list[str | None] = json.loads(self.process.stdout.readline())
        return values


@pytest.fixture(params=["lmdb", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty online store's address, once of each kind."""
    return f"lmdb://{tmp_path / 'online'}" if request.param == "lmdb" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
def store(url: str) -> Iterator[OnlineStore]:
    """An empty online store, once of each kind."""
    opened = open_online(url)
    yield opened
    opened.close()


@pytest.fixture
def reader(url: str) -> Iterator[Reader]:
    """A second process on the same store."""
    made = Reader(url)
    with made.process:
        yield made
        made.process.kill()


def test_values_come_in_the_order_of_the_keys(store: OnlineStore) -> None:
    """With None for those that are not there, and an empty value told apart from them."""
    store.put_many([(b"a", b"1"), (b"b", b""), (b"c", b"\x00\xff")])
    assert store.get_many([b"c", b"x", b"a", b"b", b"a"]) == [b"\x00\xff", None, b"1", b"", b"1"]
    assert store.get_many([]) == []


def test_the_later_value_stays(store: OnlineStore) -> None:
    """Within a batch and from batch to batch."""
    store.put_many([(b"a", b"1"), (b"a", b"2")])
    assert store.get_many([b"a"]) == [b"2"]
    store.put_many([(b"a", b"3")])
    assert store.get_many([b"a"]) == [b"3"]


def test_deleted_keys_are_gone_and_unknown_ones_no_error(store: OnlineStore) -> None:
    """Deleting is idempotent."""
    store.put_many([(b"a", b"1"), (b"b", b"2")])
    store.delete_many([b"a", b"x"])
    store.delete_many([b"a"])
    store.delete_many([])
    store.put_many([])
    assert store.get_many([b"a", b"b"]) == [None, b"2"]


@pytest.mark.parametrize("key", [b"", b"k" * 512])
def test_a_key_has_1_to_511_bytes(store: OnlineStore, key: bytes) -> None:
    """The shortest and the longest are kept; beyond them the batch is refused as a whole."""
    store.put_many([(b"k", b"1"), (b"k" * 511, b"2")])
    assert store.get_many([b"k" * 511, b"k"]) == [b"2", b"1"]
    with pytest.raises(InvalidInput, match="1 to 511 bytes"):
        store.put_many([(b"new", b"1"), (key, b"1")])
    store.delete_many([key])
    assert store.get_many([b"new", key, b"k"]) == [None, None, b"1"]


def test_many_keys_and_large_values(store: OnlineStore) -> None:
    """More than one batch of a pipeline, and values larger than a page."""
    items = [(b"%d" % n, b"%d" % n * (n % 7)) for n in range(70_000)]
    items[5] = (b"5", b"x" * 3_000_000)
    store.put_many(items)
    assert store.get_many([key for key, _ in items]) == [value for _, value in items]
    store.delete_many(key for key, _ in items)
    assert store.get_many([key for key, _ in items]) == [None] * len(items)


def test_another_process_sees_what_is_written_at_once(store: OnlineStore, reader: Reader) -> None:
    """Each write, in a process that reads all the time."""
    assert reader.get_many("a") == [None]
    for n in range(20):
        store.put_many([(b"a", b"%d" % n)])
        assert reader.get_many("a", "b") == [str(n), None]


def test_a_killed_writer_leaves_whole_batches_and_a_store_that_works(url: str) -> None:
    """Killed in the midst of writing; no value is torn, no batch of 500 is there in part, and others may write."""
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "written\n"
            writer.send_signal(signal.SIGKILL)
        store = open_online(url)
        values = set(store.get_many([b"key:%d" % key for key in range(500)]))
        assert len(values) == 1
        assert None not in values
        store.put_many([(b"key:0", b"after")])
        assert store.get_many([b"key:0"]) == [b"after"]
        store.close()


def test_threads_share_a_store(store: OnlineStore) -> None:
    """Readers never see half of a batch while a writer goes on."""
    keys = [b"%d" % n for n in range(50)]
    store.put_many((key, b"0") for key in keys)
    seen: list[int] = []

    def read() -> None:
        seen.extend(len(set(store.get_many(keys))) for _ in range(100))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(100):
        store.put_many((key, b"%d" % n) for key in keys)
    for thread in threads:
        thread.join()
    assert set(seen) == {1}


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, redis_server: str) -> Iterator[list[OnlineStore]]:
    """One store of each kind, for properties."""
    stores = [open_online(f"lmdb://{tmp_path_factory.mktemp('online')}", durable=False), open_online(redis_server.removesuffix("0") + "1")]
    yield stores
    for store in stores:
        store.close()


KEYS = st.binary(min_size=1, max_size=3)
CHANGES = st.lists(st.one_of(st.lists(st.tuples(KEYS, st.binary(max_size=20))), st.lists(KEYS, max_size=3)), max_size=8)


@given(changes=CHANGES)
@settings(max_examples=60)
def test_a_store_behaves_like_a_dictionary(lasting: list[OnlineStore], changes: list[list[tuple[bytes, bytes]] | list[bytes]]) -> None:
    """Any sequence of puts and deletes, on both kinds."""
    for store in lasting:
        model: dict[bytes, bytes] = {}
        touched: set[bytes] = set()
        for change in changes:
            items = [item for item in change if isinstance(item, tuple)]
            keys = [key for key in change if isinstance(key, bytes)]
            touched.update([key for key, _ in items], keys)
            store.put_many(items)
            store.delete_many(keys)
            model.update(items)
            for key in keys:
                model.pop(key, None)
        asked = sorted(touched)
        assert store.get_many(asked) == [model.get(key) for key in asked]
        store.delete_many(asked)


def test_a_full_map_grows_and_other_processes_follow(tmp_path: Path) -> None:
    """From a map of 64 KiB to megabytes: the writer doubles it, a reader adopts it, a later process begins with it."""
    path = tmp_path / "online"
    store = LmdbStore.open(path, map_bytes=1 << 16)
    reader = Reader(f"lmdb://{path}")
    with reader.process:
        assert reader.get_many("0") == [None]
        for n in range(40):
            store.put_many([(b"%d" % n, b"x" * 100_000)])
            assert reader.get_many(str(n)) == ["x" * 100_000]
        reader.process.kill()
    store.close()
    again = LmdbStore.open(path)
    assert again.get_many([b"39"]) == [b"x" * 100_000]
    again.close()


def test_two_writers_may_both_enlarge_the_map(tmp_path: Path) -> None:
    """A store writes on after another process has enlarged the map."""
    path = tmp_path / "online"
    store = LmdbStore.open(path, map_bytes=1 << 16)
    store.put_many([(b"a", b"1")])
    script = "import sys; from modelyard.storage.online import open_online; open_online(sys.argv[1]).put_many([(b'b', b'x' * 1_000_000)])"
    subprocess.run([sys.executable, "-c", script, f"lmdb://{path}"], check=True)
    store.put_many([(b"c", b"3")])
    assert [value and len(value) for value in store.get_many([b"a", b"b", b"c"])] == [1, 1_000_000, 1]
    store.close()


KILLED = "import lmdb, os, sys; env = lmdb.open(sys.argv[1], create=False); txn = env.begin(); print(os.getpid(), flush=True); os._exit(9)"
LISTED = "import lmdb, sys; print(lmdb.open(sys.argv[1], create=False).readers())"
OPENED = "import sys; from modelyard.storage.online import open_online; open_online(f'lmdb://{sys.argv[1]}')"


@pytest.mark.parametrize("by", ["another process that opens it", "a process that goes on writing"])
def test_the_slots_of_readers_that_were_killed_are_free_again(tmp_path: Path, by: str) -> None:
    """While the store stays open, so that LMDB itself does not begin anew: otherwise they would pin old pages for ever."""
    path = tmp_path / "online"

    def said(script: str) -> str:
        return subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False).stdout

    store = LmdbStore.open(path)
    store.put_many([(b"a", b"1")])
    killed = {said(KILLED).strip() for _ in range(3)}
    assert killed <= set(said(LISTED).split())
    if by.startswith("another"):
        said(OPENED)
    else:
        for _ in range(CHECK_READERS_EVERY):
            store.put_many([(b"a", b"2")])
    assert not killed & set(said(LISTED).split())
    store.close()


def test_an_address_is_refused_with_its_reason(tmp_path: Path, redis_url: str) -> None:
    """An unknown kind, a Redis address with a wrong number, a server that is away, a folder that is no store."""
    with pytest.raises(InvalidInput, match="memcached"):
        open_online("memcached://localhost")
    with pytest.raises(InvalidInput, match="no Redis address"):
        open_online("redis://localhost:port/0")
    with pytest.raises(OnlineUnavailable, match="does not answer"):
        open_online(f"redis://127.0.0.1:{free_port()}/0").get_many([b"a"])
    (tmp_path / "data.mdb").write_bytes(b"no store" * 4096)
    with pytest.raises(OnlineUnavailable, match="does not open"):
        open_online(f"lmdb://{tmp_path}")


def test_keys_leave_together_with_what_takes_their_place(store: OnlineStore) -> None:
    store.put_many([(b"old", b"1"), (b"kept", b"2")])
    store.put_many([(b"new", b"3")], gone=[b"old", b"never"])
    assert store.get_many([b"old", b"kept", b"new"]) == [None, b"2", b"3"]


LOCKER = """
import sys
from modelyard.storage.online import open_online
store = open_online(sys.argv[1])
with store.alone(0.0):
    print("alone", flush=True)
    sys.stdin.readline()
"""


def test_one_process_at_a_time_is_alone(store: OnlineStore, url: str) -> None:
    with store.alone(0.0):
        pass
    with subprocess.Popen([sys.executable, "-c", LOCKER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "alone\n"
        with pytest.raises(Overloaded, match="another process"), store.alone(0.02):
            pass
        other.stdin.write("\n")
        other.stdin.flush()
        with store.alone(10.0):
            assert store.get_many([b"none"]) == [None]


def test_a_killed_process_holds_an_embedded_store_no_longer(tmp_path: Path) -> None:
    url = f"lmdb://{tmp_path / 'online'}"
    store = open_online(url)
    with subprocess.Popen([sys.executable, "-c", LOCKER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "alone\n"
        other.kill()
        with store.alone(10.0):
            pass
    store.close()

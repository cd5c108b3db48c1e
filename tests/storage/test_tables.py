"""The contract of the table store, over a directory and an S3 server."""

import contextlib
import json
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, QueryBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from modelyard.core.errors import Conflict, InvalidInput
from modelyard.storage.table_files import SchemaMismatch
from modelyard.storage.tables import TableMissing, Tables, TablesUnavailable
from tests.servers import S3, free_port

NAME = "monitoring/predictions"

# Appends 200 batches of 3 rows, each under its key.
APPENDER = """
import json, sys
import polars as pl
from modelyard.storage.tables import Tables
tables = Tables.open(sys.argv[1], json.loads(sys.argv[2]))
print("begins", flush=True)
for n in range(int(sys.argv[3])):
    tables.append("a/b", pl.DataFrame({"batch": [n] * 3, "row": [0, 1, 2]}), key=f"batch-{n}")
"""


@pytest.fixture(params=["directory", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, dict[str, str]]:
    """An empty place for tables, once of each kind: a folder with signs in its name that addresses would write otherwise."""
    if request.param == "directory":
        return f"file://{tmp_path}/a folder, ü #1/tables", {}
    s3: S3 = request.getfixturevalue("s3")
    return f"{s3.url}/tables", s3.options


@pytest.fixture
def tables(place: tuple[str, dict[str, str]]) -> Tables:
    """An empty table store, once of each kind."""
    return Tables.open(*place)


@pytest.fixture
def local(tmp_path: Path) -> Tables:
    """An empty table store in a directory, where the kind makes no difference."""
    return Tables.open(f"file://{tmp_path}/tables")


def numbers(*values: int) -> pl.DataFrame:
    """A frame of one column."""
    return pl.DataFrame({"n": values}, schema={"n": pl.Int64})


def in_parallel(*calls: Callable[[], object]) -> list[object]:
    """What the calls give, or raise, when they begin together."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except Conflict as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


EVERY_TYPE = pl.DataFrame(
    {
        "truth": [True, None, False],
        "byte": pl.Series([-128, None, 127], dtype=pl.Int8),
        "short": pl.Series([-(2**15), None, 2**15 - 1], dtype=pl.Int16),
        "integer": pl.Series([-(2**31), None, 2**31 - 1], dtype=pl.Int32),
        "long": pl.Series([-(2**63), None, 2**63 - 1], dtype=pl.Int64),
        "float": pl.Series([-0.0, None, float("nan")], dtype=pl.Float32),
        "double": [float("-inf"), None, 5e-324],
        "text": ["", None, "ünï \U0001f600 \x00"],
        "bytes": [b"", None, b"\x00\xff"],
        "day": [date(1, 1, 1), None, date(9999, 12, 31)],
        "at": pl.Series(
            [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), None, datetime(2262, 4, 12, tzinfo=UTC)], dtype=pl.Datetime("us", "UTC")
        ),
        "money": pl.Series([Decimal("-1.25"), None, Decimal("99999999999.99")], dtype=pl.Decimal(13, 2)),
        "list": [[1, None], None, []],
        "struct": [{"x": 1, "y": "a"}, {"x": None, "y": None}, {"x": 3, "y": ""}],
    }
)


def test_every_type_comes_back_exactly_and_in_order(tables: Tables) -> None:
    """Types, nulls, extremes and the order of the rows of one append."""
    assert tables.append(NAME, EVERY_TYPE) == 1
    assert tables.schema(NAME) == EVERY_TYPE.schema
    assert_frame_equal(tables.scan(NAME).collect(), EVERY_TYPE)
    assert tables.row_count(NAME) == 3


def test_a_table_that_is_not_there_is_not_made_by_asking(tables: Tables, tmp_path: Path) -> None:
    """Version None; reading says what is missing; no folder appears."""
    assert tables.version(NAME) is None
    assert tables.version(NAME) is None
    for ask in (tables.scan, tables.schema, tables.row_count, tables.compact, tables.vacuum):
        with pytest.raises(TableMissing, match=NAME):
            ask(NAME)
    assert not list(tmp_path.glob("**/*.delta"))


def test_old_versions_stay_readable(tables: Tables) -> None:
    """Each append is a version; one that is not there is named with the newest."""
    versions = [tables.append(NAME, numbers(n)) for n in range(3)]
    assert versions == [1, 2, 3]
    assert tables.version(NAME) == 3
    for count, version in enumerate(versions, start=1):
        assert sorted(tables.scan(NAME, version).collect()["n"]) == list(range(count))
        assert tables.row_count(NAME, version) == count
    with pytest.raises(TableMissing, match="no version 4") as raised:
        tables.scan(NAME, 4)
    assert raised.value.hint == "the newest is 3"


def test_a_key_appends_once(tables: Tables) -> None:
    """Whatever comes later under it, from whatever process; it gives the version of the first."""
    assert tables.append(NAME, numbers(1), key="first") == 1
    assert tables.append(NAME, numbers(2), key="second") == 2
    assert tables.append(NAME, numbers(), key="third") == 3
    tables.append(NAME, numbers(3))
    assert [tables.append(NAME, numbers(9), key=key) for key in ("first", "second", "third")] == [1, 2, 3]
    tables.compact(NAME)
    assert tables.append(NAME, numbers(9), key="first") == 1
    assert sorted(tables.scan(NAME).collect()["n"]) == [1, 2, 3]


def test_an_append_without_rows_and_key_changes_nothing(tables: Tables) -> None:
    """Except that the first one makes the table."""
    assert tables.append(NAME, numbers()) == 0
    assert tables.append(NAME, numbers()) == 0
    assert_frame_equal(tables.scan(NAME).collect(), numbers())


def test_killed_appends_are_repeated_without_loss_or_double(place: tuple[str, dict[str, str]]) -> None:
    """Killed at moments that differ; then all keys again."""
    url, options = place
    rounds, batches = (2, 10) if options else (5, 30)
    chance = random.Random(7)
    command = [sys.executable, "-c", APPENDER, url, json.dumps(options), str(batches)]
    for _ in range(rounds):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.02, 0.3))
            process.kill()
    subprocess.run(command, check=True, capture_output=True)
    rows = Tables.open(url, options).scan("a/b").collect().sort("batch", "row")
    assert rows.rows() == [(batch, row) for batch in range(batches) for row in range(3)]


def test_concurrent_appends_all_land_once(place: tuple[str, dict[str, str]]) -> None:
    """From stores of their own, the first append among them: each with its version, those of one key with the same."""
    stores = [Tables.open(*place) for _ in range(6)]
    plain = in_parallel(*[lambda n=n: stores[n].append(NAME, numbers(n)) for n in range(6)])
    assert sorted(map(str, plain)) == sorted(map(str, range(1, 7)))
    keyed = in_parallel(*[lambda n=n: stores[n].append(NAME, numbers(100), key="same") for n in range(6)])
    assert len(set(keyed)) == 1
    assert sorted(stores[0].scan(NAME).collect()["n"]) == [*range(6), 100]


def test_a_frame_that_does_not_fit_is_told_column_by_column(tables: Tables) -> None:
    """Missing, unknown and retyped columns at once; nothing is appended. The order of columns does not matter."""
    tables.append(NAME, pl.DataFrame({"a": [1], "b": ["x"], "c": [1.5]}))
    with pytest.raises(SchemaMismatch) as raised:
        tables.append(NAME, pl.DataFrame({"a": ["1"], "d": [True], "c": [1.5]}))
    assert raised.value.message.endswith("'b' is missing (String); 'd' is not in the table (Boolean); 'a' is String, the table has Int64")
    with pytest.raises(SchemaMismatch, match="partitioned by"):
        tables.append(NAME, pl.DataFrame({"a": [1], "b": ["x"], "c": [1.5]}), partition_by=["a"])
    tables.append(NAME, pl.DataFrame({"c": [2.5], "b": ["y"], "a": [2]}))
    assert tables.scan(NAME).collect().sort("a").rows() == [(1, "x", 1.5), (2, "y", 2.5)]


@pytest.mark.parametrize(
    ("dtype", "way_out"),
    [
        (pl.UInt32(), "signed"),
        (pl.Datetime("ns", "UTC"), "cast it to Datetime"),
        (pl.Datetime("us"), "cast it to Datetime"),
        (pl.Datetime("us", "Europe/Berlin"), "cast it to Datetime"),
        (pl.Categorical(), "cast it to String"),
        (pl.Time(), "is not kept"),
        (pl.List(pl.UInt8()), "is not kept"),
        (pl.Struct({"x": pl.Duration("us")}), "is not kept"),
    ],
)
def test_what_delta_would_change_silently_is_refused(local: Tables, dtype: pl.DataType, way_out: str) -> None:
    """With the column and what to do."""
    with pytest.raises(InvalidInput, match=f"'x'.*{way_out}"):
        local.append(NAME, pl.DataFrame({"n": [1], "x": pl.Series([None], dtype=dtype)}))
    assert local.version(NAME) is None


@pytest.mark.parametrize("name", ["", "/a", "a//b", "../a", "a/../b", "a.delta", "a.delta/b", "a b", "1a"])
def test_what_is_no_name_is_refused(local: Tables, name: str) -> None:
    """Before it becomes a path."""
    with pytest.raises(InvalidInput, match="no name"):
        local.append(name, numbers(1))


def test_columns_without_a_name_that_delta_takes_are_refused(local: Tables) -> None:
    """And a frame without columns."""
    with pytest.raises(InvalidInput, match="'a b'"):
        local.append(NAME, pl.DataFrame({"a b": [1]}))
    with pytest.raises(InvalidInput, match="has none"):
        local.append(NAME, pl.DataFrame())


def test_partitions_are_read_back_and_compacted_each_alone(tables: Tables) -> None:
    """By a number and a word; a filter on them reads the same rows."""
    frames = [pl.DataFrame({"n": [k, k + 10, k + 20], "bucket": [0, 1, 0], "kind": ["a", "b", "c"]}) for k in range(4)]
    for frame in frames:
        tables.append(NAME, frame, partition_by=["bucket", "kind"])
    expected = pl.concat(frames).sort("n")
    assert_frame_equal(tables.scan(NAME).collect().sort("n"), expected)
    tables.compact(NAME)
    assert_frame_equal(tables.scan(NAME).collect().sort("n"), expected)
    assert tables.schema(NAME) == expected.schema
    filtered = tables.scan(NAME).filter((pl.col("bucket") == 0) & (pl.col("kind") != "a")).collect()
    assert_frame_equal(filtered.sort("n"), expected.filter((pl.col("bucket") == 0) & (pl.col("kind") != "a")))


@pytest.mark.parametrize("value", [None, "", "a/b", "ü", 1.5, True])
def test_a_partition_that_cannot_be_a_folder_is_refused(local: Tables, value: object) -> None:
    """No rows are appended."""
    with pytest.raises(InvalidInput, match="cannot name a partition"):
        local.append(NAME, pl.DataFrame({"p": [value], "n": [1]}).cast({pl.Null: pl.Int64}), partition_by=["p"])
    assert local.row_count(NAME) == 0


def test_compaction_merges_files_and_changes_no_row(tables: Tables) -> None:
    """Rows keep the order of the appends, older versions stay readable, a second time changes nothing."""
    for n in range(12):
        tables.append(NAME, numbers(2 * n, 2 * n + 1))
    version = tables.compact(NAME)
    assert version == 13
    assert tables.scan(NAME).collect()["n"].to_list() == list(range(24))
    assert tables.row_count(NAME, 5) == 10
    assert sorted(tables.scan(NAME, 5).collect()["n"]) == list(range(10))
    assert tables.compact(NAME) == version
    assert tables.append(NAME, numbers(24)) == 14
    assert sorted(tables.scan(NAME).collect()["n"]) == list(range(25))


def test_concurrent_compactions_and_appends_lose_and_double_nothing(place: tuple[str, dict[str, str]]) -> None:
    """One compaction wins, the others say so; appends go on."""
    stores = [Tables.open(*place) for _ in range(4)]
    for n in range(6):
        stores[0].append(NAME, numbers(n))
    done = in_parallel(
        lambda: stores[0].compact(NAME),
        lambda: stores[1].compact(NAME),
        lambda: stores[2].append(NAME, numbers(6)),
        lambda: stores[3].append(NAME, numbers(7)),
    )
    assert any(isinstance(result, int) for result in done[:2])
    assert sorted(stores[0].scan(NAME).collect()["n"]) == list(range(8))


def test_vacuum_spares_what_is_pinned_and_what_is_young(tables: Tables) -> None:
    """With the usual retention it removes nothing of today."""
    for n in range(4):
        tables.append(NAME, numbers(n))
    tables.compact(NAME)
    assert tables.vacuum(NAME) == 0
    assert tables.vacuum(NAME, pinned=[2], retention_hours=0) == 2
    assert sorted(tables.scan(NAME).collect()["n"]) == [0, 1, 2, 3]
    assert sorted(tables.scan(NAME, 2).collect()["n"]) == [0, 1]
    with pytest.raises(FileNotFoundError):
        tables.scan(NAME, 4).collect()


def test_a_long_log_is_read_from_its_last_checkpoint(local: Tables) -> None:
    """60 appends: the entries before the checkpoint are not needed to open the table, and their keys still count."""
    for n in range(60):
        local.append(NAME, numbers(n), key=f"k{n}")
    for entry in sorted(Path(local.uri(NAME)).glob("_delta_log/*.json"))[:50]:
        if entry.name != "00000000000000000004.json":
            entry.unlink()
    assert local.append(NAME, numbers(9), key="k3") == 4
    assert local.row_count(NAME) == 60
    assert sorted(local.scan(NAME).collect()["n"]) == list(range(60))


def test_a_thread_sees_at_once_what_others_have_appended(tables: Tables, place: tuple[str, dict[str, str]]) -> None:
    other = Tables.open(*place)
    assert tables.append(NAME, numbers(1)) == 1
    assert other.append(NAME, numbers(2)) == 2
    assert tables.version(NAME) == 2
    assert in_parallel(lambda: tables.append(NAME, numbers(3))) == [3]
    assert sorted(tables.scan(NAME).collect().to_series()) == sorted(other.scan(NAME).collect().to_series()) == [1, 2, 3]


def test_a_reader_that_fell_behind_a_checkpoint_sees_what_came_since(local: Tables, tmp_path: Path) -> None:
    other = Tables.open(f"file://{tmp_path}/tables")
    assert local.append(NAME, numbers(1)) == 1
    for value in (2, 3):
        other.append(NAME, numbers(value))
    newest = other.compact(NAME)  # which leaves a checkpoint: what that holds may be cleaned away
    for number in range(2, newest):
        Path(local.uri(NAME), "_delta_log", f"{number:020}.json").unlink()
    assert (local.version(NAME), local.row_count(NAME)) == (newest, 3)


def test_a_table_that_was_replaced_is_opened_anew(local: Tables) -> None:
    for value in (1, 2):
        local.append(NAME, numbers(value))
    shutil.rmtree(local.uri(NAME))
    assert local.version(NAME) is None
    local.append(NAME, numbers(3))
    assert local.scan(NAME).collect().to_series().to_list() == [3]


def test_any_reader_of_delta_lake_sees_the_same_rows(local: Tables) -> None:
    """DataFusion, through Delta's own library, with filters that use our statistics."""
    frame = (
        pl.DataFrame({"at": pl.Series(range(0, 3_000_000, 1001)).cast(pl.Datetime("us", "UTC"))}).with_row_index("n").cast({"n": pl.Int64})
    )
    for start in range(0, frame.height, 500):
        local.append(NAME, frame[start : start + 500])
    query = QueryBuilder().register("t", DeltaTable(local.uri(NAME)))
    for n in (0, 499, 500, 1234, frame.height - 1):
        at = frame["at"][n].isoformat().replace("+00:00", "Z")
        found = pl.DataFrame(query.execute(f"SELECT n FROM t WHERE at = TIMESTAMP '{at}'"))
        assert found["n"].to_list() == [n]


FLOATS = st.one_of(st.none(), st.floats(width=32), st.just(float("nan")), st.sampled_from([0.0, -0.0]))
AT = st.one_of(st.none(), st.integers(-(10**15), 10**16))
ROWS = st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 5)), FLOATS, st.one_of(st.none(), st.text(max_size=3)), AT), max_size=4)


@given(
    batches=st.lists(ROWS, min_size=1, max_size=4),
    bound=st.tuples(st.integers(-5, 5), st.floats(width=32), st.text(max_size=2), st.integers(0, 10**15)),
)
@settings(max_examples=25)
def test_filters_that_pass_over_files_lose_no_row(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[int | None, float | None, str | None, int | None]]],
    bound: tuple[int, float, str, int],
) -> None:
    """Each filter gives on the table what it gives in memory, whatever the statistics say."""
    tables = Tables.open(f"file://{tmp_path_factory.mktemp('filters')}")
    schema = {"i": pl.Int64, "f": pl.Float32, "s": pl.String, "at": pl.Int64}
    frames = [pl.DataFrame(rows, schema, orient="row").with_columns(pl.col("at").cast(pl.Datetime("us", "UTC"))) for rows in batches]
    for frame in frames:
        tables.append("t", frame)
    at = pl.lit(bound[3]).cast(pl.Datetime("us", "UTC"))
    whole = pl.concat(frames)
    for column, value in (("i", pl.lit(bound[0])), ("f", pl.lit(bound[1], pl.Float32)), ("s", pl.lit(bound[2])), ("at", at)):
        for test in (pl.col(column) > value, pl.col(column) <= value, pl.col(column) == value, pl.col(column).is_null()):
            found = tables.scan("t").filter(test).collect()
            order = {"by": whole.columns, "nulls_last": True}
            assert_frame_equal(found.sort(**order), whole.filter(test).sort(**order))  # type: ignore[arg-type] # the arguments of sort


def test_text_beyond_the_basic_plane_is_found(tables: Tables) -> None:
    """The log's bounds of it are the characters themselves."""
    tables.append(NAME, pl.DataFrame({"s": ["𠀀"]}))
    assert tables.scan(NAME).filter(pl.col("s") == pl.lit("𠀀")).collect().height == 1


def test_places_that_cannot_be_used_say_why(s3: S3, tmp_path: Path) -> None:
    """An unknown option; a server that is away; a folder that is a file; a path that Delta would read otherwise."""
    with pytest.raises(InvalidInput, match="aws_nonsense"):
        Tables.open(s3.url, s3.options | {"aws_nonsense": "1"})
    away = Tables.open(s3.url, s3.options | {"aws_endpoint": f"http://127.0.0.1:{free_port()}"})
    with pytest.raises(TablesUnavailable, match=NAME):
        away.version(NAME)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TablesUnavailable):
        Tables.open(f"file://{tmp_path / 'file'}")
    with pytest.raises(InvalidInput, match="%"):
        Tables.open(f"file://{tmp_path}/a%20b")

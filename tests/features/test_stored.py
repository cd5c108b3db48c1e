import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.errors import Conflict
from modelyard.features.aggregates import aggregates_at, tape
from modelyard.features.domain import Entity, FeatureView, Parquet
from modelyard.features.join import Questions
from modelyard.features.rows import ROW
from modelyard.features.stored import Histories, StoredHistory, states
from modelyard.features.stored.answers import bucket_answers
from modelyard.features.stored.hashing import bucket_of, entity_hashes
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.joining import Layout, joined
from modelyard.features.stored.shape import BUCKET, answer_types, laid_out
from modelyard.features.stored.upkeep import tidied
from modelyard.storage.table_files import TableFiles, listed_actions
from modelyard.storage.tables import Tables
from tests.features import test_aggregates, test_join
from tests.features.oracle import US, SourceRow, latest, same, source_rows, times
from tests.features.test_join import VALUES

# Few entities, so that each has rows enough to be late, tied and spread over appends.
PAIRS = st.tuples(st.sampled_from(["A", "é"]), st.integers(0, 1))
BUCKETS = st.sampled_from([1, 2, 8])


def layout_of(folder: Path, rows: pl.DataFrame, declared: FeatureView, buckets: int, runs: int) -> Layout:
    """The rows as a history of so many buckets and appends stores them."""
    numbers = bucket_of(entity_hashes(rows.select(key.name for key in declared.entity.keys)), buckets)
    files = TableFiles(folder, None)
    added = [
        files.write_one(laid_out(part, declared), {BUCKET: str(bucket)})
        for run in range(runs)
        for bucket in range(buckets)
        if (part := rows.filter((numbers == bucket) & (np.arange(rows.height) % runs == run))).height
    ]
    return Layout(buckets, listed_actions(added, str(folder)), {})


def from_layout(rows: pl.LazyFrame, asked: Questions, declared: FeatureView, buckets: int, runs: int) -> pl.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        made = rows.drop(ROW).collect()
        layout = layout_of(Path(folder), made, declared, buckets, runs)
        return joined(
            declared, answer_types(declared, declared.names, made.schema), asked, layout, lambda tasks: map(bucket_answers, tasks)
        )


def questions(labels: Sequence[tuple[Any, int]], declared: FeatureView) -> Questions:
    types: dict[str, Any] = {"string": pl.String, "int64": pl.Int64}
    keys = declared.entity.keys
    asked = [entity if len(keys) > 1 else (entity,) for entity, _ in labels]
    frame = pl.DataFrame([pl.Series(key.name, [one[n] for one in asked], dtype=types[key.dtype]) for n, key in enumerate(keys)])
    return Questions.of(frame, np.array([at for _, at in labels], dtype=np.int64))


@settings(max_examples=30)
@given(source_rows(VALUES, PAIRS, most=40), st.lists(st.tuples(PAIRS, times(50)), max_size=20), BUCKETS, st.integers(1, 3), st.randoms())
def test_neither_the_order_of_rows_nor_the_number_of_buckets_or_appends_changes_an_answer(
    rows: list[SourceRow], labels: list[tuple[Any, int]], buckets: int, runs: int, shuffler: Any
) -> None:
    shuffler.shuffle(rows)
    agrees(rows, labels, buckets, runs)


def agrees(rows: list[SourceRow], labels: list[tuple[Any, int]], buckets: int, runs: int) -> None:
    """Asserts that the stored history of `rows` gives what a loop over all rows gives, with a time to live and without."""
    for ttl in (None, "30s"):
        declared = test_join.view(test_join.TWO, ttl=ttl)
        found = from_layout(test_join.frame(rows, declared), questions(labels, declared), declared, buckets, runs)
        assert found.height == len(labels)
        for (entity, at), answer in zip(labels, found.rows(), strict=True):
            expected = latest(rows, entity, at, declared.ttl_us) or (None, None)
            assert all(map(same, answer, expected)), (entity, at, answer, expected)


@pytest.mark.parametrize(("buckets", "runs"), [(1, 1), (8, 1), (2, 3)])
def test_late_and_tied_rows_of_few_entities_are_found_as_a_loop_finds_them(buckets: int, runs: int, random: np.random.Generator) -> None:
    entities = [("A", 0), ("A", 1), ("é", 0)]
    rows = []
    for _ in range(300):
        step = int(random.choice([1, 1, 10])) * US
        event, late = int(random.integers(120)) * US // step * step, int(random.integers(40)) * US // step * step
        values = (float(random.integers(3)), str(random.choice(["a", "b"])))
        rows.append(SourceRow(entities[random.integers(3)], event, event + late, values))
    agrees(rows, [(entities[n % 3], n * 5 * US) for n in range(40)], buckets, runs)


@pytest.mark.parametrize(("buckets", "runs"), [(1, 1), (8, 1), (2, 3)])
def test_neither_buckets_nor_appends_change_an_aggregate(buckets: int, runs: int, random: np.random.Generator) -> None:
    rows = [SourceRow(f"e{random.integers(5)}", int(random.integers(300)) * US, None, (float(random.normal()), 1, "a")) for _ in range(200)]
    labels = [(f"e{n % 6}", n * 7 * US) for n in range(60)]
    declared = test_aggregates.view()
    found = from_layout(test_aggregates.frame(rows), questions(labels, declared), declared, buckets, runs)
    asked = questions(labels, declared)
    assert found.equals(aggregates_at(tape(test_aggregates.frame(rows).drop(ROW).collect(), declared), declared.outputs, asked))


def mixed(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) % 2**64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
    return value ^ value >> 31


def hash_of_text(text: str) -> int:
    content = text.encode()
    found = mixed(len(content))
    if len(content) > 64:
        return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    for place in range(0, len(content), 8):
        found = mixed(found ^ int.from_bytes(content[place : place + 8], "little"))
    return found


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.text() | st.sampled_from(["a" * 64, "a" * 65, "a\0"])), min_size=1))
def test_the_hash_on_disk_is_the_one_that_was_laid_down(rows: list[tuple[int, str]]) -> None:
    keys = pl.DataFrame(rows, schema={"id": pl.Int64, "name": pl.String}, orient="row")
    assert entity_hashes(keys).tolist() == [mixed(mixed(number % 2**64) ^ hash_of_text(text)) for number, text in rows]


def test_a_bucket_is_the_first_bits_so_that_more_buckets_split_each_one() -> None:
    hashes = entity_hashes(pl.DataFrame({"id": range(10_000)}))
    assert (bucket_of(hashes, 16) == bucket_of(hashes, 64) // 4).all()
    assert np.bincount(bucket_of(hashes, 16)).min() > 500
    assert not bucket_of(hashes, 1).any()


PLANES = FeatureView("planes", Entity("plane", dtype="int64"), Parquet("*.parquet", "at", "made"), features={"x": "float64"}, ttl="30s")


def write(folder: Path, name: str, rows: int, seed: int, value: float = 0.0) -> None:
    random = np.random.default_rng(seed)
    at = random.integers(0, 100, rows) * US
    frame = {"plane": random.integers(0, 20, rows), "at": at, "made": at + random.integers(0, 20, rows) * US}
    moments = pl.DataFrame(frame).with_columns(pl.col("at", "made").cast(pl.Datetime("us")), pl.Series("x", random.random(rows) + value))
    moments.write_parquet(folder / name)


def answered(histories: Histories, root: Path, history: StoredHistory | None = None) -> list[Any]:
    asked = Questions.of(pl.DataFrame({"plane": list(range(22)) * 3}), np.repeat([40, 80, 130], 22).astype(np.int64) * US)
    found = histories.ready(PLANES, root) if history is None else history
    return histories.values(PLANES, ["x"], asked, found)["x"].to_list()


@pytest.fixture
def histories(tmp_path: Path) -> Histories:
    (tmp_path / "data").mkdir()
    write(tmp_path / "data", "a.parquet", 200, 1)
    return Histories(Tables.open(f"file://{tmp_path}/tables"))


def anew(root: Path, folder: Path) -> list[Any]:
    return answered(Histories(Tables.open(f"file://{folder}")), root)


def test_new_files_are_appended_and_a_changed_past_is_laid_out_anew(histories: Histories, tmp_path: Path) -> None:
    root = tmp_path / "data"
    first = histories.ready(PLANES, root)
    write(root, "b.parquet", 100, 2)
    second = histories.ready(PLANES, root)
    files = histories.tables.contents(second.table, second.version).files
    assert {file.path for file in histories.tables.contents(first.table, first.version).files} < {file.path for file in files}
    assert (second.version, second.laid.rows, len(second.laid.files)) == (first.version + 1, 300, 2)
    assert answered(histories, root) == anew(root, tmp_path / "two")
    write(root, "a.parquet", 200, 3)
    third = histories.ready(PLANES, root)
    assert third.laid.rows == histories.tables.row_count(third.table) == 300
    assert answered(histories, root) == anew(root, tmp_path / "three")


def test_a_history_that_outgrows_its_buckets_is_laid_out_in_more(
    histories: Histories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "BUCKET_BYTES", 200 * 4 * 8)
    root = tmp_path / "data"
    assert histories.ready(PLANES, root).laid.buckets == 1
    write(root, "b.parquet", 600, 2)
    assert histories.ready(PLANES, root).laid.buckets == 1
    write(root, "c.parquet", 100, 3)
    grown = histories.ready(PLANES, root)
    assert (grown.laid.buckets, grown.laid.rows) == (8, 900)
    assert answered(histories, root) == anew(root, tmp_path / "anew")


def test_a_file_that_was_only_touched_is_not_read_again(histories: Histories, tmp_path: Path) -> None:
    root = tmp_path / "data"
    first = histories.ready(PLANES, root)
    os.utime(root / "a.parquet", (1, 1))
    second = histories.ready(PLANES, root)
    assert histories.tables.contents(second.table, second.version).files == histories.tables.contents(first.table, first.version).files
    assert histories.ready(PLANES, root).version == second.version


def test_what_was_appended_in_small_files_is_merged_and_the_old_version_still_answers(histories: Histories, tmp_path: Path) -> None:
    root = tmp_path / "data"
    for number in range(4):
        write(root, f"b{number}.parquet", 60, number + 5)
        before = histories.ready(PLANES, root)
    expected = answered(histories, root)
    assert tidied(histories, source_of(PLANES, root), most_runs=3)
    after = histories.ready(PLANES, root)
    assert (
        len(histories.tables.contents(after.table).files)
        == after.laid.buckets
        < len(histories.tables.contents(before.table, before.version).files)
    )
    assert after.laid == before.laid
    assert answered(histories, root) == answered(histories, root, before) == expected
    assert not tidied(histories, source_of(PLANES, root), most_runs=3)
    assert histories.tables.vacuum(after.table, retention_hours=0) > 0
    swept = histories.ready(PLANES, root)
    assert histories.tables.contents(swept.table).files == histories.tables.contents(after.table, after.version).files
    assert (swept.laid, answered(histories, root, swept)) == (after.laid, expected)


def test_of_two_who_change_a_history_at_once_one_begins_again(histories: Histories, tmp_path: Path) -> None:
    root = tmp_path / "data"
    first = histories.ready(PLANES, root)
    write(root, "b.parquet", 100, 2)
    histories.ready(PLANES, root)
    with pytest.raises(Conflict):
        histories.committed(source_of(PLANES, root), first.version, ((), ()), first.laid)
    assert histories.ready(PLANES, root).laid.rows == 300


def test_processes_answer_as_threads_do(histories: Histories, tmp_path: Path) -> None:
    root = tmp_path / "data"
    assert answered(Histories(histories.tables, compute="processes"), root) == answered(histories, root)


DYING = """
import os, signal, sys
from pathlib import Path
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.upkeep import tidied
from modelyard.storage import tables as module
from tests.features.test_stored import PLANES

def die(*arguments, **named):
    os.kill(os.getpid(), signal.SIGKILL)

folder, what = sys.argv[1:]
histories = Histories(module.Tables.open(f"file://{folder}/tables"))
if what == "after":
    original = module.Tables._version_of
    module.Tables._version_of = die
else:
    module.Tables._write_log = die
if what == "compaction":
    tidied(histories, source_of(PLANES, Path(folder, "data")), most_runs=1)
histories.ready(PLANES, Path(folder, "data"))
"""


@pytest.mark.parametrize("what", ["after", "compaction"])
def test_a_kill_loses_and_doubles_nothing(what: str, histories: Histories, tmp_path: Path) -> None:
    root = tmp_path / "data"
    histories.ready(PLANES, root)
    write(root, "b.parquet", 100, 2)
    if what == "compaction":
        histories.ready(PLANES, root)
    done = subprocess.run([sys.executable, "-c", DYING, str(tmp_path), what], capture_output=True, check=False, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    found = histories.ready(PLANES, root)
    assert histories.tables.row_count(found.table) == found.laid.rows == 300
    assert answered(histories, root) == anew(root, tmp_path / "anew")

"""Every kind of source: the same rows give the same features, and what is read is of one state that has a digest."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import psycopg
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.settings import FeaturesSettings
from modelyard.features import service
from modelyard.features.domain import Csv, Delta, FeatureSet, FeatureView, Parquet, Source, SourceDrifted, SourceUnreadable, Sql
from modelyard.features.history import load_history
from modelyard.features.offline import training_rows
from modelyard.features.rows import source_files
from modelyard.features.sources import queries
from modelyard.features.sources.reach import open_reach
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.rows import digest_frame
from tests.features.conftest import AIRPORT, at
from tests.features.sources import TYPES, WRITERS, write_csv, write_delta, write_sqlite
from tests.servers import S3

EVENTS = [
    # Late, twice, tied in both times, null and far from round: what the rules of time and of values are about.
    ("JFK", at(0), at(0.5), 0.1 + 0.2, 2**53 + 1, True, 'said "yes";\nthen no'),
    ("JFK", at(1), at(5), 1e-300, -1, False, ""),
    ("JFK", at(1), at(2), 5e-324, 7, None, None),
    ("JFK", at(1), at(2), 5e-324, 8, None, None),
    ("JFK", at(1), at(2), 5e-324, 8, None, None),
    ("LGA", at(2.123456), None, float("inf"), None, True, "007"),
    ("LGA", at(2), at(9), 1e100, 2**63 - 1, False, "Ærø ✈"),
    ("Ærø", at(3), at(1), -0.0, 0, True, "null"),
]
ROWS = pl.DataFrame(EVENTS, schema=["origin", "at", "seen", "x", "n", "is_late", "note"], orient="row")
LABELS = pl.DataFrame(
    [(key, at(hour)) for key in ("JFK", "LGA", "Ærø", "nobody") for hour in range(12)], schema=["origin", "ask"], orient="row"
)


@pytest.fixture(autouse=True)
def _nothing_is_reached_afterwards() -> Iterator[None]:
    yield
    open_reach(FeaturesSettings())


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path, clock: FixedClock) -> Iterator[Database]:
    """An empty database of our own: which one it is makes no difference to sources."""
    shutil.copyfile(sqlite_template, tmp_path / "own.db")
    opened = Database.open(f"sqlite:///{tmp_path / 'own.db'}", clock)
    yield opened
    opened.close()


def over(source: Source) -> FeatureSet:
    plain = FeatureView("plain", AIRPORT, source, features=["x", "n", "is_late", "note"], ttl="7h")
    sums = FeatureView("sums", AIRPORT, source, aggregate={"x": ["mean", "count"], "n": ["mean"]}, windows=["2h", "7d"])
    return FeatureSet("all", [plain, sums])


def values_of(kind: str, folder: Path, url: str, database: Database, online: LmdbStore) -> tuple[str, object]:
    source = WRITERS[kind](ROWS.sample(fraction=1.0, shuffle=True, seed=len(kind)), folder, url)
    applied = service.apply_features(database, SYSTEM, [over(source)], folder)
    (found,) = applied.sets
    joined = training_rows(found.set, LABELS, "ask", {view.name: folder for view in found.set.views})
    service.materialize(database, online, SYSTEM)
    with database.read() as snapshot:
        read = service.read_features(snapshot, online, SYSTEM, "all", [{"origin": key} for key in ("JFK", "LGA", "Ærø", "nobody")])
    return digest_frame(joined.frame), (read.columns, read.ages_us, read.missing)


@pytest.mark.parametrize("kind", [one if one != "PostgreSQL" else pytest.param(one, marks=pytest.mark.server) for one in WRITERS][1:])
def test_the_same_rows_give_the_same_features_from_every_kind_of_source(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, store: Database, online: LmdbStore, clock: FixedClock
) -> None:
    url = request.getfixturevalue("postgresql_url") if kind == "PostgreSQL" else ""
    clock.advance((at(6) - at(-12)).total_seconds())
    expected = values_of("Parquet", tmp_path, "", store, online)
    assert values_of(kind, tmp_path, url, store, online) == expected
    with store.read() as snapshot:
        assert {one.applied.view.source.kind for one in service.list_views(snapshot, SYSTEM)} <= {kind, "SQL"}


def test_what_a_delta_source_was_is_its_table_and_version_and_can_be_read_again(tmp_path: Path) -> None:
    source = write_delta(ROWS, tmp_path, "")
    newest, first = source_files(source, tmp_path), source_files(Delta("rows", "at", "seen", version=0), tmp_path)
    assert (newest.count(), first.count()) == (8, 3)
    assert newest.digest() != first.digest()
    assert newest.digest() == source_files(Delta("rows", "at", "seen", version=1), tmp_path).digest()
    ROWS.write_delta(str(tmp_path / "rows"), mode="append")
    assert source_files(source, tmp_path).state != newest.state
    assert newest.scan().collect().height == 8
    with pytest.raises(SourceUnreadable, match="version"):
        source_files(Delta("rows", "at", version=9), tmp_path)


def test_no_link_in_a_delta_table_leads_to_files_elsewhere(tmp_path: Path) -> None:
    ROWS.write_delta(str(tmp_path / "a b"), delta_write_options={"partition_by": "note"})
    assert source_files(Delta("a b", "at"), tmp_path).scan().collect().height == len(EVENTS)
    own = next((tmp_path / "a b").rglob("*.parquet"))
    own.rename(tmp_path / "secret")
    own.symlink_to(tmp_path / "secret")
    with pytest.raises(SourceUnreadable, match="links out of its folder"):
        source_files(Delta("a b", "at"), tmp_path)


def test_a_database_is_read_anew_for_each_materialization_and_not_for_each_part_of_a_join(
    tmp_path: Path, store: Database, online: LmdbStore, clock: FixedClock
) -> None:
    source = write_sqlite(ROWS, tmp_path, "")
    clock.advance((at(6) - at(-12)).total_seconds())
    (found,) = service.apply_features(store, SYSTEM, [over(source)], tmp_path).sets
    before = load_history(found.set.views[0], tmp_path)
    with sqlite3.connect(tmp_path / "rows.sqlite") as connection:
        connection.execute("INSERT INTO rows (origin, at, x) VALUES ('EWR', '2026-01-01T13:00:00Z', 4.0)")
    connection.close()
    assert load_history(found.set.views[0], tmp_path) is before
    (plain, _) = service.materialize(store, online, SYSTEM)
    assert (plain.rows, plain.source == before.source) == (8, False)
    assert load_history(found.set.views[0], tmp_path).rows.height == 9
    (again, _) = service.materialize(store, online, SYSTEM, upto_at=Instant(plain.upto_at))
    assert again == plain


def test_a_database_can_be_read_and_nothing_else(tmp_path: Path) -> None:
    write_sqlite(ROWS, tmp_path, "")
    other = tmp_path / "other.sqlite"
    for query in (
        "DELETE FROM rows RETURNING *",
        "SELECT * FROM rows) AS a UNION SELECT 1 FROM (DELETE FROM rows",
        f"ATTACH DATABASE '{other}' AS other",
        "SELECT load_extension('/tmp/evil')",
        "SELECT * FROM other.rows",
    ):
        with pytest.raises(SourceUnreadable):
            source_files(Sql("here", query=query, timestamp="at"), tmp_path)
    with queries._engine(f"sqlite:///{tmp_path / 'rows.sqlite'}").connect() as connection:
        for statement in (f"ATTACH DATABASE '{other}' AS other", "DELETE FROM rows", "PRAGMA query_only = 0"):
            with pytest.raises(Exception, match=r"not authorized|readonly"):
                connection.exec_driver_sql(statement)
    assert not other.exists()
    assert source_files(Sql("here", table="rows", timestamp="at"), tmp_path).count() == len(EVENTS)


@pytest.mark.server
def test_a_postgresql_source_is_read_in_a_transaction_that_cannot_write(postgresql_url: str, tmp_path: Path) -> None:
    WRITERS["PostgreSQL"](ROWS, tmp_path, postgresql_url)
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("CREATE SEQUENCE made")
    for query, words in (
        ("SELECT nextval('made'), now() AS at", "read-only transaction"),
        ("SELECT set_config('transaction_read_only', 'off', true), now() AS at, nextval('made')", "read-write mode must be set before"),
        ("SELECT 'infinity'::timestamptz AS at", "timestamp too large"),
        ("SELECT 1.5::numeric AS n, now() AS at", "'n' holds Decimal"),
        ("SELECT 1 AS a, 2 AS a", "two columns 'a'|ambiguous"),
        ("SELECT * FROM nowhere", '"nowhere" does not exist'),
        ("WITH gone AS (DELETE FROM rows RETURNING *) SELECT * FROM gone", "must be at the top level"),
    ):
        with pytest.raises(SourceUnreadable, match=words) as refused:
            source_files(Sql("there", query=query, timestamp="at"), tmp_path)
        assert "modelyard:" not in refused.value.message


def test_a_connection_that_nobody_named_is_not_reached(tmp_path: Path) -> None:
    write_sqlite(ROWS, tmp_path, "")
    with pytest.raises(SourceUnreadable, match="no connection 'her'") as refused:
        source_files(Sql("her", table="rows", timestamp="at"), tmp_path)
    assert "did you mean here?" in refused.value.hint


def test_types_that_a_text_does_not_say_are_inferred_once_and_hold_from_then_on(tmp_path: Path) -> None:
    source = write_csv(ROWS, tmp_path, "")
    view = service.resolved_view(over(source).views[0], tmp_path)
    assert isinstance(view.source, Csv)
    assert {one.name: one.dtype for one in view.source.columns} == {
        "origin": "string", "x": "float64", "n": "int64", "is_late": "bool", "note": "string",
    }  # fmt: skip
    assert service.resolved_view(view, tmp_path) == view
    write_csv(ROWS.with_columns(pl.col("n").cast(pl.String).replace("7", "seven")), tmp_path, "")
    with pytest.raises(SourceDrifted, match=r"rows\.csv, line 5: 'n' is 'seven', not int64"):
        load_history(view, tmp_path)
    late = pl.DataFrame({"at": ["2026-01-01"] * 2000, "x": [None] * 1999 + ["1.5"], "y": ["1"] * 1999 + ["b"], "z": [None] * 2000})
    late.write_csv(tmp_path / "late.csv")
    assert [str(dtype) for dtype in source_files(Csv("late.csv", "at"), tmp_path).schema().values()][1:] == ["Float64", "String", "String"]
    codes = pl.DataFrame({"code": ["007", "12"], "big": [str(2**63), "1"], "at": ["2026-01-01", "2026-01-02"]})
    codes.write_csv(tmp_path / "codes.csv")
    assert dict(source_files(Csv("codes.csv", "at"), tmp_path).schema()) == {
        "code": pl.String(), "big": pl.String(), "at": pl.Datetime("us", "UTC"),
    }  # fmt: skip


@pytest.mark.server
def test_files_and_tables_in_an_object_store_are_read_as_on_this_machine(s3: S3, tmp_path: Path) -> None:
    open_reach(FeaturesSettings(options=s3.options))
    here = write_csv(ROWS, tmp_path, "")
    ROWS.write_parquet(f"{s3.url}/year/a.parquet", storage_options=s3.options)
    ROWS.write_delta(f"{s3.url}/table", storage_options=s3.options)
    pl.read_csv(tmp_path / "rows.csv", infer_schema=False, separator=";").write_csv(f"{s3.url}/texts/b.csv", storage_options=s3.options)
    expected = source_files(Csv(here.place, "at", "seen", separator=";", columns=TYPES), tmp_path).scan().collect()
    for source in (
        Parquet(f"{s3.url}/year", "at", "seen"),
        Parquet(f"{s3.url}/year/*.parquet", "at", "seen"),
        Csv(f"{s3.url}/texts/b.csv", "at", "seen", columns=TYPES),
        Delta(f"{s3.url}/table", "at", "seen"),
    ):
        found = source_files(source, tmp_path)
        assert found.scan().select(expected.columns).collect().equals(expected)
        assert (found.count(), found.digest()) == (8, source_files(source, tmp_path).digest())
    for nothing in (Parquet(f"{s3.url}/none", "at"), Csv(f"{s3.url}/yea", "at"), Delta(f"{s3.url}/none", "at")):
        with pytest.raises(SourceUnreadable):
            source_files(nothing, tmp_path)

"""Rows to learn from out of every kind of source: their types are read once and stay as they are."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard import Csv, Sql, rows
from modelyard.access.domain import SYSTEM
from modelyard.core.clock import instant
from modelyard.core.errors import InvalidInput
from modelyard.core.settings import FeaturesSettings
from modelyard.delivery.declaration import DeclaredModel, InvalidModel, Observations
from modelyard.delivery.service import declare_model, plan_model
from modelyard.delivery.stages.data import labelled_rows
from modelyard.features.domain import SourceDrifted
from modelyard.features.sources.reach import open_reach
from modelyard.storage.database import Database
from tests.delivery.declaring import AT, declared, write_sources


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A folder with the same flights as Parquet, CSV and in SQLite."""
    write_sources(tmp_path)
    flights = pl.read_parquet(tmp_path / "flights.parquet")
    flights.write_csv(tmp_path / "flights.csv")
    with sqlite3.connect(tmp_path / "flights.sqlite") as connection:
        connection.execute("CREATE TABLE flights (origin text, scheduled_at text, landed_at text, distance integer, late integer)")
        texts = flights.with_columns(pl.col("scheduled_at", "landed_at").dt.to_string("iso"))
        connection.executemany("INSERT INTO flights VALUES (?, ?, ?, ?, ?)", texts.rows())
    connection.close()
    open_reach(FeaturesSettings(connections={"here": f"sqlite:///{tmp_path / 'flights.sqlite'}"}))
    yield tmp_path
    open_reach(FeaturesSettings())


def learning_from(folder: Path, observations: Observations) -> DeclaredModel:
    body = declared(folder)
    return msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, observations=observations))


CSV = rows(Csv("flights.csv", "scheduled_at"), known="landed_at")
SQL = rows(Sql("here", table="flights", timestamp="scheduled_at"), known="landed_at")


@pytest.mark.parametrize("observations", [CSV, SQL], ids=["CSV", "SQL"])
def test_the_same_rows_are_learned_from_whatever_holds_them(database: Database, data: Path, observations: Observations) -> None:
    now = instant(AT[-1])
    applied = declare_model(database, SYSTEM, learning_from(data, observations))
    found = labelled_rows(applied.declared.declaration, data, now)
    assert found.equals(labelled_rows(declared(data).declaration, data, now))
    with database.read() as snapshot:
        assert plan_model(snapshot, SYSTEM, learning_from(data, observations)).changes == ()


def test_types_that_a_file_does_not_say_stay_as_they_were_when_it_was_applied(database: Database, data: Path) -> None:
    applied = declare_model(database, SYSTEM, learning_from(data, CSV)).declared.declaration
    (data / "flights.csv").write_text((data / "flights.csv").read_text().replace(",2,1", ",2,maybe"))
    with pytest.raises(SourceDrifted, match="line 3: 'late' is 'maybe', not int64"):
        labelled_rows(applied, data, instant(AT[-1]))
    (data / "flights.csv").write_text("origin,late\nJFK,1\n")
    with pytest.raises(InvalidInput, match="no column 'distance', 'landed_at' and 'scheduled_at'"):
        labelled_rows(applied, data, instant(AT[-1]))


def test_the_times_of_rows_are_named_once() -> None:
    with pytest.raises(InvalidModel, match="named twice"):
        rows(Csv("flights.csv", "scheduled_at"), timestamp="scheduled_at", known="landed_at")

"""The same rows in every kind of source, and what a process must be let reach for it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psycopg

from modelyard.core.settings import FeaturesSettings
from modelyard.features.domain import Csv, Delta, Parquet, Source, Sql
from modelyard.features.sources.reach import open_reach

TYPES = {"x": float, "n": int, "is_late": bool, "note": str, "origin": str}
COLUMNS = "origin text, at {time}, seen {time}, x double precision, n bigint, is_late boolean, note text"


def write_parquet(rows: pl.DataFrame, folder: Path, _: str) -> Source:
    rows.write_parquet(folder / "rows.parquet")
    return Parquet("rows.parquet", "at", "seen")


def write_csv(rows: pl.DataFrame, folder: Path, _: str) -> Source:
    rows.write_csv(folder / "rows.csv", separator=";")
    return Csv("rows.csv", "at", "seen", separator=";")


def write_delta(rows: pl.DataFrame, folder: Path, _: str) -> Source:
    rows[:3].write_delta(str(folder / "rows"))
    rows[3:].write_delta(str(folder / "rows"), mode="append")
    return Delta("rows", "at", "seen")


def write_sqlite(rows: pl.DataFrame, folder: Path, _: str) -> Source:
    texts = rows.with_columns(pl.col("at", "seen").dt.to_string("iso:strict"))
    with sqlite3.connect(folder / "rows.sqlite") as connection:
        connection.execute(f"CREATE TABLE rows ({COLUMNS.format(time='text')})")
        connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", texts.rows())
    connection.close()
    open_reach(FeaturesSettings(connections={"here": f"sqlite:///{folder / 'rows.sqlite'}"}))
    return Sql("here", table="rows", timestamp="at", created="seen", columns=TYPES)


def write_postgresql(rows: pl.DataFrame, _: Path, url: str) -> Source:
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE rows ({COLUMNS.format(time='timestamptz')})".encode())
        cursor.executemany("INSERT INTO rows VALUES (%s, %s, %s, %s, %s, %s, %s)", rows.rows())
    open_reach(FeaturesSettings(connections={"there": url}))
    return Sql("there", query="SELECT * FROM public.rows WHERE at > '1900-01-01'::timestamptz -- all", timestamp="at", created="seen")


Writer = Callable[[pl.DataFrame, Path, str], Source]
WRITERS: dict[str, Writer] = {
    "Parquet": write_parquet,
    "CSV": write_csv,
    "Delta": write_delta,
    "SQLite": write_sqlite,
    "PostgreSQL": write_postgresql,
}

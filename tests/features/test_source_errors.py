"""What a source may turn into: each is refused in words that tell what was got and expected, offline and online, and changes nothing."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from msgspec.structs import replace

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, instant
from modelyard.core.errors import ModelyardError
from modelyard.features import service
from modelyard.features.domain import (
    Csv,
    Entity,
    FeatureSet,
    FeatureView,
    InvalidDeclaration,
    OnlineValues,
    Parquet,
    SourceDrifted,
    SourceUnreadable,
)
from modelyard.features.offline import training_rows
from modelyard.features.rows import source_files
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from tests.features.conftest import at

SHOP = Entity("shop")
SALES = FeatureView(
    "sales", SHOP, Parquet("sales.parquet", "at", "seen"), features={"amount": "float64", "items": "int64", "note": "string"}
)
GOOD = pl.DataFrame(
    {"shop": ["a", "b"], "at": [at(0), at(1)], "seen": [at(0), at(2)], "amount": [1.5, None], "items": [1, 2], "note": ["", "x"]}
)
LABELS = pl.DataFrame({"shop": ["a", "b"], "ask": [at(3), at(3)]})


def but(**columns: Any) -> pl.DataFrame:
    """The good rows with other columns."""
    return GOOD.with_columns(**{name: values if isinstance(values, pl.Expr) else pl.Series(values) for name, values in columns.items()})


def instants(value: int, unit: Any = "us") -> pl.Expr:
    return pl.Series([0, value]).cast(pl.Datetime(unit)).alias("at")  # type: ignore[return-value] # a series stands for its values


DRIFTED: dict[str, tuple[pl.DataFrame, str]] = {
    "a column is missing": (GOOD.drop("items"), r"there is no column 'items'"),
    "a column has another name": (GOOD.rename({"amount": "amounts"}), r"no column 'amount'.*did you mean amounts\?"),
    "a time is missing": (GOOD.drop("seen"), r"there is no column 'seen'"),
    "a key is missing": (GOOD.drop("shop"), r"there is no column 'shop'"),
    "a text where a number was": (but(amount=["1.5", "two"]), r"'amount' is declared float64 and is string now"),
    "a fraction where a whole number was": (but(items=[1.5, 2.0]), r"'items' is declared int64 and is float64 now"),
    "numbers for keys": (but(shop=[1, 2]), r"'shop' is declared string and is int64 now"),
    "numbers for times": (but(at=[0, 1]), r"'at' is Int64, not a time \(write it as a timestamp"),
    "a list": (but(note=[["x"], []]), r"'note' is List\(String\), which features do not have"),
    "nothing but nulls, without a type": (but(note=[None, None]), r"'note' is Null, which features do not have"),
    "everything at once": (
        but(shop=[1, 2], at=["now", "then"], note=[["x"], []]).drop("items"),
        r"no column 'items'; 'at' is String, not a time .*; 'note' is List.*; 'shop' is declared string and is int64 now",
    ),
}
UNUSABLE: dict[str, tuple[pl.DataFrame, str]] = {
    "no rows": (GOOD.clear(), r"it holds no rows"),
    "no times": (but(at=pl.lit(None, pl.Datetime("us"))), r"none of its 2 rows has an event time in 'at'"),
    "an instant beyond the years": (
        GOOD.with_columns(instants(2**62)),
        r"an instant of 4611686018427387904 us .* years 1 to 9999",
    ),
    "an instant that microseconds do not hold": (GOOD.with_columns(instants(-(2**62), "ms")), r"an instant of -4611686018427387904 ms"),
    "the first microsecond of the year 10000": (GOOD.with_columns(instants(253402300800000000)), r"an instant of 253402300800000000 us"),
    "a number beyond int64": (but(items=pl.Series([1, 2**64 - 1], dtype=pl.UInt64)), r"'items' holds 18446744073709551615 and int64 ends"),
    "a key of 10 MB": (but(shop=["a", "k" * 10_000_000]), r"a key in 'shop' has 10000000 bytes, and at most 4096 may be"),
}
CASES = [(words, SourceDrifted, frame, said) for words, (frame, said) in DRIFTED.items()]
CASES += [(words, SourceUnreadable, frame, said) for words, (frame, said) in UNUSABLE.items()]  # type: ignore[misc] # errors of one kind


@dataclass(frozen=True)
class Standing:
    """A view that was applied and brought online from good rows."""

    root: Path
    database: Database
    online: LmdbStore
    set: FeatureSet

    def read(self) -> OnlineValues:
        with self.database.read() as snapshot:
            return service.read_features(snapshot, self.online, SYSTEM, "all", [{"shop": "a"}, {"shop": "b"}])


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Standing]:
    root = tmp_path_factory.mktemp("standing")
    shutil.copyfile(sqlite_template, root / "own.db")
    database = Database.open(f"sqlite:///{root / 'own.db'}", FixedClock(instant(at(4))))
    online = LmdbStore.open(root / "online", durable=False, map_bytes=1 << 24)
    GOOD.write_parquet(root / "sales.parquet")
    applied = service.apply_features(database, SYSTEM, [FeatureSet("all", [SALES])], root)
    service.materialize(database, online, SYSTEM)
    yield Standing(root, database, online, applied.sets[0].set)
    online.close()
    database.close()


@pytest.mark.parametrize(("error", "frame", "said"), [one[1:] for one in CASES], ids=[one[0] for one in CASES])
def test_a_source_that_has_become_another_is_told_in_full_and_changes_nothing(
    standing: Standing, error: type[ModelyardError], frame: pl.DataFrame, said: str
) -> None:
    before = standing.read()
    frame.write_parquet(standing.root / "sales.parquet")
    for use in (
        lambda: service.apply_features(standing.database, SYSTEM, [FeatureSet("all", [SALES])], standing.root),
        lambda: training_rows(standing.set, LABELS, "ask", {"sales": standing.root}),
        lambda: service.materialize(standing.database, standing.online, SYSTEM),
    ):
        with pytest.raises(error) as refused:
            use()
        assert pl.Series([f"{refused.value.message} {refused.value.hint}"]).str.contains(said).item()
        assert "sales.parquet" in refused.value.message
        assert refused.value.hint
        assert len(refused.value.message) < 1000
    assert standing.read() == before
    with standing.database.read() as snapshot:
        assert [one.number for one in service.list_view_versions(snapshot, SYSTEM, "sales")] == [1]


def test_instants_at_the_ends_of_the_years_are_held(tmp_path: Path) -> None:
    GOOD.with_columns(instants(253402300799999999), seen=pl.lit(-62135596800000000).cast(pl.Datetime("us"))).write_parquet(
        tmp_path / "sales.parquet"
    )
    assert service.resolved_view(SALES, tmp_path).is_typed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty: its first line names no columns"),
        ("shop,at,shop\na,2026-01-01,b\n", "names the column 'shop' twice"),
        ("shop,at,amount\na,2026-01-01\n", "line 2: 2 fields, and the first line names 3 columns"),
        ("shop,at,amount\na,2026-01-01,1\n\nb,2026-01-01,1,2\n", "line 4: 4 fields"),
        ('shop,at,amount\n"a\n\n",2026-01-01,1\n"b",2026-01-01\n', "line 5: 2 fields"),
        ('shop,at,amount\na,2026-01-01,"1\n', "line 2: unexpected end of data"),
        (
            'shop,at,amount\n"a\n",2026-01-01,1\n\nb,tomorrow,one\n',
            "line 5: 'amount' is 'one', not float64; line 5: 'at' is 'tomorrow'",
        ),
        ("shop,at,amount\na,2026-02-30,1\n", "line 2: 'at' is '2026-02-30', not time"),
        ("shop,at,amount\na,infinity,1\n", "line 2: 'at' is 'infinity', not time"),
        ("shop,at,amount\na,1767225600,1\n", "line 2: 'at' is '1767225600', not time"),
        (b"shop,at,amount\n\xff,2026-01-01,1\n", "cannot be read as CSV"),
    ],
)
def test_a_line_that_does_not_fit_is_told_by_its_number(tmp_path: Path, text: str | bytes, said: str) -> None:
    (tmp_path / "sales.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises((SourceUnreadable, SourceDrifted), match=said) as refused:
        source_files(Csv("sales.csv", "at", columns={"shop": str, "amount": float}), tmp_path)
    assert str(tmp_path / "sales.csv") in refused.value.message


def test_hostile_names_of_columns_are_names_and_nothing_more(tmp_path: Path) -> None:
    names = ["{0}", "'; DROP TABLE x; --", "<script>", "a.b", "^", "$1", 'say "x"']
    view = FeatureView("v", SHOP, Csv("x.csv", "at"), features=names)
    others = {name: [1] for name in ("*", "^.*$", "\x1frow", "a" * 500)}
    frame = pl.DataFrame({"shop": ["a"], "at": [at(0)]} | {name: [place] for place, name in enumerate(names)} | others)
    frame.drop("\x1frow").write_csv(tmp_path / "x.csv")
    frame.drop("\x1frow").write_parquet(tmp_path / "x.parquet")
    columns = dict(zip(names, range(len(names)), strict=True))
    for source in (view.source, Parquet("x.parquet", "at")):
        resolved = service.resolved_view(FeatureView("v", SHOP, source, features=names), tmp_path)
        rows = training_rows(FeatureSet("s", [resolved]), pl.DataFrame({"shop": ["a"], "ask": [at(1)]}), "ask", {"v": tmp_path}).frame
        assert rows.select(names).row(0, named=True) == columns
    frame.write_parquet(tmp_path / "x.parquet")
    with pytest.raises(SourceUnreadable, match="cannot be read"):
        training_rows(FeatureSet("s", [resolved]), pl.DataFrame({"shop": ["a"], "ask": [at(1)]}), "ask", {"v": tmp_path})


@pytest.mark.parametrize("name", ["*", "^.*$", "a\x1f", "", "n" * 121])
def test_a_name_that_would_stand_for_other_columns_is_refused(name: str) -> None:
    with pytest.raises(InvalidDeclaration, match="cannot name a feature"):
        FeatureView("v", SHOP, Parquet("x.parquet", "at"), features=[name])


@pytest.mark.parametrize("target", ["weather.parquet", "gone"])
def test_a_link_that_leads_nowhere_is_named(tmp_path: Path, target: str) -> None:
    (tmp_path / "weather.parquet").symlink_to(target)
    for path in ("*.parquet", "weather.parquet", "."):
        with pytest.raises(SourceUnreadable, match=r"weather\.parquet"):
            service.resolved_view(replace(SALES, source=Parquet(path, "at", "seen")), tmp_path)


def test_what_is_no_regular_file_is_named_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "folder.parquet").mkdir()
    for path in ("pipe.parquet", "p*.parquet", "f*.parquet", "/dev/zero"):
        for source in (Parquet(path, "at", "seen"), Csv(path, "at", "seen")):
            with pytest.raises(SourceUnreadable, match="is no regular file"):
                service.resolved_view(replace(SALES, source=source), tmp_path)

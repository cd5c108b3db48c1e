"""Rows read together, which are decoded as one array, against each row read alone and against what was written, in plain Python."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.core.clock import Instant
from modelyard.core.digests import digest_of
from modelyard.features.domain import BadLabels, DType, Entity, FeatureSet, FeatureView, Parquet, Reason, Value
from modelyard.features.history import History
from modelyard.features.layout import ENTITY, Mark, PlainRow, entity_keys, key_bytes, mark_key, prefix
from modelyard.features.materialization import FEW, carry_out, planned
from modelyard.features.online import OnlineReader
from modelyard.features.rows import CREATED, EVENT
from modelyard.storage.online import LmdbStore

TTL = 10_000_000
NOW = 100_000_000
NUMBERS: dict[str, DType | type] = {"x": "float64", "n": "int64", "yes": "bool"}
VIEWS = {
    "numbers": FeatureView("numbers", Entity("who", dtype="int64"), Parquet("none", "at"), features=NUMBERS, ttl="10s"),
    "texts": FeatureView("texts", Entity("who", dtype="int64"), Parquet("none", "at"), features={**NUMBERS, "label": "string"}, ttl="10s"),
}
FLOATS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 5e-324])
VALUES = st.tuples(*(st.none() | one for one in (FLOATS, st.integers(-(2**63), 2**63 - 1), st.booleans(), st.sampled_from(["", "é"]))))
TIMES = st.sampled_from([NOW - TTL - 1, NOW - TTL, NOW - 1, NOW, NOW + 1])
ROWS = st.dictionaries(st.integers(-3, 8), st.tuples(TIMES, TIMES, VALUES))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LmdbStore]:
    """One store for all examples, each of which writes all of its keys anew."""
    made = LmdbStore.open(tmp_path_factory.mktemp("online"), durable=False, map_bytes=1 << 30)
    yield made
    made.close()


@settings(max_examples=100)
@given(ROWS, st.lists(st.none() | st.integers(-4, 9), max_size=30), st.sampled_from(["numbers", "texts"]), st.booleans())
def test_rows_read_together_are_what_each_is_alone(
    store: LmdbStore, rows: dict[int, tuple[int, int, tuple[Value, ...]]], asked: list[int | None], name: str, part: bool
) -> None:
    view = VIEWS[name]
    selection = view["yes", "x"] if part else view[*view.names]
    row, key = PlainRow(view), key_bytes(view.entity)
    start, width = prefix(view.digest) + ENTITY, len(view.names)
    mark = (mark_key(view.digest), Mark(upto_at=NOW, newest_event_at=NOW, rows=1, entities=1, source=digest_of(1), check=0))
    gone = [start + key([who]) for who in range(-4, 10)]
    store.delete_many(gone)
    store.put_many((start + key([who]), row.packed(event, created, values[:width])) for who, (event, created, values) in rows.items())
    store.put_many([(mark[0], msgspec.msgpack.encode(mark[1]))])
    reader = OnlineReader(FeatureSet("s", [selection]))
    together = reader.read(store, [{"who": who} for who in asked], Instant(NOW))
    for place, who in enumerate(asked):
        alone = reader.read_row(store, {"who": who}, Instant(NOW))
        event, created, values = rows.get(who, (NOW + 1, NOW, ())) if who is not None else (NOW + 1, NOW, ())
        is_shown = event <= NOW and created <= NOW and NOW - event <= TTL
        shown = dict(zip(view.names, values, strict=False)) if is_shown else {}
        assert repr(alone.values) == repr({feature: shown.get(feature) for feature in selection.names})
        assert repr({feature: column[place] for feature, column in together.columns.items()}) == repr(alone.values)
        assert together.ages_us[name][place] == alone.ages_us[name]
        assert {feature: at[place] for feature, at in together.missing.items() if place in at} == alone.missing
        assert set(alone.missing) == {feature for feature, value in alone.values.items() if value is None}


@pytest.mark.parametrize("wrong", [True, 1.0, "1", 2**63])
def test_a_key_of_another_type_is_refused_among_many(store: LmdbStore, wrong: object) -> None:
    reader = OnlineReader(FeatureSet("s", [VIEWS["numbers"]]))
    with pytest.raises(BadLabels, match="int64"):
        reader.read(store, [{"who": 1}, {"who": wrong}, {"who": 2}], Instant(NOW))
    with pytest.raises(BadLabels, match="int64"):
        reader.read_row(store, {"who": wrong}, Instant(NOW))


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, NOW), VALUES), min_size=1, max_size=2 * FEW))
def test_rows_packed_together_are_the_bytes_of_each_alone(rows: list[tuple[int, tuple[Value, ...]]]) -> None:
    types = {EVENT: pl.Int64, CREATED: pl.Int64, "x": pl.Float64, "n": pl.Int64, "yes": pl.Boolean, "label": pl.String}
    frame = pl.DataFrame([(at, at, *values) for at, values in rows], schema=types, orient="row")
    for view in VIEWS.values():
        row, chosen = PlainRow(view), frame.select(EVENT, CREATED, *view.names)
        assert row.all_packed(chosen) == [row.packed(one[0], one[1], one[2:]) for one in chosen.iter_rows()]
    for entity, column in ((Entity("n", dtype="int64"), "n"), (Entity("label"), "label")):
        keys = frame.select(column).drop_nulls()
        assert entity_keys(entity, b"start", keys) == [b"start" + key_bytes(entity)(one) for one in keys.rows()]


def test_a_large_materialization_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    """Read all the time meanwhile: the first entity, the last and the mark are of one materialization."""
    view, count = VIEWS["numbers"], 60_000
    made = LmdbStore.open(tmp_path / "online", durable=False, map_bytes=1 << 28)
    ids = pl.Series("who", range(count))
    steps = [pl.DataFrame({"who": ids, EVENT: at, CREATED: at, "x": float(at), "n": at, "yes": True}) for at in (1, 2, 3)]
    source = History(view, pl.concat(steps), digest_of("whole"))
    changes = []
    for upto in (1, 2, 3):
        changes.append(planned(source, made, upto))
        carry_out(made, changes[-1:]) if upto == 1 else None
    reader, seen, over = OnlineReader(FeatureSet("s", [view])), set(), threading.Event()

    def read() -> None:
        while not over.is_set():
            values = reader.read(made, [{"who": 0}, {"who": count - 1}], Instant(3))
            seen.add((*values.columns["n"], values.upto_at["numbers"]))

    thread = threading.Thread(target=read)
    thread.start()
    for change in changes[1:]:
        carry_out(made, [change])
    over.set()
    thread.join()
    made.close()
    assert seen <= {(upto, upto, upto) for upto in (1, 2, 3)}


def test_an_entity_that_was_never_brought_has_its_reason(store: LmdbStore) -> None:
    view = FeatureView("never", Entity("who", dtype="int64"), Parquet("none", "at"), features=NUMBERS)
    for rows in ([{"who": 1}], [{"who": 1}, {"who": 2}]):
        values = OnlineReader(FeatureSet("s", [view])).read(store, rows, Instant(NOW))
        assert values.missing == {name: dict.fromkeys(range(len(rows)), Reason.NOT_MATERIALIZED) for name in NUMBERS}
        assert values.upto_at == {"never": None}

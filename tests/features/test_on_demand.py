"""On-demand features: one element and many give the same bits, offline and online the same values; what does more is refused."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import instant
from modelyard.core.errors import ModelyardError
from modelyard.features import parity, service
from modelyard.features.domain import (
    BadLabels,
    DType,
    Feature,
    FeatureSet,
    InvalidDeclaration,
    NotColumnwise,
    OnDemand,
    OnDemandNotFound,
    Reason,
    Value,
)
from modelyard.features.domain.columnwise import CHOSEN, FLOATS, FUNCTIONS, KEPT, LOGIC, PAIRS, ROUNDED, TESTS
from modelyard.features.on_demand import FEW, check_request, computation
from modelyard.features.online import OnlineReader
from modelyard.features.parity import proved
from modelyard.features.rows import POLARS_TYPE
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from tests.features.conftest import DELAYS, WEATHER, at

FLOAT, WHOLE, FLAG = "float64", "int64", "bool"
NAMES = "abc"


def function(expression: str, *kinds: str, gives: str = FLOAT, name: str = "made") -> OnDemand:
    """A function of inputs a, b and c of these types that returns the expression."""
    return written(f"return {expression}", *kinds, gives=gives, name=name)


def written(body: str, *kinds: str, gives: str = FLOAT, name: str = "made") -> OnDemand:
    """A function of inputs a, b and c of these types with this body."""
    inputs: tuple[Any, ...] = tuple(Feature(one, kind) for one, kind in zip(NAMES, kinds, strict=False))  # type: ignore[arg-type]
    return OnDemand(name, inputs, gives, f"def {name}({', '.join(one.name for one in inputs)}):\n    {body}")  # type: ignore[arg-type]


def _everything() -> list[tuple[str, tuple[str, ...], str]]:
    """Every function and operator over every mix of types that it takes, and with numbers written out."""
    found: list[tuple[str, tuple[str, ...], str]] = [(f"np.{name}(a)", (FLOAT,), FLOAT) for name in sorted(FLOATS | ROUNDED)]
    found += [(f"np.{name}(a)", (WHOLE,), FLOAT) for name in sorted(FLOATS)] + [(f"np.{name}(a)", (FLOAT,), FLAG) for name in sorted(TESTS)]
    found += [(f"np.{name}(a)", (kind,), kind) for name in sorted(KEPT) for kind in (FLOAT, WHOLE)]
    found += [(f"np.{name}({', '.join(NAMES[:count])})", (FLAG,) * count, FLAG) for name, count in LOGIC.items()]
    for kinds in itertools.product((FLOAT, WHOLE), repeat=2):
        whole = WHOLE if kinds == (WHOLE, WHOLE) else FLOAT
        found += [(f"np.{name}(a, b)", kinds, whole if name in CHOSEN else FLOAT) for name in sorted(CHOSEN | PAIRS)]
        found += [(f"a {sign} b", kinds, FLOAT if sign == "/" else whole) for sign in ("+", "-", "*", "/", "//", "%")]
        found += [(f"a {sign} b", kinds, FLAG) for sign in ("==", "!=", "<", "<=", ">", ">=")]
        found += [("np.where(c, a, b)", (*kinds, FLAG), whole), ("np.clip(a, b, 7)", kinds, whole)]
    for sign, number in itertools.product(("+", "-", "*", "/", "//", "%"), ("2", "-1", "0", "0.1", "-0.0")):
        found += [(f"a {sign} {number}", (FLOAT,), FLOAT), (f"{number} {sign} a", (FLOAT,), FLOAT), (f"{number} {sign} a", (WHOLE,), FLOAT)]
    found += [(f"a {sign} b", (FLAG, FLAG), FLAG) for sign in ("&", "|", "^", "==", "!=")]
    found += [
        ("~a", (FLAG,), FLAG),
        ("-a", (WHOLE,), WHOLE),
        ("np.where(a, 1, 0) / np.where(a, 0, 2.5)", (FLAG,), FLOAT),
        ("a & True", (FLAG,), FLAG),
    ]
    found += [("a == b", ("string",) * 2, FLAG), ('~(a != "JFK")', ("string",), FLAG), ("np.where(a, np.nan, np.inf * 2)", (FLAG,), FLOAT)]
    return found


def test_whatever_may_be_said_gives_one_element_what_it_gives_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "ROWS", 700)
    monkeypatch.setattr(parity, "MOST_SPECIAL", 600)
    cases = _everything()
    assert {name for name in FUNCTIONS if not any(f"np.{name}(" in expression for expression, _, _ in cases)} == set()
    for expression, kinds, gives in cases:
        proved(function(expression, *kinds, gives=gives))


def test_a_function_that_rounds_otherwise_alone_is_refused_with_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    one = function("np.exp(a) * b", FLOAT, FLOAT, name="grown")
    ready = computation(one)
    monkeypatch.setattr(ready, "of_values", lambda given: float(np.nextafter(np.exp(given[0]) * given[1], np.inf)))
    with pytest.raises(NotColumnwise, match=r"grown\(a=0\.0, b=0\.0\) is 0\.0 among 4096 rows, and 5e-324 alone") as caught:
        proved(one)
    assert caught.value.hint


def test_what_is_run_is_what_the_project_wrote() -> None:
    assert proved(function("a * 2", FLOAT), lambda a: a + a).rows == 4096
    with pytest.raises(NotColumnwise, match="when the project's own function is called"):
        proved(function("a * 2", FLOAT), lambda a: a * 2 + (a == 7.5))


REFUSED = {
    "is not among the functions": ("np.load(a)", "np.fromfile(a)", "np.zeros(10**12)", "np.repeat(a, 10)", "np.sum(a)", "np.power(a, b)"),
    "is no function of np": (
        "np.ctypeslib.load_library(a, b)", "np.abs(a).tofile('x')", "np.abs.__call__(a)", "'{0.__class__}'.format(a)", "(lambda: a)()",
        "open('x')", "__import__('os')", "eval('a')", "abs(a)", "a(b)", "np(a)",
    ),
    "is an attribute that is not read": ("np.lib.npyio", "a.tofile", "a.__class__", "().__class__", "np.__dict__", "math.sqrt", "np.abs"),
    "is a power": ("a + 2**10**9", "a ** b"),
    "is no arithmetic of columns": ("a << 70", "a @ b"),
    "is not elementwise arithmetic": (
        "f'{a}'", "[a for a in b]", "(a := b)", "a[0]", "a if b else a", "a and b", "(yield)", "[a]", "{a: b}", "lambda: a", "(a, b)",
    ),
    "computes with numbers, and is given string": ("'x' * 10", "'x' + 'y'"),
    "is called with more than values": ("np.abs(*a)", "np.abs(a, out=b)", "np.where(a > b, **a)"),
    "np.abs\\(a, b\\)' has 2 values": ("np.abs(a, b)",),
    "asks for one truth value": ("not a",),
    "is not one comparison": ("0 < a < b", "a in b", "a is b"),
    "is the opposite of a flag": ("~a",),
    "joins flags": ("a & b",),
    "takes one value only": ("math.sqrt(a)", "math.pow(a, b)"),
    "chooses by a flag": ("np.where(a, a, b)",),
    "unlike types": ("np.where(a > b, a, 'x')", "np.where(a > b, a, a > b)"),
    "gives bool, and the function says float64": ("a > b",),
    "gives string": ("'x'",),
    "is neither number": ("None", "1j * a", "b'x'", "..."),
    "is not finite": ("1e999 * a", "a * (1e308 * 10)"),
    "lies beyond 2": ("9007199254740992 * a", "a + 2 * 9007199254740991"),
    "has no value": ("a + 1 // 0", "a + 0.0 % 0.0"),
    "compares two constants": ("1 < 2",),
    "compares float64 with string": ("a == 'x'",),
    "is no input": ("d", "a + d", "__builtins__"),
    "goes beyond": ("a + " * 50 + "a", "-" * 60 + "a"),
    "is not Python": ("-" * 7000 + "a", "a +", "(" * 300 + "a" + ")" * 300),
    "characters, at most": ("a" * 9000,),
}  # fmt: skip
CASES = [(expression, words) for words, expressions in REFUSED.items() for expression in expressions]


@pytest.mark.parametrize(("expression", "words"), CASES, ids=[expression[:24] for expression, _ in CASES])
def test_what_is_more_than_elementwise_arithmetic_is_refused_with_a_hint(expression: str, words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words) as caught:
        function(expression, FLOAT, FLOAT)
    assert caught.value.hint


REFUSED_BODIES = {
    "is not an assignment to one name": (
        "for x in a: x = 1", "import os", "from os import system", "a += 1", "a[0] = 1", "a.b = 1", "x, y = a, b", "global a", "x: int = a",
        "return a", "def f(): return 1", "class C: pass", "del a", "exec('x')", "with a: pass", "try: pass\n    finally: pass", "assert a",
    ),
    "names something else": ("np = a", "math = a", "__x = a"),
}  # fmt: skip
BODIES = [(f"{step}\n    return a", words) for words, steps in REFUSED_BODIES.items() for step in steps]
BODIES += [
    (end, "is not the value that the function gives") for end in ("while True: pass", "x = a", "raise a", "return", "pass", "np.load(a)")
]


@pytest.mark.parametrize(("body", "words"), BODIES, ids=[body.split("\n")[0] for body, _ in BODIES])
def test_a_body_is_assignments_and_one_value(body: str, words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words):
        written(body, FLOAT, FLOAT)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def made(a, b=1): return a", "parameters of other kinds"),
        ("def made(*a): return a", "parameters of other kinds"),
        ("def made(b): return b", "other parameters than inputs"),
        ("def other(a): return a", "made is the function other"),
        ("import os", "is one function"),
        ("def made(a): return a\nimport os", "is one function"),
    ],
)
def test_a_text_that_came_from_elsewhere_is_held_to_its_declaration(source: str, words: str) -> None:
    with pytest.raises(InvalidDeclaration, match=words):
        OnDemand("made", (Feature("a", "float64"),), "float64", source)


def test_decorators_and_annotations_of_a_text_are_neither_kept_nor_run() -> None:
    hostile = OnDemand("made", (Feature("a", "float64"),), "float64", "@print('x')\ndef made(a: print('y')) -> print('z'):\n  return a # c")
    assert hostile.source == "def made(a):\n    return a"


CELLS: dict[DType, st.SearchStrategy[Any]] = {
    "float64": st.none() | st.floats(allow_nan=False),
    "int64": st.none() | st.integers(-(2**63), 2**63 - 1),
    "bool": st.none() | st.booleans(),
    "string": st.none() | st.sampled_from(["JFK", "LGA", "", "é"]),
}
MIXED = OnDemand(
    "mixed",
    (Feature("ratio", "float64"), Feature("hops", "int64"), Feature("late", "bool"), Feature("origin", "string")),
    "float64",
    "def mixed(ratio, hops, late, origin):\n    far = (hops // 3) * np.log1p(np.abs(ratio))\n"
    "    return np.where(late & (origin == 'JFK'), far, ratio / hops)",
)
ROW = st.tuples(*(CELLS[kind] for kind in MIXED.dtypes.values()))


def exactly(values: Sequence[Value]) -> list[tuple[type, object]]:
    """Values that are equal only where their bits and their types are."""
    return [(type(value), value.hex() if isinstance(value, float) else value) for value in values]


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, min_size=1, max_size=3 * FEW))
def test_one_row_some_rows_and_a_column_give_the_same_nulls_and_bits(rows: list[tuple[Value, ...]]) -> None:
    ready = computation(MIXED)
    columns = [list(column) for column in zip(*rows, strict=True)]
    frame = {
        name: pl.Series(name, column, dtype=POLARS_TYPE[kind]) for (name, kind), column in zip(MIXED.dtypes.items(), columns, strict=True)
    }
    whole = exactly(ready.series(frame, len(rows)).to_list())
    with np.errstate(all="ignore"):
        assert exactly(ready.values(columns, len(rows))) == whole
        assert exactly([ready.value(row) for row in rows]) == whole
    missing = [None in row[1:] for row in rows]
    assert all(value is None for (_, value), is_missing in zip(whole, missing, strict=True) if is_missing)


def test_a_column_with_gaps_between_its_values_gives_what_one_without_gives() -> None:
    ready, values = computation(function("np.exp(a)", FLOAT)), np.random.default_rng(3).standard_normal(999)
    assert exactly(ready.of_columns([values[::-1]])[::-1].tolist()) == exactly(ready.of_columns([values]).tolist())


def test_a_null_float_is_nan_inside_and_what_is_no_finite_number_is_null() -> None:
    ready = computation(function("np.where(np.isnan(a), -1.0, 1 / a)", FLOAT))
    with np.errstate(all="ignore"):
        assert ready.values([[None, 0.0, 4.0]], 3) == [-1.0, None, 0.25]
    assert ready.series({"a": pl.Series([None, 0.0, 4.0, float("nan")])}, 4).to_list() == [-1.0, None, 0.25, -1.0]
    assert computation(function("1", WHOLE)).values([[None, 5]], 2) == [None, 1.0]


RATIO = OnDemand(
    "felt",
    (Feature("wind_speed", "float64"), Feature("delay_count_7d", "float64"), Feature("hops", "int64"), Feature("origin", "string")),
    "float64",
    "def felt(wind_speed, delay_count_7d, hops, origin):\n    toward = np.where(origin == 'JFK', wind_speed, -wind_speed)\n"
    "    return toward / (delay_count_7d - hops)",
)
IS_FELT = OnDemand("is_felt", (Feature("felt", "float64"),), "bool", "def is_felt(felt): return felt > 1.5")
SET = FeatureSet("late", [WEATHER, DELAYS["delay_count_7d"], RATIO, IS_FELT])


@pytest.fixture
def applied(database: Database, root: Path, online: LmdbStore, stand_at: Any) -> FeatureSet:
    """The set, applied and brought online four hours after noon."""
    stand_at(at(4))
    found = service.apply_features(database, SYSTEM, [SET], root)
    service.materialize(database, online, SYSTEM)
    return found.sets[0].set


def test_values_read_online_are_those_of_the_training_rows(database: Database, online: LmdbStore, applied: FeatureSet) -> None:
    rows: list[dict[str, Any]] = [
        {"origin": origin, "hops": hops} for origin in ("JFK", "LGA", "nowhere", None) for hops in (0, 1, 2, None)
    ]
    labels = pl.DataFrame(rows).with_columns(at=pl.lit(at(4)))
    frame = service.historical_rows(database, applied, labels, "at").frame
    read = OnlineReader(applied).read(online, rows, instant(at(4)))
    for name in SET.names:
        assert exactly(read.columns[name]) == exactly(frame[name].to_list()), name
    assert frame["felt"].to_list()[:3] == [4.5 / 2, 4.5, None]
    assert frame["is_felt"].to_list()[:4] == [True, True, False, False]
    assert frame.columns[-2:] == ["felt", "is_felt"]
    assert read.missing["felt"] == {row: Reason.NULL if row < 4 else Reason.UNKNOWN_ENTITY for row in read.missing["felt"]}


def test_rows_without_a_field_that_a_function_reads_are_refused(database: Database, online: LmdbStore, applied: FeatureSet) -> None:
    labels = pl.DataFrame({"origin": ["JFK"], "at": [at(4)]})
    with pytest.raises(BadLabels, match="no 'hops', which on-demand features read"):
        service.historical_rows(database, applied, labels, "at")
    with pytest.raises(BadLabels, match="'hops' is String, and on-demand features read int64"):
        service.historical_rows(database, applied, labels.with_columns(hops=pl.lit("1")), "at")
    with database.read() as snapshot:
        for wrong in ("1", 1.0, True, 2**63):
            with pytest.raises(BadLabels, match="'hops'"):
                service.read_features(snapshot, online, SYSTEM, "late", [{"origin": "JFK", "hops": wrong}])
        found = service.read_features(snapshot, online, SYSTEM, "late", [{"origin": "JFK", "hops": 1}, {"origin": "JFK"}])
    assert found.columns["felt"] == [4.5, None]


def test_a_changed_function_is_a_new_version_and_a_comment_is_none() -> None:
    same = OnDemand("felt", RATIO.inputs, "float64", RATIO.source + "  # as felt", description="How it feels.")
    assert (same.digest, FeatureSet("x", [WEATHER, DELAYS, same]).digest) == (
        RATIO.digest,
        FeatureSet("x", [WEATHER, DELAYS, RATIO]).digest,
    )
    other = OnDemand("felt", RATIO.inputs, "float64", RATIO.source.replace("JFK", "LGA"))
    assert FeatureSet("x", [WEATHER, DELAYS, other]).digest != FeatureSet("x", [WEATHER, DELAYS, RATIO]).digest
    assert FeatureSet("x", [WEATHER, DELAYS]).digest == FeatureSet("x", [WEATHER, DELAYS, RATIO]).read.digest


def test_that_a_function_may_be_run_is_decided_once_and_recorded(database: Database, root: Path, applied: FeatureSet) -> None:
    service.apply_features(database, SYSTEM, [SET, FeatureSet("other", SET.features, SET.on_demand)], root)
    sequence_pending(database, "tests")
    with database.read() as snapshot:
        entries = [one for one in list_entries(snapshot).entries if one.subject.startswith("on_demand:felt/")]
        versions = service.list_on_demand_versions(snapshot, SYSTEM, "felt")
    assert [(one.type, one.subject, one.digest) for one in entries] == [("features.on_demand_trusted", "on_demand:felt/1", RATIO.digest)]
    assert entries[0].data["calls"] == ["np.where"]
    assert (versions[0].function, versions[0].applied_by, versions[0].rows) == (RATIO, SYSTEM.id, 4096)


def test_no_set_stands_over_a_function_that_nobody_applied(database: Database, root: Path, applied: FeatureSet) -> None:
    other = OnDemand("felt", RATIO.inputs, "float64", RATIO.source.replace("JFK", "LGA"))
    with pytest.raises(OnDemandNotFound, match="felt has not been applied in this version"):
        database.write(lambda tx: service.apply_set(tx, SYSTEM, FeatureSet("late", applied.features, (other,))))


WRONG_SETS = [
    ([function("a", FLOAT, name="wind_speed")], "'wind_speed' stands twice"), ([function("a", FLOAT)] * 2, "'made' stands twice"),
    ([function("a", FLOAT, name=f"f{n}") for n in range(65)], "computes 65 features on demand"),
    ([function("a", FLOAT, name="origin")], "'origin' stands twice"), ([IS_FELT, RATIO], "is_felt reads felt, which comes after it"),
    ([OnDemand("x", (Feature("origin", "int64"),), "int64", "def x(origin): return origin")], "x reads origin as int64, and it is string"),
    ([function("a", FLOAT), function("a", FLAG, name="other", gives=FLAG)], "other reads a as bool, and it is float64"),
]  # fmt: skip


@pytest.mark.parametrize(("functions", "words"), WRONG_SETS, ids=[words for _, words in WRONG_SETS])
def test_a_set_whose_functions_contradict_its_columns_is_refused(functions: list[OnDemand], words: str) -> None:
    with pytest.raises(ModelyardError, match=words) as caught:
        FeatureSet("late", [WEATHER, DELAYS, *functions])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("dtype", "value"), [("int64", 2**63), ("float64", 10**400), ("float64", -(10**400)), ("float64", "1"), ("bool", 1)]
)
def test_a_field_that_its_type_cannot_hold_is_refused(dtype: DType, value: Any) -> None:
    with pytest.raises(BadLabels, match=dtype):
        check_request([Feature("hops", dtype)], [{}, {"hops": None}, {"hops": value}])

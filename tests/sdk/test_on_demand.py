"""`@on_demand`: what is noted of a function, and what is said of one that does more than computing element by element."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import numpy as np
import pytest

from modelyard import Entity, FeatureView, Parquet, model, on_demand, rows
from modelyard.delivery.declaration import InvalidModel, ModelDeclaration
from modelyard.features.domain import Feature, InvalidDeclaration, OnDemand
from modelyard.sdk.child import DeclareJob, declared
from modelyard.sdk.declarations import ATTRIBUTE as MODEL
from modelyard.sdk.on_demand import ATTRIBUTE

CAP, HUB, TABLE = -1.5, "JFK", [1, 2]
WEATHER = FeatureView("weather", Entity("origin"), Parquet("w.parquet", timestamp="at"), features={"wind": float})


@on_demand
def felt(wind: float, distance: int, origin: str) -> float:
    """How the wind feels.

    It is felt less on the way to a hub.
    """
    # A comment is no part of it.
    capped = numpy.maximum(wind, CAP) * math.pi
    return np.where(origin == HUB, capped, capped / distance)  # type: ignore[no-any-return]  # a column, or a number


def noted(function: Callable[..., Any]) -> OnDemand:
    found = getattr(function, ATTRIBUTE)
    assert isinstance(found, OnDemand)
    return found


def a_model(*features: Any, **request: Any) -> ModelDeclaration:
    """The declaration of a model that reads these features."""

    def late(table: Any) -> Any:
        return table

    fields = {"distance": int, **request}
    declare = model(
        owner="ops", risk="limited", purpose="Warn.", features=[WEATHER, *features], label="late", as_of="at",
        rows=rows("f.parquet", timestamp="at", known="known"), request=fields,
    )  # fmt: skip
    declaration = getattr(declare(late), MODEL)
    assert isinstance(declaration, ModelDeclaration)
    return declaration


def test_a_declared_function_is_still_the_function() -> None:
    assert felt(2.0, 4, "LGA") == 2.0 * math.pi / 4
    assert felt(np.array([2.0, -9.0]), np.array([4, 1]), np.array(["JFK", "LGA"])).tolist() == [2.0 * math.pi, -1.5 * math.pi]  # type: ignore[arg-type,attr-defined]  # columns


def test_its_text_and_the_numbers_of_its_module_are_noted() -> None:
    found = noted(felt)
    assert found.inputs == (Feature("wind", "float64"), Feature("distance", "int64"), Feature("origin", "string"))
    assert (found.name, found.dtype, found.description) == ("felt", "float64", "How the wind feels.")
    assert found.source.splitlines() == [
        "def felt(wind, distance, origin):",
        "    capped = np.maximum(wind, -1.5) * math.pi",
        "    return np.where(origin == 'JFK', capped, capped / distance)",
    ]


def test_a_number_of_the_module_that_changes_makes_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = noted(felt).digest
    monkeypatch.setitem(globals(), "CAP", -2.5)
    assert noted(on_demand(felt)).digest != before
    monkeypatch.undo()
    assert noted(on_demand(felt)).digest == before


def untyped(wind, hours: float) -> float:  # type: ignore[no-untyped-def]
    return wind * hours  # type: ignore[no-any-return]


def no_type(wind: float):  # type: ignore[no-untyped-def]
    return wind


def of_lists(wind: list[float]) -> float:
    return wind[0]


def of_table(wind: float) -> float:
    return wind * TABLE  # type: ignore[operator,no-any-return]  # refused


def with_branch(wind: float) -> float:
    high = wind > CAP
    return wind if high else CAP


def with_default(wind: float = 1.0) -> float:
    return wind


def empty(wind: float) -> float:  # type: ignore[empty-body]
    """Nothing."""


CASES: list[tuple[Any, str]] = [
    (untyped, "untyped does not say the type of wind"), (no_type, "no_type does not say what it gives"),
    (of_lists, "of_lists says 'list' for the type of wind"), (of_table, "of_table, line {2}: TABLE is a list"),
    (with_branch, "with_branch, line {3}: 'wind if high else -1.5' is not elementwise"), (with_default, "line {1}: .* other kinds"),
    (empty, "computes nothing"), (lambda wind: wind, "is one function|is not Python"), (print, "is for a function"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "words"), CASES, ids=[words.split(",")[0] for _, words in CASES])
def test_what_a_function_may_not_do_is_told_with_its_line(function: Any, words: str) -> None:
    for after in range(1, 4):
        words = words.replace(f"{{{after}}}", str(getattr(getattr(function, "__code__", None), "co_firstlineno", 0) + after - 1))
    with pytest.raises(InvalidDeclaration, match=words) as caught:
        on_demand(function)
    assert caught.value.hint


def test_a_model_has_its_functions_behind_what_it_reads() -> None:
    declaration = a_model(felt)
    assert declaration.inputs == ("distance", "wind", "felt")
    assert declaration.features is not None
    assert declaration.features.on_demand == (noted(felt),)
    assert declaration.digest != a_model().digest


def test_an_input_that_the_model_does_not_have_is_told_with_the_nearest() -> None:
    @on_demand
    def gust(wnid: float) -> float:
        return wnid * 2

    with pytest.raises(InvalidModel, match="reads 'wnid', which is no feature, key or request field") as caught:
        a_model(gust)
    assert caught.value.hint == "did you mean wind?"
    with pytest.raises(InvalidModel, match="reads wnid as float64, and requests bring it as string"):
        a_model(gust, wnid=str)
    assert a_model(gust, wnid=int).inputs == ("distance", "wnid", "wind", "gust")
    with pytest.raises(InvalidDeclaration, match="len is no feature"):
        a_model(len)


PROJECT = """
from modelyard import on_demand
LIMIT = 2.0

@on_demand
def doubled(wind: float) -> float:
    return wind * LIMIT
"""


def test_declaring_proves_that_what_is_run_is_what_the_project_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "computed_once.py").write_text(PROJECT)
    assert declared(DeclareJob(modules=("computed_once",), result="")).models == ()
    (tmp_path / "computed_twice.py").write_text(PROJECT + "\nLIMIT = 3.0\n")
    refused = declared(DeclareJob(modules=("computed_twice",), result="")).refused
    assert refused is not None
    assert refused.code == "not_columnwise"
    assert re.search(r"doubled\(wind=1\.0\) is 2\.0 .* and 3\.0 when the project's own function is called", refused.message)

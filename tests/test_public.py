"""What users import: the names, each with its documentation, loaded only when it is used."""

import subprocess
import sys

import pytest

import modelyard

NAMES = [
    "Aggregate",
    "Csv",
    "Delta",
    "Entity",
    "FeatureView",
    "Parquet",
    "Push",
    "Run",
    "Sql",
    "Window",
    "canary",
    "choice",
    "constant",
    "drift",
    "gate",
    "integers",
    "loguniform",
    "model",
    "numbers",
    "on",
    "on_demand",
    "performance",
    "quality",
    "report",
    "report_iteration",
    "rows",
    "start",
    "uniform",
]
HEAVY = ("numpy", "polars", "pandas", "pyarrow", "lightgbm", "sklearn", "sqlalchemy", "litestar", "httpx", "msgspec")


def test_the_public_names_are_these() -> None:
    assert modelyard.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_there_and_documented(name: str) -> None:
    found = getattr(modelyard, name)
    assert found.__name__ == name
    assert found.__doc__


def test_another_name_is_an_error_that_says_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'modle'"):
        modelyard.modle  # noqa: B018 - reading it is the test


def test_importing_it_loads_no_heavy_library() -> None:
    words = [sys.executable, "-c", "import sys, modelyard; print(*sys.modules)"]
    loaded = set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    assert loaded.isdisjoint(HEAVY)

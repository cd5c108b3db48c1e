"""What users declare: it round-trips as JSON, and a wrong declaration says what is wrong."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

from modelyard.core.clock import SECOND
from modelyard.core.errors import InvalidInput
from modelyard.monitoring.domain import Metric, Monitor, UnknownMetric, drift, performance, quality


@pytest.mark.parametrize(
    "declared", [drift(), drift(["a", "b"], min_effect=0.1, window="1d"), performance("roc_auc", drop=0.03), quality(["a"], min_change=0.2)]
)
def test_a_declaration_is_the_same_after_json(declared: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(declared), type=Monitor) == declared


def test_a_declaration_says_in_json_what_it_is() -> None:
    assert msgspec.json.decode(msgspec.json.encode(performance("mae", drop=2, relative=False)))["monitor"] == "performance"


def test_a_wrong_metric_names_the_nearest() -> None:
    with pytest.raises(UnknownMetric) as refused:
        performance(cast("Metric", "rocauc"), drop=0.1)
    assert "roc_auc" in refused.value.hint


@pytest.mark.parametrize(
    "declare",
    [
        lambda: drift(min_effect=0),
        lambda: drift(window="5m"),
        lambda: quality(min_change=1.5),
        lambda: performance("roc_auc", drop=-0.1),
        lambda: performance("roc_auc", drop=3),
        lambda: performance("mae", drop=2, relative=True),
        lambda: performance("mae", drop=2, window="2 weeks"),
    ],
)
def test_a_declaration_that_cannot_hold_is_refused(declare: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput):
        declare()


def test_the_window_is_said_in_microseconds() -> None:
    assert drift(window="7d").window_us == 7 * 86400 * SECOND


def test_the_declarations_load_no_numeric_library() -> None:
    code = "import sys, modelyard.monitoring.domain; print([m for m in ('numpy', 'polars', 'scipy', 'sqlalchemy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""Modelyard: one MLOps platform. What users import; each name is loaded when it is first used.

The names of `__all__` are the public interface; a test pins the list.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelyard.features.domain import Aggregate, Csv, Delta, Entity, FeatureView, Parquet, Push, Sql, Window
    from modelyard.monitoring.domain import drift, performance, quality
    from modelyard.sdk.declarations import canary, constant, gate, model, on, rows
    from modelyard.sdk.on_demand import on_demand
    from modelyard.sdk.reporting import report, report_iteration
    from modelyard.sdk.tracking.run import Run
    from modelyard.sdk.tracking.starting import start
    from modelyard.sdk.training import numbers
    from modelyard.sdk.tuning import choice, integers, loguniform, uniform

__version__ = "0.1.0"
__all__ = [
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

_HOMES = (
    ("modelyard.features.domain", ("Aggregate", "Csv", "Delta", "Entity", "FeatureView", "Parquet", "Push", "Sql", "Window")),
    ("modelyard.monitoring.domain", ("drift", "performance", "quality")),
    ("modelyard.sdk.declarations", ("canary", "constant", "gate", "model", "on", "rows")),
    ("modelyard.sdk.tracking.run", ("Run",)),
    ("modelyard.sdk.tracking.starting", ("start",)),
    ("modelyard.sdk.on_demand", ("on_demand",)),
    ("modelyard.sdk.reporting", ("report", "report_iteration")),
    ("modelyard.sdk.training", ("numbers",)),
    ("modelyard.sdk.tuning", ("choice", "integers", "loguniform", "uniform")),
)


def __getattr__(name: str) -> Any:
    for home, names in _HOMES:
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'modelyard' has no attribute {name!r}")

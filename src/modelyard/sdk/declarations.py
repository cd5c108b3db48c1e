"""How users declare a model: one decorator and a few words for its parts. Owns the words; their meaning is in the components."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypedDict, TypeVar, Unpack

from modelyard.core.clock import SECOND, duration_s
from modelyard.delivery.declaration import (
    AsOf,
    Constant,
    Gate,
    InvalidModel,
    ModelDeclaration,
    Observations,
    RequestField,
    Retrain,
    Rollout,
    Task,
)
from modelyard.delivery.search_space import BadSearchSpace, Domain, SearchSpace
from modelyard.features.domain import DTypeLike, FeatureSelection, FeatureSet, FeatureView, Parquet, Source, dtype_of
from modelyard.monitoring.domain import Metric, Monitor
from modelyard.registry.domain import RiskTier
from modelyard.sdk.on_demand import feature_of
from modelyard.sdk.tuning import space_of

P = ParamSpec("P")
R = TypeVar("R")
ATTRIBUTE = "__modelyard_model__"


class ModelOptions(TypedDict, total=False):
    """What `@model` may be told beyond what it must: each has the default of `ModelDeclaration`.

    `tune` names the keyword parameters that `yard tune` may change, each with its domain; `objective` the metric that it goes by.
    """

    team: str
    task: Task
    slices: Sequence[str]
    sticky: Sequence[str]
    holdout: float
    gates: Sequence[Gate]
    rollout: Rollout
    monitors: Sequence[Monitor]
    retrain: Retrain
    fallback: Constant
    tune: Mapping[str, Domain]
    objective: Metric
    reproduce_within: float


def model(  # noqa: PLR0913 - each names one part of the declaration
    *,
    owner: str,
    risk: str,
    purpose: str,
    features: Sequence[FeatureView | FeatureSelection | Callable[..., Any]] = (),
    rows: Observations,
    request: Mapping[str, DTypeLike],
    label: str,
    as_of: str = "",
    **options: Unpack[ModelOptions],
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator that notes the declaration on a training function and gives back the function itself.

    Without `features` every input comes with the request; a feature is a view, a selection of one, or an `@on_demand`
    function. `as_of` is left out where the rows have no times.

    The function takes the training rows as a data frame, its other parameters by keyword with defaults, and returns a
    fitted model. Raises InvalidModel where the parts contradict each other.
    """

    def noted(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__name__
        declaration = ModelDeclaration(
            name=name,
            function=f"{function.__module__}:{function.__qualname__}",
            owner=owner,
            risk=_risk(risk),
            purpose=purpose,
            features=FeatureSet(name, [feature_of(one) for one in features]) if features else None,
            observations=rows,
            request=tuple(RequestField(field, dtype_of(dtype, f"the request field {field!r}")) for field, dtype in request.items()),
            as_of=AsOf.parse(as_of) if as_of else None,
            label=label,
            tune=_space(function, options),
            **_frozen(options),
        )
        setattr(function, ATTRIBUTE, declaration)
        return function

    return noted


def _risk(text: str) -> RiskTier:
    if text not in set(RiskTier):
        raise InvalidModel(f"risk={text!r} is no tier", hint=f"one of {', '.join(RiskTier)}")
    return RiskTier(text)


def _frozen(options: ModelOptions) -> dict[str, Any]:
    kept = {name: value for name, value in options.items() if name not in ("tune", "objective")}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}


def _space(function: Callable[..., Any], options: ModelOptions) -> SearchSpace | None:
    if "tune" in options:
        return space_of(function, options["tune"], options.get("objective", ""))
    if "objective" in options:
        raise BadSearchSpace("objective says what to tune by, and tune is missing", hint='tune={"learning_rate": loguniform(1e-3, 0.3)}')
    return None


def rows(source: str | Source, *, timestamp: str = "", known: str = "", history: str = "") -> Observations:
    """The rows to learn from: Parquet files, the column of the event's time, and that of when its label became known.

    In place of the files' path `source` may be any source, such as Csv or Sql, which names its column of event times itself.

    `history` is how far back a training set reaches, such as `180d`; all there is where it is left out. Without both times
    all rows that have a label are learned from, and which of them test a version follows from a hash of their inputs.
    """
    history_us = round(duration_s(history) * SECOND) if history else None
    if not isinstance(source, str) and timestamp:
        raise InvalidModel(f"the times of {source.place} are named twice", hint=f"name them in the source alone: {source.kind}")
    read = Parquet(source, timestamp=timestamp) if isinstance(source, str) else source
    return Observations(source=read, known=known, history_us=history_us)


def gate(expression: str) -> Gate:
    """A condition in CEL that a version must meet, over `metrics`, `champion`, `challenge`, `data`, `risk`, `model` and `cause`.

    >>> gate("metrics.roc_auc >= 0.65").expression
    'metrics.roc_auc >= 0.65'
    """
    return Gate(expression)


def canary(*shares: int, bake: str) -> Rollout:
    """A rollout in steps: each share in percent is held for `bake`, then the next; after the last, all traffic.

    >>> canary(1, 10, 50, bake="10m").bake_s
    600.0
    """
    return Rollout(shares=shares, bake_s=duration_s(bake))


def constant(value: float) -> Constant:
    """A fallback: the value that is answered while a view that the model reads is stale."""
    return Constant(float(value))


class on:  # noqa: N801 - read as a word: on.degradation(...) | on.schedule(...)
    """What starts a delivery by itself."""

    @staticmethod
    def degradation(*, cooldown: str) -> Retrain:
        """When a performance monitor alarms, at most once in `cooldown`."""
        return Retrain(degradation=True, cooldown_s=duration_s(cooldown))

    @staticmethod
    def schedule(cron: str) -> Retrain:
        """At the times that a cron expression names, in UTC: `0 3 1 * *` is the first of each month at three."""
        return Retrain(schedule=cron)

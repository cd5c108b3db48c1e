"""What a user declares of a model: everything else follows from it. Owns its rules and digest; reads and runs nothing.

The form on the wire is this type as JSON: a subprocess in the project's own environment writes it, the server reads it.
"""

from typing import Literal

import msgspec

from modelyard.core.clock import SECOND, duration_s
from modelyard.core.digests import Digest, digest_of
from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.core.names import checked_name, nearest
from modelyard.delivery.search_space import BadSearchSpace, SearchSpace
from modelyard.features.domain import DType, FeatureSet, FeatureView, Key, Source, ViewPlan
from modelyard.monitoring.domain import BINARY_METRICS, NUMBER_METRICS, Monitor
from modelyard.registry.domain import RiskTier

Task = Literal["binary", "regression"]
MOST_SHARE = 100
MOST_TOLERANCE = 0.01


class InvalidModel(ModelyardError):
    """A declaration of a model that contradicts itself."""

    kind = Kind.INVALID


class AsOf(msgspec.Struct, frozen=True):
    """The instant of a row at which the model answers: `before_us` ahead of the instant in `column`."""

    column: str
    before_us: int = 0

    @classmethod
    def parse(cls, text: str) -> "AsOf":
        """The instant that a text such as `2h before scheduled_at` or `requested_at` names. Raises InvalidModel.

        >>> AsOf.parse("2h before scheduled_at")
        AsOf(column='scheduled_at', before_us=7200000000)
        """
        match text.split():
            case [column]:
                return cls(column)
            case [length, "before", column]:
                try:
                    return cls(column, round(duration_s(length) * SECOND))
                except InvalidInput as error:
                    raise InvalidModel(f"as_of={text!r}: {error.message}", hint=error.hint) from error
            case _:
                raise InvalidModel(f"as_of={text!r} names no instant", hint='write "scheduled_at" or "2h before scheduled_at"')


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """The rows to learn from: one for each thing that was to be predicted, with keys, request fields and label.

    `known` is the column of instants at which the label became known: no row is learned from earlier. `history` bounds
    how far back a training set reaches, in microseconds; None is all there is. Rows without times have a source without a
    timestamp and no `known`: all of them that have a label are learned from.
    """

    source: Source
    known: str = ""
    history_us: int | None = None

    def __post_init__(self) -> None:
        """Raises InvalidModel where the rows have one of their two times, or a history without any."""
        if bool(self.source.timestamp) != bool(self.known):
            raise InvalidModel(
                f"rows of {self.source.place} have {'an event time' if self.source.timestamp else 'the time a label became known'} alone",
                hint='rows(path, timestamp="...", known="..."), or neither for rows without times',
            )
        if self.history_us is not None and not self.known:
            raise InvalidModel(f"rows of {self.source.place} have no times, so no history bounds them", hint="leave out history")


class RequestField(msgspec.Struct, frozen=True):
    """A value that a request brings along, beside the entities' keys."""

    name: str
    dtype: DType


class Gate(msgspec.Struct, frozen=True):
    """A condition, in CEL, over what the stages found out."""

    expression: str


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """How a version takes over: the canary's shares in percent, each held for `bake_s` seconds, then all of it."""

    shares: tuple[int, ...] = ()
    bake_s: float = 0.0

    def __post_init__(self) -> None:
        """Raises InvalidModel unless the shares rise between 1 and 99."""
        if list(self.shares) != sorted(set(self.shares)) or any(not 0 < share < MOST_SHARE for share in self.shares):
            raise InvalidModel(f"canary shares {self.shares} do not rise between 1 and 99 percent", hint='canary(1, 10, 50, bake="10m")')
        if self.bake_s < 0:
            raise InvalidModel(f"a bake time of {self.bake_s} s lies before its start", hint='canary(10, bake="10m")')


class Retrain(msgspec.Struct, frozen=True, kw_only=True):
    """What starts a delivery by itself: an alarm on performance, at most once in `cooldown_s`, and a schedule in cron's form."""

    degradation: bool = False
    cooldown_s: float = 0.0
    schedule: str = ""

    def __or__(self, other: "Retrain") -> "Retrain":
        """Either of both."""
        return Retrain(
            degradation=self.degradation or other.degradation,
            cooldown_s=max(self.cooldown_s, other.cooldown_s),
            schedule=self.schedule or other.schedule,
        )


class Constant(msgspec.Struct, frozen=True):
    """A fallback that answers the same value for every row."""

    value: float


class ModelDeclaration(msgspec.Struct, frozen=True, kw_only=True):
    """A model as declared. Its digest changes with anything that it says; the code of `function` has its own, the source's.

    `reproduce_within` is how far metrics and predictions of a rebuild may lie off, relative to the larger of 1 and their size.
    """

    name: str
    function: str
    owner: str
    risk: RiskTier
    purpose: str
    features: FeatureSet | None
    observations: Observations
    request: tuple[RequestField, ...]
    as_of: AsOf | None
    label: str
    team: str = "default"
    task: Task = "binary"
    slices: tuple[str, ...] = ()
    holdout: float = 0.2
    gates: tuple[Gate, ...] = ()
    rollout: Rollout = Rollout()
    monitors: tuple[Monitor, ...] = ()
    retrain: Retrain = Retrain()
    fallback: Constant | None = None
    sticky: tuple[str, ...] = ()
    tune: SearchSpace | None = None
    reproduce_within: float = 0.0

    def __post_init__(self) -> None:
        """Raises InvalidModel where names clash or parts contradict each other, BadSearchSpace for a metric that is not measured."""
        checked_name(self.name, "model")
        if self.tune is not None and self.tune.objective:
            self.check_metric(self.tune.objective)
        if not self.owner or not self.purpose:
            raise InvalidModel(f"{self.name} says neither whose it is nor what for", hint='@model(owner="...", purpose="...")')
        if not 0.0 < self.holdout < 1.0:
            raise InvalidModel(
                f"holdout={self.holdout} is no share of the rows between 0 and 1", hint="holdout=0.2 tests on the last fifth"
            )
        if not 0.0 <= self.reproduce_within <= MOST_TOLERANCE:
            raise InvalidModel(
                f"reproduce_within={self.reproduce_within} lies not between 0 and {MOST_TOLERANCE}",
                hint="0 asks for equal bits; 1e-9 lets sums be rounded otherwise",
            )
        self._check_times()
        self._check_on_demand()
        inputs = self.inputs
        if not inputs:
            raise InvalidModel(f"{self.name} reads nothing", hint='give it features, or request={"amount": float}')
        twice = sorted({name for name in inputs if inputs.count(name) > 1})
        if twice or self.label in inputs:
            raise InvalidModel(
                f"{self.name} reads {(twice or [self.label])[0]!r} twice", hint="name each input once, and the label not at all"
            )
        for name in (*self.slices, *self.sticky):
            if name not in inputs and name not in {key.name for key in self.keys}:
                raise InvalidModel(f"{self.name} has no input {name!r}", hint=nearest(name, inputs))

    def check_metric(self, metric: str) -> None:
        """Raises BadSearchSpace unless a model of this task is measured by that metric."""
        known = BINARY_METRICS if self.task == "binary" else NUMBER_METRICS
        if metric not in known:
            raise BadSearchSpace(f"{self.name} is not measured by {metric[:60]!r}", hint=nearest(metric, known))

    def _check_times(self) -> None:
        has_times = bool(self.observations.known)
        if has_times != (self.as_of is not None):
            raise InvalidModel(
                f"the rows of {self.name} have {'times' if has_times else 'no times'}, and as_of is {'left out' if has_times else 'given'}",
                hint="as_of names the instant of a row at which the model answers; rows without times go without",
            )
        if self.features is not None and not has_times:
            raise InvalidModel(
                f"{self.name} reads feature views, and its rows have no times to read them at",
                hint='rows(path, timestamp="...", known="...") and as_of="...", or a model without views',
            )

    def _check_on_demand(self) -> None:
        fields = {field.name: field.dtype for field in self.request}
        for need in () if self.features is None else self.features.request:
            found = fields.get(need.name)
            if found is None:
                known = (*fields, *self.inputs, *(key.name for key in self.keys))
                raise InvalidModel(
                    f"an on-demand feature of {self.name} reads {need.name!r}, which is no feature, key or request field",
                    hint=nearest(need.name, known),
                )
            if found != need.dtype and (found, need.dtype) != ("int64", "float64"):
                raise InvalidModel(
                    f"an on-demand feature of {self.name} reads {need.name} as {need.dtype}, and requests bring it as {found}",
                    hint="let both say the same type",
                )

    @property
    def views(self) -> tuple[FeatureView, ...]:
        """The views that it reads; none where every input comes with the request."""
        return () if self.features is None else self.features.views

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of its entities; none without views."""
        return () if self.features is None else self.features.keys

    @property
    def inputs(self) -> tuple[str, ...]:
        """The model's inputs in order: the request's fields, then the features."""
        return (*(field.name for field in self.request), *(() if self.features is None else self.features.names))

    @property
    def dtypes(self) -> dict[str, DType]:
        """The inputs' types, in order; a feature whose type its source decides is not among them."""
        columns = () if self.features is None else self.features.columns
        known = {column.name: column.dtype for column in columns if column.dtype is not None}
        return {field.name: field.dtype for field in self.request} | known

    @property
    def digest(self) -> Digest:
        """Its version."""
        return digest_of(self)


class DeclaredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A declaration as it was applied, with its project's source by digest, and the folder that its data paths start from."""

    declaration: ModelDeclaration
    source: Digest
    root: str


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a plan."""

    kind: str
    what: str
    name: str
    detail: str = ""


class ModelPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a declaration would change; nothing where `changes` is empty. `views` says it of the views, part by part."""

    model: str
    changes: tuple[Change, ...]
    views: tuple[ViewPlan, ...] = ()


class AppliedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model's current declaration and its digest."""

    digest: Digest
    declared: DeclaredModel

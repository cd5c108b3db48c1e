"""Pure functions over studies: which metric counts, which place is free, which trial is best, what is next. Owns the formulas."""

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from modelyard.core.names import listed
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.monitoring.domain import BINARY_METRICS, METRICS, NUMBER_METRICS, Metric, Performance
from modelyard.tuning.domain import Loss, NotTunable, Study, StudyState, Trial, TrialState

MOST_CRASHES = 3
MOST_FAILURES = 5
_GATED = re.compile(r"\bmetrics\.([a-z_]+)")


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A study's trials in numbers: those that count, those under way, how often each place was lost to a crash, and the next free place."""

    counted: int
    running: int
    crashes: int
    free: int


def metric_of(declaration: ModelDeclaration, asked: Metric | None = None) -> Metric:
    """The metric that a study goes by: the one asked for, the declared objective, else the only one that gates or monitors are about.

    Raises NotTunable where that leaves none or several, BadSearchSpace for one that the model is not measured by.
    """
    if asked is not None:
        declaration.check_metric(asked)
        return asked
    if declaration.tune is not None and declaration.tune.objective:
        return next(one for one in METRICS if one == declaration.tune.objective)
    known: tuple[Metric, ...] = BINARY_METRICS if declaration.task == "binary" else NUMBER_METRICS
    gated = {name for gate in declaration.gates for name in _GATED.findall(gate.expression)}
    watched = {str(one.metric) for one in declaration.monitors if isinstance(one, Performance)}
    for named in (gated, watched):
        found = [one for one in known if one in named]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotTunable(
                f"{declaration.name} is held to {listed(found)}: one of them is to be tuned by",
                hint=f'yard tune {declaration.name} --metric {found[0]}, or objective="{found[0]}" in @model',
            )
    raise NotTunable(
        f"{declaration.name} declares no metric to be tuned by",
        hint=f'yard tune {declaration.name} --metric {known[0]}, or objective="{known[0]}"',
    )


def standing(counted: int, running: int, lost: Iterable[tuple[int, Loss]], retaken: Collection[int]) -> Standing:
    """How trials stand: how many count and how many of these run, place and loss of the others, and which of those places are retaken.

    The free place is the lowest that no trial holds which counts; who takes it is given what the lost one was.

    >>> standing(2, 1, [(1, Loss.CRASHED)], [])
    Standing(counted=2, running=1, crashes=1, free=1)
    """
    crashes: dict[int, int] = {}
    for place, loss in lost:
        crashes[place] = crashes.get(place, 0) + (loss is Loss.CRASHED)
    # Places are given out from the lowest on, so those below that nobody holds are those of lost trials.
    free = min(crashes.keys() - set(retaken), default=counted)
    return Standing(counted=counted, running=running, crashes=crashes.get(free, 0), free=free)


def has_room(study: Study, found: Standing, *, is_late: bool) -> bool:
    """Whether one more trial may begin."""
    return study.state is StudyState.RUNNING and not is_late and found.counted < study.trials and found.running < study.parallel


def is_over(study: Study, found: Standing, *, is_late: bool) -> bool:
    """Whether the study has nothing left to do: every trial has ended, and none is to follow."""
    return study.state is StudyState.RUNNING and found.running == 0 and (is_late or found.counted >= study.trials)


def fails_from_the_start(ended: Mapping[TrialState, int]) -> bool:
    """Whether so many trials failed before any other came to an end that one more would not help; told is how many ended in which state."""
    return ended.get(TrialState.FAIL, 0) >= MOST_FAILURES and sum(ended.values()) == ended[TrialState.FAIL]


def best_of(trials: Iterable[Trial], *, higher_is_better: bool) -> Trial | None:
    """The best trial that completed, the earliest of equals; one whose value is not finite is none."""
    found: Trial | None = None
    for trial in trials:
        if trial.state is not TrialState.COMPLETE or trial.value is None or not math.isfinite(trial.value):
            continue
        if found is None or found.value is None or is_better(trial.value, found.value, higher_is_better=higher_is_better):
            found = trial
    return found


def is_better(value: float, than: float, *, higher_is_better: bool) -> bool:
    """Whether a value is better than another.

    >>> is_better(0.2, 0.3, higher_is_better=False)
    True
    """
    return value > than if higher_is_better else value < than


def best_so_far(values: Sequence[float | None], *, higher_is_better: bool) -> list[float | None]:
    """The best of the values up to each; None before the first.

    >>> best_so_far([None, 0.4, 0.5, 0.3], higher_is_better=False)
    [None, 0.4, 0.4, 0.3]
    """
    found: list[float | None] = []
    best: float | None = None
    for value in values:
        if value is not None and math.isfinite(value) and (best is None or is_better(value, best, higher_is_better=higher_is_better)):
            best = value
        found.append(best)
    return found

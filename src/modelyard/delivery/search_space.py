"""What a model's parameters may be while they are tuned: a domain for each, the metric to go by, and the untuned values.

Owns the rules of a search space, and what a training function is told of where it reports to. Which values are tried is
`tuning`'s business.
"""

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from modelyard.core.errors import Kind, ModelyardError

Value = bool | int | float | str
MOST_OPTIONS = 100
LONGEST_OPTION = 200
SAFE_INTEGER: Final = 2**53 - 1


class BadSearchSpace(ModelyardError):
    """A domain that holds no value, or one that its parameter cannot take."""

    kind = Kind.INVALID


class Uniform(msgspec.Struct, frozen=True, tag="uniform"):
    """A number between both ends, each as likely as another; one of `low`, `low + step`, ... where there is a step."""

    low: float
    high: float
    step: float | None = None

    def __post_init__(self) -> None:
        """Raises BadSearchSpace unless `low < high`, both finite, and the step fits in between."""
        said = f"uniform({self.low:g}, {self.high:g}{'' if self.step is None else f', step={self.step:g}'})"
        _check_ends(self.low, self.high, said, "uniform(0.5, 1.0)")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise BadSearchSpace(f"{said} has no step between its ends", hint="uniform(0.0, 1.0, step=0.1)")

    def holds(self, value: Value) -> bool:
        """Whether the value may be tried; steps are counted with a millionth of one to spare."""
        if isinstance(value, str | bool) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step is not None else 0.0
        return abs(steps - round(steps)) < 1e-6


class LogUniform(msgspec.Struct, frozen=True, tag="loguniform"):
    """A number between both ends whose magnitude is what counts: as likely between 0.001 and 0.01 as between 0.01 and 0.1."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Raises BadSearchSpace unless `0 < low < high`."""
        said = f"loguniform({self.low:g}, {self.high:g})"
        _check_ends(self.low, self.high, said, "loguniform(1e-3, 0.3)")
        _check_log(self.low, said, "loguniform(1e-3, 0.3)")

    def holds(self, value: Value) -> bool:
        """Whether the value may be tried."""
        return not isinstance(value, str | bool) and self.low <= value <= self.high


class Integers(msgspec.Struct, frozen=True, tag="integers"):
    """A whole number between both ends, both included; every `step`-th from `low` on, or by magnitude where `log`."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        """Raises BadSearchSpace unless `low < high` and the step fits; magnitudes are those of positive numbers, without a step."""
        said = f"integers({self.low}, {self.high}{'' if self.step == 1 else f', step={self.step}'}{', log=True' if self.log else ''})"
        _check_ends(self.low, self.high, said, "integers(15, 255)")
        if max(abs(self.low), abs(self.high)) > SAFE_INTEGER:
            raise BadSearchSpace(f"{said} goes beyond what a float carries exactly", hint="stay within 2**53 - 1")
        if not 0 < self.step <= self.high - self.low:
            raise BadSearchSpace(f"{said} has no step between its ends", hint="integers(10, 100, step=10)")
        if self.log:
            _check_log(self.low, said, "integers(1, 1000, log=True)")
        if self.log and self.step != 1:
            raise BadSearchSpace(f"{said} has both a step and magnitudes", hint="leave one of step and log out")

    def holds(self, value: Value) -> bool:
        """Whether the value may be tried."""
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and self.low <= value <= self.high and (value - self.low) % self.step == 0  # type: ignore[operator]  # a whole number


class Choice(msgspec.Struct, frozen=True, tag="choice"):
    """One of several values without an order."""

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Raises BadSearchSpace unless there are two options or more, each once, none of them odd."""
        said = f"choice({', '.join(repr(one)[:40] for one in self.options[:6])})"
        if not 1 < len(self.options) <= MOST_OPTIONS:
            raise BadSearchSpace(f"{said} has {len(self.options)} options, not 2 to {MOST_OPTIONS}", hint='choice("gbdt", "dart")')
        for one in self.options:
            if not isinstance(one, Value) or (isinstance(one, float) and not math.isfinite(one)):
                raise BadSearchSpace(f"{said}: {one!r} is no number, text or truth value", hint="name it, and map the name in the function")
            if isinstance(one, str) and len(one) > LONGEST_OPTION:
                raise BadSearchSpace(f"{said} has an option of {len(one)} characters, at most {LONGEST_OPTION}", hint="name it shorter")
        if len(set(self.options)) < len(self.options):
            raise BadSearchSpace(f"{said} has an option twice", hint="name each option once; True is 1, and 1.0 is 1")

    def holds(self, value: Value) -> bool:
        """Whether the value is an option, of the same type."""
        return any(type(one) is type(value) and one == value for one in self.options)


Domain = Uniform | LogUniform | Integers | Choice


class SearchSpace(msgspec.Struct, frozen=True, kw_only=True):
    """The tuned parameters in their order, each with its domain and the function's own value; the metric to go by, if one was named."""

    domains: dict[str, Domain]
    defaults: dict[str, Value] = {}
    objective: str = ""

    def __post_init__(self) -> None:
        """Raises BadSearchSpace where there is nothing to tune."""
        if not self.domains:
            raise BadSearchSpace("tune names no parameter", hint='tune={"learning_rate": loguniform(1e-3, 0.3)}')

    @property
    def baseline(self) -> Mapping[str, Value] | None:
        """The function's own values, where all lie in the space: what the first trial is given, so that the gain is known."""
        inside = all(name in self.defaults and domain.holds(self.defaults[name]) for name, domain in self.domains.items())
        return self.defaults if inside else None


class Reports(msgspec.Struct, frozen=True, kw_only=True):
    """The file that a training function's reports go to, and whether a higher value is better."""

    path: str
    higher_is_better: bool


def _check_ends(low: float, high: float, said: str, hint: str) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadSearchSpace(f"{said} holds nothing to choose from: its low end must be below its high end", hint=hint)


def _check_log(low: float, said: str, hint: str) -> None:
    if low <= 0:
        raise BadSearchSpace(f"{said} counts magnitudes, so both ends must be above 0", hint=hint)

"""How users say what may be tuned: the words for domains, and the check of them against the training function. Knows no server."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from modelyard.core.names import nearest
from modelyard.delivery.search_space import BadSearchSpace, Choice, Domain, Integers, LogUniform, SearchSpace, Uniform, Value

TYPES: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
TAKES: dict[type, frozenset[type]] = {
    bool: frozenset({bool}),
    int: frozenset({int}),
    float: frozenset({float, int}),
    str: frozenset({str}),
}
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def uniform(low: float, high: float, *, step: float | None = None) -> Uniform:
    """A number from `low` to `high`, each as likely as another; with a step one of `low`, `low + step`, ...

    >>> uniform(0.5, 1.0)
    Uniform(low=0.5, high=1.0, step=None)
    """
    return Uniform(_number(low, "uniform"), _number(high, "uniform"), None if step is None else _number(step, "uniform"))


def loguniform(low: float, high: float) -> LogUniform:
    """A number from `low` to `high` by its magnitude: for rates and penalties.

    >>> loguniform(1e-3, 0.3)
    LogUniform(low=0.001, high=0.3)
    """
    return LogUniform(_number(low, "loguniform"), _number(high, "loguniform"))


def integers(low: int, high: int, *, step: int = 1, log: bool = False) -> Integers:
    """A whole number from `low` to `high`, both included; every `step`-th, or by its magnitude where `log`.

    >>> integers(15, 255)
    Integers(low=15, high=255, step=1, log=False)
    """
    for one in (low, high, step):
        if type(one) is not int:
            raise BadSearchSpace(f"integers takes whole numbers, got {one!r}", hint="integers(15, 255), or uniform for other numbers")
    return Integers(low, high, step, log)


def choice(*options: Value) -> Choice:
    """One of several values without an order: texts, numbers or truth values.

    >>> choice("gbdt", "dart")
    Choice(options=('gbdt', 'dart'))
    """
    return Choice(options)


def space_of(function: Callable[..., Any], domains: Mapping[str, Domain], objective: str = "") -> SearchSpace:
    """The search space of a training function. Raises BadSearchSpace for parameters that it does not have or that take other values."""
    parameters = list(inspect.signature(function).parameters.values())[1:]
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    known = {one.name: one for one in parameters if one.kind in NAMED}
    defaults: dict[str, Value] = {}
    for name, domain in domains.items():
        if not isinstance(domain, Domain):
            raise BadSearchSpace(f"tune[{name!r}] is {domain!r}, which is no domain", hint="uniform, loguniform, integers or choice")
        if name not in known:
            if not takes_any:
                raise BadSearchSpace(f"{function.__name__} takes no parameter {name!r} that could be tuned", hint=nearest(name, known))
            continue
        _check_type(function.__name__, known[name], domain)
        default = known[name].default
        if default is inspect.Parameter.empty:
            raise BadSearchSpace(
                f"{function.__name__} has no default for {name!r}: a delivery that is told no value needs one",
                hint=f"give it one, such as {name}={_example(domain)!r}",
            )
        defaults[name] = default
    return SearchSpace(domains=dict(domains), defaults=defaults, objective=objective)


def _check_type(function: str, parameter: inspect.Parameter, domain: Domain) -> None:
    """Raises BadSearchSpace where the parameter says by its annotation, or else by its default, that it takes other values."""
    annotation = parameter.annotation if isinstance(parameter.annotation, type) else TYPES.get(str(parameter.annotation).strip("'\""))
    wanted = annotation if annotation in TAKES else type(parameter.default)
    if wanted not in TAKES:
        return
    given = {type(one) for one in domain.options} if isinstance(domain, Choice) else {int if isinstance(domain, Integers) else float}
    wrong = sorted(one.__name__ for one in given - TAKES[wanted])
    if wrong:
        raise BadSearchSpace(
            f"{function} takes {parameter.name!r} as {wanted.__name__}, and tune[{parameter.name!r}] gives {wrong[0]}",
            hint="integers for whole numbers, uniform or loguniform for others, choice for texts and truth values",
        )


def _example(domain: Domain) -> Value:
    return domain.options[0] if isinstance(domain, Choice) else domain.low


def _number(value: float, word: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadSearchSpace(f"{word} takes numbers, got {value!r}", hint=f"{word}(0.1, 1.0), or choice for other values")
    return float(value)

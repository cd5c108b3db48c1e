"""What an estimator says of how it was made: its class, and its expression with the params that are not its defaults.

Owns that form, by which `yard adopt` writes the estimator down again. Imports no library of models.
"""

import inspect
from typing import Any

import msgspec

from modelyard.core.errors import InvalidInput

NAME_TAG, CLASS_TAG, MADE_TAG = "estimator_name", "estimator_class", "modelyard.estimator"
"""The first two are what MLflow's autologging calls them."""
MOST_TEXT = 4000


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """An estimator as an expression such as `LogisticRegression(C=0.5)`, and by each class's name the module that has it."""

    expression: str
    modules: dict[str, str]


def told(estimator: Any) -> dict[str, str]:
    """The tags that say of an estimator in scikit-learn's manner how it was made. Raises InvalidInput for anything else.

    Where that does not fit into a tag, its name alone is told.
    """
    if not callable(getattr(estimator, "get_params", None)):
        raise InvalidInput(f"a {type(estimator).__name__} is no estimator", hint="give one of scikit-learn or LightGBM")
    kind = type(estimator)
    name = {NAME_TAG: kind.__name__}
    made = Made(expression=_expression(estimator), modules={one.__name__: one.__module__ for one in _kinds(estimator)})
    text = msgspec.json.encode(made).decode()
    return name if len(text) > MOST_TEXT else name | {CLASS_TAG: f"{kind.__module__}.{kind.__qualname__}", MADE_TAG: text}


def _expression(value: Any) -> str:
    """Python's own text of a value; of an estimator its call, without the params that are its defaults."""
    if callable(getattr(value, "get_params", None)) and not isinstance(value, type):
        defaults = inspect.signature(type(value).__init__).parameters
        given = value.get_params(deep=False)
        words = [f"{name}={_expression(one)}" for name, one in given.items() if not _is_default(one, defaults.get(name))]
        return f"{type(value).__name__}({', '.join(words)})"
    if isinstance(value, list | tuple):
        inner = ", ".join(map(_expression, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return repr(value.item())
    return repr(value)


def _is_default(value: Any, parameter: inspect.Parameter | None) -> bool:
    return parameter is not None and type(value) is type(parameter.default) and repr(value) == repr(parameter.default)


def _kinds(value: Any) -> set[type]:
    """The classes of an estimator and of those within it."""
    if isinstance(value, list | tuple):
        return {kind for one in value for kind in _kinds(one)}
    if not callable(getattr(value, "get_params", None)) or isinstance(value, type):
        return set()
    return {type(value)}.union(*(_kinds(one) for one in value.get_params(deep=False).values()))

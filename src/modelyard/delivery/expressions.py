"""Gates and policies: CEL expressions over recorded facts. The only module that knows the CEL library."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec
from cel_expr_python import cel

from modelyard.delivery.domain import BadExpression, Decision


class GateFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a gate may name: the facts that a delivery has recorded when it comes to its gates.

    `champion` is null for a model without one, and so is then `challenge`.
    """

    metrics: Mapping[str, Any]
    champion: Mapping[str, Any] | None
    challenge: Mapping[str, Any] | None
    data: Mapping[str, Any]
    risk: str
    model: str
    cause: str


VARIABLES = GateFacts.__struct_fields__


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    return cel.NewEnv(variables=dict.fromkeys(VARIABLES, cel.Type.DYN))


def checked_expression(text: str) -> str:
    """`text` where it is a CEL expression over the known facts. Raises BadExpression.

    >>> checked_expression("metrics.roc_auc >= 0.65")
    'metrics.roc_auc >= 0.65'
    """
    try:
        _environment().compile(text)
    except RuntimeError as error:
        raise BadExpression(f"{text!r}: {_first_line(error)}", hint=f"write CEL over {', '.join(VARIABLES)}") from error
    return text


def decided(text: str, facts: Mapping[str, Any]) -> Decision:
    """What the expression says of the facts. One that fails to evaluate, or is not true or false, has not passed.

    >>> decided("metrics.roc_auc >= 0.65", {"metrics": {"roc_auc": 0.7}}).passed
    True
    >>> decided("metrics.roc_auc >= 0.65", {"metrics": {}}).passed
    False
    """
    # CEL knows plain values only: a cause that is a StrEnum would be an error wherever the expression's outcome depends on it.
    known = msgspec.to_builtins({name: facts.get(name) for name in VARIABLES})
    try:
        answer = _environment().compile(checked_expression(text)).eval(data=known)
    except RuntimeError as error:
        return Decision(expression=text, passed=False, reason=_first_line(error))
    value = answer.value()
    if not isinstance(value, bool):
        return Decision(expression=text, passed=False, reason=_first_line(f"it is not true or false but {answer}"))
    return Decision(expression=text, passed=value, reason="" if value else "it is false")


def _first_line(error: object) -> str:
    return str(error).splitlines()[0][:300]

"""Gates over facts as deliveries record them."""

import pytest

from modelyard.delivery.domain import BadExpression, CauseKind
from modelyard.delivery.expressions import checked_expression, decided

GATE = "challenge.p_worse < 0.05 || (cause == 'person' && challenge.low > -0.01)"


def test_an_expression_may_ask_for_the_cause_of_a_delivery() -> None:
    facts = {"challenge": {"p_worse": 0.3, "low": -0.005}}
    assert decided(GATE, facts | {"cause": CauseKind.PERSON}).passed
    found = decided(GATE, facts | {"cause": CauseKind.SCHEDULE})
    assert (found.passed, found.reason) == (False, "it is false")


@pytest.mark.parametrize("name", ["metrics", "champion", "challenge", "data", "risk", "model", "cause"])
def test_a_gate_may_name_what_a_delivery_records(name: str) -> None:
    assert checked_expression(f"{name} != null") == f"{name} != null"


@pytest.mark.parametrize("name", ["benchmark", "stage"])
def test_a_gate_over_what_nothing_records_is_refused_when_it_is_declared(name: str) -> None:
    with pytest.raises(BadExpression) as refused:
        checked_expression(f"{name} != null")
    assert "champion, challenge, data, risk, model, cause" in refused.value.hint

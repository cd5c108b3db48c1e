"""Gates over facts as deliveries record them."""

from modelyard.delivery.domain import CauseKind
from modelyard.delivery.expressions import decided

GATE = "challenge.p_worse < 0.05 || (cause == 'person' && challenge.low > -0.01)"


def test_an_expression_may_ask_for_the_cause_of_a_delivery() -> None:
    facts = {"challenge": {"p_worse": 0.3, "low": -0.005}}
    assert decided(GATE, facts | {"cause": CauseKind.PERSON}).passed
    found = decided(GATE, facts | {"cause": CauseKind.SCHEDULE})
    assert (found.passed, found.reason) == (False, "it is false")

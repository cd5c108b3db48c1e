"""What fleet offers: the portfolio, the six questions, traces. Every figure is read through the other components' services."""

from modelyard.fleet.service.portfolio import get_portfolio
from modelyard.fleet.service.questions import get_questions
from modelyard.fleet.service.trace import get_trace, trace_version

__all__ = ["get_portfolio", "get_questions", "get_trace", "trace_version"]

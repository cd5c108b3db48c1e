"""What fleet offers: the portfolio, the six questions, traces, search. Every figure is read through the other components' services."""

from modelyard.fleet.service.portfolio import get_portfolio
from modelyard.fleet.service.questions import get_questions
from modelyard.fleet.service.search import search
from modelyard.fleet.service.trace import get_trace, trace_version
from modelyard.fleet.service.waiting import count_waiting

__all__ = ["count_waiting", "get_portfolio", "get_questions", "get_trace", "search", "trace_version"]

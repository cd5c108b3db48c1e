"""What fleet offers: traces and the six questions. Every figure is read through the other components' services."""

from modelyard.fleet.service.questions import get_questions
from modelyard.fleet.service.trace import get_trace, trace_version

__all__ = ["get_questions", "get_trace", "trace_version"]

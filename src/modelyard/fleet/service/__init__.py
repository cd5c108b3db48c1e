"""What fleet offers: traces. Every figure is read through the other components' services."""

from modelyard.fleet.service.trace import get_trace, trace_version

__all__ = ["get_trace", "trace_version"]

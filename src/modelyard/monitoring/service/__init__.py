"""What monitoring offers: what is watched, a tick over what is new, alerts, comparisons of two models, skew."""

from modelyard.monitoring.rules.comparison import always_valid, paired_difference
from modelyard.monitoring.rules.metrics import measured
from modelyard.monitoring.service.alerts import (
    acknowledge_alert,
    get_alert,
    list_alerts,
    list_open_alerts,
    silence_alert,
    why_alert,
)
from modelyard.monitoring.service.comparing import Span
from modelyard.monitoring.service.courses import Course, list_courses
from modelyard.monitoring.service.forgetting import forget_examples
from modelyard.monitoring.service.overview import Health, Loss, list_health, list_losses
from modelyard.monitoring.service.showing import Shown, show_monitoring
from modelyard.monitoring.service.skew import list_skew, list_skew_days, list_unproven, measure_due, measure_skew
from modelyard.monitoring.service.ticking import tick
from modelyard.monitoring.service.watching import (
    Scored,
    get_monitoring,
    levels_of,
    list_monitoring,
    put_reference,
    reference_of,
    set_monitors,
    why_bound,
)

__all__ = [
    "Course", "Health", "Loss", "Scored", "Shown", "Span", "acknowledge_alert", "always_valid", "forget_examples", "get_alert",
    "get_monitoring", "levels_of", "list_alerts", "list_courses", "list_health", "list_losses", "list_monitoring", "list_open_alerts",
    "list_skew", "list_skew_days", "list_unproven", "measure_due", "measure_skew", "measured", "paired_difference", "put_reference",
    "reference_of", "set_monitors", "show_monitoring", "silence_alert", "tick", "why_alert", "why_bound",
]  # fmt: skip

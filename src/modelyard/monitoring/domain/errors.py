"""The errors of monitoring, each with what to do next at the place that raises it."""

from modelyard.core.errors import Conflict, InvalidInput, NotFound


class UnknownMetric(InvalidInput):
    """A metric that is not measured here."""


class UnusableReference(InvalidInput):
    """Rows from which no reference can be made."""


class DifferentReference(Conflict):
    """Two summaries that were made against different references."""


class EmptySample(InvalidInput):
    """A statistic of nothing."""


class NoOutcomes(InvalidInput):
    """Too few labelled predictions, or of one class only."""


class AlertNotFound(NotFound):
    """No such alert, or none that the caller may see."""


class ModelNotMonitored(NotFound):
    """The model has no version that is watched."""


class AlertIsClosed(Conflict):
    """What the alert was about is over."""

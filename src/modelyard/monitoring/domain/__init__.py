"""The words of monitoring: declarations, references, summaries, findings, errors. Loads no numeric library."""

from modelyard.monitoring.domain.declarations import (
    BINARY_METRICS,
    HIGHER_IS_BETTER,
    METRICS,
    Drift,
    Metric,
    Monitor,
    Performance,
    Quality,
    drift,
    performance,
    quality,
    window_us,
)
from modelyard.monitoring.domain.errors import (
    AlertIsClosed,
    AlertNotFound,
    DifferentReference,
    EmptySample,
    ModelNotMonitored,
    NoOutcomes,
    UnknownMetric,
    UnusableReference,
)
from modelyard.monitoring.domain.findings import (
    ColumnDrift,
    ColumnQuality,
    Degradation,
    Histogram,
    Level,
    Measured,
    Moments,
    Observation,
    Outcomes,
    PairedDifference,
    QualityKind,
)
from modelyard.monitoring.domain.summaries import (
    CategoryColumn,
    CategoryCounts,
    Column,
    Counts,
    Day,
    Dispersion,
    NumberColumn,
    NumberCounts,
    Reference,
    WindowSummary,
)

__all__ = [
    "BINARY_METRICS", "HIGHER_IS_BETTER", "METRICS", "AlertIsClosed", "AlertNotFound", "CategoryColumn", "CategoryCounts", "Column",
    "ColumnDrift", "ColumnQuality", "Counts", "Day", "Degradation", "DifferentReference", "Dispersion", "Drift", "EmptySample",
    "Histogram", "Level", "Measured", "Metric", "ModelNotMonitored", "Moments", "Monitor", "NoOutcomes", "NumberColumn",
    "NumberCounts", "Observation", "Outcomes", "PairedDifference", "Performance", "Quality", "QualityKind", "Reference",
    "UnknownMetric", "UnusableReference", "WindowSummary", "drift", "performance", "quality", "window_us",
]  # fmt: skip

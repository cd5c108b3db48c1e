"""The words of the feature store: what users declare, what services answer, what can go wrong. Does no input or output."""

from modelyard.features.domain.aggregations import Aggregate, Output, percentile_of
from modelyard.features.domain.answers import (
    AppliedFeatures,
    AppliedOnDemand,
    AppliedSet,
    AppliedView,
    FeatureConsumer,
    Materialization,
    OnlineValues,
    Reason,
    SourceUse,
    ViewFreshness,
    ViewSummary,
)
from modelyard.features.domain.entities import Entity, Key, Parquet, Window
from modelyard.features.domain.errors import (
    BadLabels,
    FeatureSetNotFound,
    InvalidDeclaration,
    NotColumnwise,
    OnDemandNotFound,
    SourceDrifted,
    SourceUnreadable,
    UnknownFeature,
    ViewNotFound,
)
from modelyard.features.domain.on_demand import OnDemand
from modelyard.features.domain.profiles import Bins, CategoryCount, ColumnProfile, TableProfile
from modelyard.features.domain.sets import FeatureSet
from modelyard.features.domain.types import DType, DTypeLike, Value, dtype_of, duration_text, duration_us
from modelyard.features.domain.views import Feature, FeatureSelection, FeatureView

__all__ = [
    "Aggregate",
    "AppliedFeatures",
    "AppliedOnDemand",
    "AppliedSet",
    "AppliedView",
    "BadLabels",
    "Bins",
    "CategoryCount",
    "ColumnProfile",
    "DType",
    "DTypeLike",
    "Entity",
    "Feature",
    "FeatureConsumer",
    "FeatureSelection",
    "FeatureSet",
    "FeatureSetNotFound",
    "FeatureView",
    "InvalidDeclaration",
    "Key",
    "Materialization",
    "NotColumnwise",
    "OnDemand",
    "OnDemandNotFound",
    "OnlineValues",
    "Output",
    "Parquet",
    "Reason",
    "SourceDrifted",
    "SourceUnreadable",
    "SourceUse",
    "TableProfile",
    "UnknownFeature",
    "Value",
    "ViewFreshness",
    "ViewNotFound",
    "ViewSummary",
    "Window",
    "dtype_of",
    "duration_text",
    "duration_us",
    "percentile_of",
]

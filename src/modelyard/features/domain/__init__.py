"""The words of the feature store: what users declare, what services answer, what can go wrong. Does no input or output."""

from modelyard.features.domain.answers import (
    AppliedFeatures,
    AppliedSet,
    AppliedView,
    FeatureConsumer,
    Materialization,
    OnlineRow,
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
    SourceDrifted,
    SourceUnreadable,
    UnknownFeature,
    ViewNotFound,
)
from modelyard.features.domain.profiles import Bins, CategoryCount, ColumnProfile, TableProfile
from modelyard.features.domain.sets import FeatureSet
from modelyard.features.domain.types import DType, DTypeLike, Value, dtype_of, duration_text, duration_us
from modelyard.features.domain.views import Aggregate, Feature, FeatureSelection, FeatureView, Function, Output

__all__ = [
    "Aggregate",
    "AppliedFeatures",
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
    "Function",
    "InvalidDeclaration",
    "Key",
    "Materialization",
    "OnlineRow",
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
]

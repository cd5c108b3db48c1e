"""The words of the feature store: what users declare, what services answer, what can go wrong. Does no input or output."""

from modelyard.features.domain.aggregations import Aggregate, Output, percentile_of
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
    ViewReader,
    ViewSummary,
)
from modelyard.features.domain.changes import FeatureChange, ViewPlan
from modelyard.features.domain.entities import Entity, Key, Window
from modelyard.features.domain.errors import (
    BadLabels,
    FeatureSetNotFound,
    InvalidDeclaration,
    SourceDrifted,
    SourceMoved,
    SourceUnreadable,
    UnknownFeature,
    ViewNotFound,
)
from modelyard.features.domain.profiles import Bins, CategoryCount, ColumnProfile, TableProfile
from modelyard.features.domain.sets import FeatureSet
from modelyard.features.domain.sources import Column, ColumnType, Csv, Delta, Parquet, Source, Sql, is_address, pinned, uri_of
from modelyard.features.domain.types import DType, DTypeLike, Value, dtype_of, duration_text, duration_us
from modelyard.features.domain.views import Feature, FeatureSelection, FeatureView

__all__ = [
    "Aggregate",
    "AppliedFeatures",
    "AppliedSet",
    "AppliedView",
    "BadLabels",
    "Bins",
    "CategoryCount",
    "Column",
    "ColumnProfile",
    "ColumnType",
    "Csv",
    "DType",
    "DTypeLike",
    "Delta",
    "Entity",
    "Feature",
    "FeatureChange",
    "FeatureConsumer",
    "FeatureSelection",
    "FeatureSet",
    "FeatureSetNotFound",
    "FeatureView",
    "InvalidDeclaration",
    "Key",
    "Materialization",
    "OnlineRow",
    "OnlineValues",
    "Output",
    "Parquet",
    "Reason",
    "Source",
    "SourceDrifted",
    "SourceMoved",
    "SourceUnreadable",
    "SourceUse",
    "Sql",
    "TableProfile",
    "UnknownFeature",
    "Value",
    "ViewFreshness",
    "ViewReader",
    "ViewNotFound",
    "ViewPlan",
    "ViewSummary",
    "Window",
    "dtype_of",
    "duration_text",
    "duration_us",
    "is_address",
    "percentile_of",
    "pinned",
    "uri_of",
]

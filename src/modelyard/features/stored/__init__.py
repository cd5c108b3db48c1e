"""The stored history: a view's rows laid out once as a Delta table by entity hash, and the joins that read it bucket by bucket."""

from modelyard.features.stored.histories import Histories, StoredHistory
from modelyard.features.stored.shape import width

__all__ = ["Histories", "StoredHistory", "width"]

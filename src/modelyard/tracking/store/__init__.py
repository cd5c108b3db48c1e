"""Tracking's tables and all SQL over them, by what the rows are about. Owns rows; decides nothing about who may."""

from modelyard.tracking.store import tables

__all__ = ["tables"]

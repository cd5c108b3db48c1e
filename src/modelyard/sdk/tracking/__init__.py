"""Tracking for those who train: runs whose values are buffered, spooled on disk and delivered once. Owns no rule of tracking."""

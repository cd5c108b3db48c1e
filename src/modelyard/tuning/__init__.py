"""Tuning: studies of a model's parameters, their trials, and what was found. Owns which values are tried, and no training."""

"""Experiment tracking: experiments, runs, metrics, params, tags, artifacts, logged models, and MLflow's interface to them."""

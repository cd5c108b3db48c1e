"""Tracking's pages: experiments, tables of runs, a run, runs side by side. Each is a function from a request to one frozen context."""

from modelyard.tracking.pages.comparison import show_comparison
from modelyard.tracking.pages.difference import show_difference
from modelyard.tracking.pages.experiments import show_experiments
from modelyard.tracking.pages.run import show_run
from modelyard.tracking.pages.table import ACTIONS, show_experiment, show_runs
from modelyard.web.pages import Nav, Page, page

__all__ = ["ACTIONS", "PAGES"]

PAGES: tuple[Page, ...] = (
    page("/experiments", show_experiments, "tracking/experiments.html", nav=Nav("Build", "Experiments", 20)),
    page("/experiments/{experiment_id}", show_experiment, "tracking/runs.html", title="Experiment"),
    page("/runs", show_runs, "tracking/runs.html", title="Runs"),
    page("/runs/compare", show_comparison, "tracking/comparison.html", title="Comparison"),
    page("/runs/diff", show_difference, "tracking/difference.html", title="Difference"),
    page("/runs/{run_id}", show_run, "tracking/run.html", title="Run"),
)

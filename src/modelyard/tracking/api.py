"""Tracking's own operations: experiments, runs, points, files. Decides nothing; MLflow's interface is in `wire`."""

from modelyard.tracking import service
from modelyard.web.operations import Operation, operation

OPERATIONS: tuple[Operation, ...] = (
    operation("GET", "/experiments", service.list_experiments),
    operation("GET", "/experiments/{experiment_id}", service.get_experiment),
    operation("GET", "/experiments/{experiment_id}/views", service.list_views, name="list_saved_views"),
    operation("POST", "/experiments/{experiment_id}/views", service.save_view),
    operation("DELETE", "/experiments/{experiment_id}/views/{view_id}", service.delete_view),
    operation("POST", "/runs/search", service.find_runs, name="search_runs"),
    operation("GET", "/runs/{run_id}", service.get_run),
    operation("GET", "/runs/{run_id}/curves", service.curves, name="get_run_curves"),
    operation("GET", "/runs/{run_id}/history", service.get_history, name="get_metric_history"),
    operation("GET", "/runs/{run_id}/artifacts", service.list_run_files),
)

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
    operation("PUT", "/runs/{run_id}/sources/{source}/batches/{sequence}", service.deliver_batch),
    operation("GET", "/runs/{run_id}/points", service.read_points),
    operation("POST", "/runs/contents", service.read_run_contents),
    operation("GET", "/experiments/{experiment_id}/logged-models", service.list_logged_models),
    operation("POST", "/logged-models/contents", service.read_model_contents),
    operation("POST", "/imports/marks", service.list_marks, name="list_import_marks"),
    operation("POST", "/imports/experiments", service.import_experiments),
    operation("POST", "/imports/runs", service.import_runs),
    operation("POST", "/imports/logged-models", service.import_logged_models),
    operation("POST", "/imports/finished", service.finish_imports),
    operation("POST", "/imports/ends", service.end_import),
)

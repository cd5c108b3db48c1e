"""MLflow's interface over the registry: rows for tracking's table of routes. Owns MLflow's words for models and versions."""

"""All rows that the registry adds to MLflow's table of routes."""

from modelyard.registry.wire import models, versions
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.routing import MlflowRoute


def registry_routes(database: Database, blobs: Blobs) -> tuple[MlflowRoute, ...]:
    """MLflow's 22 routes about registered models, versions and aliases, for `mlflow_app(..., routes)`."""
    return (*models.ROUTES, *versions.ROUTES, *versions.VersionRoutes(database, blobs).rows())

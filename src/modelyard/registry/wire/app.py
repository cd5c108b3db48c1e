"""All rows that the registry adds to MLflow's table of routes."""

from modelyard.registry import service
from modelyard.registry.wire import models, versions
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.routing import MlflowRoute

NO_BONDS = service.Bonds()


def registry_routes(database: Database, blobs: Blobs, bonds: service.Bonds = NO_BONDS) -> tuple[MlflowRoute, ...]:
    """MLflow's 22 routes about registered models, versions and aliases, for `mlflow_app(..., routes)`."""
    own = (*models.ModelRoutes(bonds).rows(), *versions.VersionRoutes(database, blobs).rows())
    return (*models.ROUTES, *versions.ROUTES, *own)

"""All rows that the registry adds to MLflow's table of routes."""

from modelyard.registry import service
from modelyard.registry.wire import models, versions, webhooks
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.wire.routing import MlflowRoute

NO_BONDS = service.Bonds()
PATHS = (versions.FILE_PATH,)
"""Paths outside of the interface's prefixes that the server hands to it, too."""


def registry_routes(
    database: Database, blobs: Blobs, bonds: service.Bonds = NO_BONDS, hooks: service.Hooks | None = None
) -> tuple[MlflowRoute, ...]:
    """MLflow's routes about registered models, versions and aliases, and with `hooks` webhooks, for `mlflow_app(..., routes)`."""
    own = (*models.ModelRoutes(bonds).rows(), *versions.VersionRoutes(database, blobs).rows())
    own += () if hooks is None else webhooks.WebhookRoutes(hooks).rows()
    return (*models.ROUTES, *versions.ROUTES, *own)

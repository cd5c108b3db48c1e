"""The control plane as one ASGI app: operations, pages, health, metrics, behind host and origin checks and the access table."""

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
from litestar import Litestar, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from prometheus_client import CollectorRegistry, generate_latest

import modelyard
from modelyard.access.handlers import Doors, csrf_of, viewer_of
from modelyard.access.middleware import Access, Gate
from modelyard.access.rules import allowed_hosts
from modelyard.core.clock import Clock
from modelyard.core.errors import ModelyardError
from modelyard.core.settings import Settings
from modelyard.core.underway import REQUEST_ID
from modelyard.features.sections import Parities
from modelyard.fleet.service import count_waiting
from modelyard.governance.service import RoleKeys
from modelyard.ledger.pages import Actors
from modelyard.ledger.service import Contents, LogKey, list_events, log_facts
from modelyard.registry.sections import Contributors
from modelyard.registry.wire.app import PATHS as REGISTRY_PATHS
from modelyard.registry.wire.app import registry_routes
from modelyard.server.bundles import BUNDLE, PDF, bundle_route, pdf_route
from modelyard.server.contents import contents_of
from modelyard.server.data_folder import noted_addresses
from modelyard.server.exports import HISTORY, RUNS, history_export_route, runs_export_route
from modelyard.server.guard import caller_of, check_rules, found_of, guard, request_values, teams_of
from modelyard.server.installation import Installation
from modelyard.server.joins import JOIN, join_route
from modelyard.server.mounts import Mounts, authenticated_caller, mlflow_refusal
from modelyard.server.observe import Observed, Traced
from modelyard.server.sources import SOURCE, source_route
from modelyard.server.surface import ACTIONS, ACTORS, BONDS, CONTRIBUTORS, INJECTABLE, OPERATIONS, PARITIES, RUN_CONTRIBUTORS
from modelyard.server.surface import PAGES as OWN_PAGES
from modelyard.server.version_files import CONTENT, version_file_route
from modelyard.serving.pages import NearGateway
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, DatabaseUnavailable
from modelyard.storage.online import OnlineStore
from modelyard.storage.tables import Tables
from modelyard.tracking.sections import RunContributors
from modelyard.tracking.wire.app import PREFIXES as MLFLOW
from modelyard.tracking.wire.app import mlflow_app
from modelyard.tracking.wire.content import PATHS as MLFLOW_PATHS
from modelyard.web.assets import asset_route, load_assets
from modelyard.web.binding import Resources, pooled
from modelyard.web.bounds import Paced
from modelyard.web.frame import Shell, WebRequest
from modelyard.web.headers import secured
from modelyard.web.http import operation_handler
from modelyard.web.live import Change, Feed, Hub, live_route
from modelyard.web.openapi import document
from modelyard.web.operations import bind
from modelyard.web.reference import reference_page
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, fault_handler, page_routes

MOST_BODY_BYTES = 60_000_000
DESCRIBED = document(
    [bind(item, INJECTABLE) for item in OPERATIONS], modelyard.__version__, (BUNDLE, CONTENT, PDF, JOIN, SOURCE, RUNS, HISTORY)
)
PAGES = (*OWN_PAGES, reference_page(DESCRIBED))


class ControlPlane(msgspec.Struct, frozen=True, kw_only=True):
    """The app, with the hub of its live pages and the look at the ledger's content, which end when the server begins to stop."""

    app: ASGIApp
    hub: Hub
    contents: Contents

    async def close(self) -> None:
        """Ends what lasts."""
        self.contents.stop.set()
        await self.hub.close()


def control_plane(installation: Installation, pool: ThreadPoolExecutor) -> ControlPlane:
    """The app. Raises TypeError where a route has no rule in the access table, or a rule no route."""
    hub = Hub(_feed(installation.database))
    site = _site(installation, pool, hub)
    registry = CollectorRegistry()
    routes = registry_routes(installation.database, installation.blobs, BONDS, installation.hooks)
    mlflow = mlflow_app(installation.database, installation.blobs, authenticated_caller, routes)
    handlers = [
        *[operation_handler(bind(item, INJECTABLE), site.resources, request_values, caller_of) for item in OPERATIONS],
        *page_routes(site, PAGES, ACTIONS),
        *Doors(site).routes(),
        asset_route(load_assets()),
        live_route(hub, teams_of),
        *_plain_routes(installation, registry, pool),
    ]

    @contextlib.asynccontextmanager
    async def following(app: Litestar) -> AsyncIterator[None]:
        await hub.start()
        yield
        await hub.close()
        mlflow.close()

    app = Litestar(
        route_handlers=cast("Sequence[HTTPRouteHandler]", handlers),
        guards=[guard],
        exception_handlers={Exception: fault_handler(site.shell, site.templates)},
        lifespan=[following],
        openapi_config=None,
        request_max_body_size=MOST_BODY_BYTES,
        logging_config=None,
    )
    check_rules(app.routes, mlflow.templates)
    settings = installation.settings
    hosts = allowed_hosts(settings.server.host, settings.server.port, settings.server.allowed_hosts)
    shapes = tuple((prefix, mlflow_refusal) for prefix in (*MLFLOW, "/get-artifact", *REGISTRY_PATHS))
    gate = Gate(database=installation.database, pool=pool, hosts=hosts, asks_login=settings.login, shapes=shapes)
    mounted = Mounts(cast("Any", app), [(MLFLOW, (*MLFLOW_PATHS, *REGISTRY_PATHS), mlflow)])
    guarded: Any = secured(cast("ASGIApp", Access(Paced(mounted), gate)))
    traced = Traced(guarded) if settings.telemetry.endpoint else guarded
    return ControlPlane(app=cast("ASGIApp", Observed(traced, registry)), hub=hub, contents=site.resources.values[Contents])


def resources_of(installation: Installation, pool: ThreadPoolExecutor) -> Resources:
    """What is injected into operations and pages."""
    values: dict[type, Any] = {
        Actors: ACTORS,
        Blobs: installation.blobs,
        Clock: installation.clock,
        Contents: contents_of(installation.blobs),
        Contributors: CONTRIBUTORS,
        Database: installation.database,
        LogKey: installation.log_key,
        NearGateway: NearGateway(url=lambda: noted_addresses(installation.settings)[1], asks_login=installation.settings.login),
        OnlineStore: installation.online,
        Parities: PARITIES,
        RoleKeys: installation.role_keys,
        RunContributors: RUN_CONTRIBUTORS,
        Settings: installation.settings,
        Tables: installation.tables,
    }
    return Resources(database=installation.database, values=values, pool=pool)


def _site(installation: Installation, pool: ThreadPoolExecutor, hub: Hub) -> Site:
    shell = Shell(
        clock=installation.clock,
        version=modelyard.__version__,
        pages=PAGES,
        viewer=viewer_of,
        csrf=csrf_of,
        counts=lambda request: _waiting(installation.database, request),
        position=hub.position,
        request_id=REQUEST_ID.get,
    )
    return Site(
        shell=shell,
        templates=templates(load_assets(), PAGES),
        resources=resources_of(installation, pool),
        injectable=INJECTABLE,
        request_values=request_values,
    )


def _waiting(database: Database, request: WebRequest) -> dict[str, int]:
    """What waits in each room for whoever asks; nothing where nobody is logged in."""
    found = found_of(request)
    if found is None:
        return {}
    with database.read() as snapshot:
        return count_waiting(snapshot, found.principal)


def _feed(database: Database) -> Feed:
    def latest() -> int:
        with database.read() as snapshot:
            return log_facts(snapshot).size - 1

    def after(position: int, limit: int) -> list[Change]:
        with database.read() as snapshot:
            return [Change(event.index, event.subject, event.team_id) for event in list_events(snapshot, position, None, limit)]

    return Feed(latest=latest, after=after)


def _plain_routes(installation: Installation, registry: CollectorRegistry, pool: ThreadPoolExecutor) -> list[HTTPRouteHandler]:
    @get("/healthz", name="health", include_in_schema=False)
    async def health() -> Response[bytes]:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @get("/readyz", name="ready", include_in_schema=False)
    async def ready() -> Response[bytes]:
        try:
            await pooled(pool, installation.database.check)
        except ModelyardError as error:
            logging.getLogger("modelyard.server").warning("not ready: %s", error)
            # Anybody may ask this: where the database is and who logs in to it is the log's business.
            raise DatabaseUnavailable("the database does not answer", hint="the server's log says why") from error
        return Response(b'{"status":"ok"}', media_type="application/json")

    @get("/metrics", name="metrics", include_in_schema=False)
    async def metrics() -> Response[bytes]:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4")

    described = msgspec.json.encode(DESCRIBED)

    @get("/openapi.json", name="openapi", include_in_schema=False)
    async def openapi() -> Response[bytes]:
        return Response(described, media_type="application/json")

    archives = [bundle_route(installation, pool), pdf_route(installation, pool), version_file_route(installation, pool)]
    archives += [runs_export_route(installation.database, pool), history_export_route(installation.database, pool)]
    return [
        health,
        ready,
        metrics,
        openapi,
        source_route(installation),
        join_route(installation.database, installation.histories, pool),
        *archives,
    ]

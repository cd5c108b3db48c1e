"""A browser in front of tracking's pages, actions and operations, logged in as whom a header names."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from litestar import Litestar, Request, Response
from litestar.testing import TestClient

from modelyard.access.domain import Principal
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot
from modelyard.tracking import service
from modelyard.tracking.api import OPERATIONS
from modelyard.tracking.domain import Run
from modelyard.tracking.pages import ACTIONS, PAGES
from modelyard.tracking.sections import RunCard, RunContributors, RunEvent
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response, operation_handler
from modelyard.web.operations import bind
from modelyard.web.parts import Link
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes
from tests.tracking.conftest import PRINCIPALS, WRITER

INJECTABLE = frozenset({Principal, Blobs, RunContributors})
CSRF = "token"
EVIL = "<script>alert('x')</script>\"'"
Client = TestClient[Litestar]


def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in the one JSON shape."""
    return error_response(*described(error))


def whose(request: Request[Any, Any, Any]) -> dict[type, Any]:
    """The principal that the header names; the writer where it names none."""
    return {Principal: PRINCIPALS.get(request.headers.get("x-principal", "").encode(), WRITER)}


def told(_: Snapshot, principal: Principal, run: Run) -> tuple[RunCard, ...]:
    """What a component above says of a run, hostile."""
    event = RunEvent(tone="bad", word=f"Different {EVIL}", href="/reproductions/rpr_1", note=EVIL, at=run.facts.started_at)
    act = Link("Make it again", f"/runs/{run.facts.id}/reproduce")
    return (RunCard(id="reproductions", title="Made again", note="", live=f"run:{run.facts.id}", events=(event,), act=act),)


@contextlib.contextmanager
def browsing(database: Database, blobs: Blobs) -> Iterator[Client]:
    """The browser, while the block runs."""
    database.write(service.ensure_default)
    with ThreadPoolExecutor(2) as pool:
        contributors = RunContributors(functions=(told,))
        resources = Resources(database=database, values={Blobs: blobs, RunContributors: contributors}, pool=pool)
        shell = Shell(clock=database.clock, version="0", pages=PAGES, viewer=lambda _: None, csrf=lambda _: CSRF)
        site = Site(
            shell=shell,
            templates=templates(load_assets(), PAGES),
            resources=resources,
            injectable=INJECTABLE,
            request_values=whose,
        )
        handlers = [operation_handler(bind(item, INJECTABLE), resources, whose) for item in OPERATIONS]
        with TestClient(Litestar([*handlers, *page_routes(site, PAGES, ACTIONS)], exception_handlers={Exception: answered})) as opened:
            yield opened


def page(client: Client, path: str) -> str:
    """What a page shows; never with markup of a user's."""
    answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text
    return answer.text


def twin(client: Client, path: str) -> Any:
    """The page's JSON twin."""
    return client.get(path, headers={"accept": "application/json"}).json()

"""A site of invented pages that shows every part of the shell with realistic figures. `python -m tests.web` serves it."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import FileSystemLoader
from litestar import Litestar, Request
from litestar.types import ASGIApp

from modelyard.core.clock import Clock, FixedClock, Instant
from modelyard.core.errors import Conflict, NotFound
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.web.assets import asset_route, load_assets
from modelyard.web.binding import Resources
from modelyard.web.charts import Chart
from modelyard.web.frame import Shell, Viewer
from modelyard.web.headers import secured
from modelyard.web.lanes import Lanes
from modelyard.web.live import Change as Changed
from modelyard.web.live import Feed, Hub, live_route
from modelyard.web.openapi import document
from modelyard.web.operations import bind, operation
from modelyard.web.pages import Done, Nav, Page, action, page
from modelyard.web.parts import (
    Change,
    Chip,
    Choice,
    FirstPasswordPage,
    Hit,
    HitGroup,
    Link,
    LoginPage,
    Moment,
    Pager,
    SearchPage,
    Step,
)
from modelyard.web.reference import reference_page
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, fault_handler, page_routes
from tests.web import gallery_data as data

TEMPLATES = Path(__file__).parent / "gallery_templates"
TOKEN = "token-of-the-gallery"


class Portfolio(msgspec.Struct, frozen=True, kw_only=True):
    """All models on one page."""

    rows: tuple[data.Row, ...]
    chips: tuple[Chip, ...]
    pager: Pager
    sort: str


class ModelPage(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    name: str
    crumbs: tuple[Link, ...]
    performance: Chart
    steps: tuple[Step, ...]
    moments: tuple[Moment, ...]
    live_at: Instant
    digest: str


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """One of every part."""

    crumbs: tuple[Link, ...]
    charts: tuple[Chart, ...]
    lineage: Lanes
    steps: tuple[Step, ...]
    failed: tuple[Step, ...]
    moments: tuple[Moment, ...]
    changes: tuple[Change, ...]
    choices: tuple[Choice, ...]
    digest: str
    code: str
    named: str


class Empty(msgspec.Struct, frozen=True, kw_only=True):
    """A room with nothing in it yet."""


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A region that follows events."""

    value: int


class Renamed(msgspec.Struct, frozen=True, kw_only=True):
    """A model under a new name."""

    model: str
    versions: tuple[int, ...]
    why: str | None = None


class State:
    """What the gallery's actions change, and the changes that they announce."""

    def __init__(self) -> None:
        self.changes: list[Changed] = []
        self.feed_calls = 0

    def bump(self, topic: str) -> None:
        """Announces that `topic` changed."""
        self.changes.append(Changed(len(self.changes) + 1, topic))

    def after(self, position: int, limit: int) -> list[Changed]:
        """The changes after `position`."""
        self.feed_calls += 1
        return self.changes[position : position + limit]


def show_portfolio(snapshot: Snapshot, sort: str = "state") -> Portfolio:
    """Shows the portfolio."""
    return Portfolio(rows=data.rows(), chips=data.CHIPS, pager=data.PAGER, sort=sort)


def show_model(snapshot: Snapshot, model: str) -> ModelPage:
    """Shows one model."""
    if model.startswith("no_"):
        raise NotFound(f"no model {model}", hint="yard status lists the models")
    return ModelPage(
        name=model, crumbs=data.CRUMBS[:1], performance=data.performance(), steps=data.STEPS, moments=data.MOMENTS,
        live_at=data.before(12), digest=data.DIGEST,
    )  # fmt: skip


def show_parts(named: str = "late_arrival") -> Parts:
    """Shows one of every part."""
    charts = (data.loss(), data.drift(), data.shift(), data.trade())
    return Parts(
        crumbs=data.CRUMBS, charts=charts, lineage=data.LINEAGE,
        steps=data.STEPS, failed=data.FAILED, moments=data.MOMENTS, changes=data.CHANGES,
        choices=data.CHOICES, digest=data.DIGEST, code=data.CODE, named=named,
    )  # fmt: skip


def show_empty() -> Empty:
    """Shows a room with nothing in it."""
    return Empty()


def show_counter(state: State) -> Counter:
    """Shows a number that actions raise."""
    return Counter(value=len(state.changes))


def raise_counter(tx: Transaction, state: State, why: str) -> Done:
    """Raises the number."""
    if why == "refuse":
        raise Conflict("the counter is full", hint="start again")
    state.bump("counter:one/value")
    return Done("/counter", f"Raised, because {why}")


def search(q: str = "") -> SearchPage:
    """Finds models by name."""
    hits = tuple(
        Hit(title=row.name, href=f"/models/{row.name}", detail=f"{row.owner}, v{row.version}") for row in data.rows() if q in row.name
    )
    return SearchPage(q=q, groups=(HitGroup(label="Models", hits=hits if q else ()),))


def log_in() -> LoginPage:
    """Shows the login page."""
    return LoginPage(
        error="Name or password is wrong.", next="/", hint="No account yet? An administrator runs yard invite NAME.", name="ada"
    )


def welcome() -> FirstPasswordPage:
    """Shows the first-password page."""
    return FirstPasswordPage(name="admin", token="one-time")


def rename_model(tx: Transaction, model: str, to: str, why: str | None = None) -> Renamed:
    """The model under its new name.

    Its versions keep their numbers. Raises NotFound.
    """
    return Renamed(model=to, versions=(1, 2), why=why)


def list_models(snapshot: Snapshot, owner: str, limit: int = 50) -> list[Renamed]:
    """The models of an `owner`, by name."""
    return [Renamed(model="late_arrival", versions=(1,))][:limit]


OPERATIONS = (
    operation("POST", "/models/{model}/rename", rename_model),
    operation("GET", "/models", list_models),
)
INTERFACE = document([bind(item, frozenset()) for item in OPERATIONS], "0.1.0")
PAGES = (
    reference_page(INTERFACE),
    page("/", show_portfolio, "gallery/portfolio.html", nav=Nav("", "Portfolio", 10)),
    page("/questions", show_empty, "gallery/empty.html", nav=Nav("", "Questions", 20)),
    page("/approvals", show_empty, "gallery/empty.html", nav=Nav("", "Approvals", 30)),
    page("/features", show_empty, "gallery/empty.html", nav=Nav("Build", "Features", 10)),
    page("/experiments", show_empty, "gallery/empty.html", nav=Nav("Build", "Experiments", 20)),
    page("/models", show_portfolio, "gallery/portfolio.html", nav=Nav("Build", "Models", 30)),
    page("/models/{model}", show_model, "gallery/model.html"),
    page("/parts", show_parts, "gallery/parts.html", nav=Nav("Run", "Parts", 10)),
    page("/counter", show_counter, "gallery/counter.html", nav=Nav("Run", "Counter", 20)),
    page("/governance", show_empty, "gallery/empty.html", nav=Nav("Prove", "Governance", 10)),
    page("/ledger", show_empty, "gallery/empty.html", nav=Nav("Prove", "Ledger", 20)),
    page("/search", search, "web/search.html", title="Search"),
    page("/login", log_in, "web/login.html"),
    page("/welcome", welcome, "web/first_password.html"),
)
ACTIONS = (action("/counter/raise", raise_counter),)


class Gallery(msgspec.Struct, frozen=True, kw_only=True):
    """The application, and the stream of events that must end before the server can."""

    app: ASGIApp
    hub: Hub


def gallery(folder: Path, state: State | None = None, pages: tuple[Page, ...] = PAGES) -> Gallery:
    """The gallery; its empty database lies in `folder`."""
    state = state or State()
    clock = FixedClock(data.NOW)
    hub = Hub(Feed(latest=lambda: len(state.changes), after=state.after), poll_s=0.02)
    assets = load_assets()
    shell = Shell(
        clock=clock, version="0.1.0", pages=pages, place="production", counts=_counts, position=hub.position,
        viewer=lambda request: Viewer(name="Ada Byron", detail="Ops analytics, approver", links=(Link("Tokens", "/tokens"),)),
        csrf=lambda request: TOKEN,
    )  # fmt: skip
    database = Database.open(f"sqlite:///{folder / 'gallery.db'}", clock)
    pool = ThreadPoolExecutor(2)
    resources = Resources(database=database, values={State: state, Clock: clock}, pool=pool)
    site = Site(
        shell=shell, templates=templates(assets, pages, {"gallery": FileSystemLoader(TEMPLATES)}), resources=resources,
        injectable=frozenset({State, Clock}), request_values=lambda request: {},
    )  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        await hub.start()
        yield
        await hub.close()
        pool.shutdown()
        database.close()

    handlers = [*page_routes(site, pages, ACTIONS), asset_route(assets), live_route(hub, lambda _: None)]
    app = Litestar(
        handlers, exception_handlers={Exception: fault_handler(shell, site.templates)}, lifespan=[running],
        openapi_config=None, logging_config=None,
    )  # fmt: skip
    return Gallery(app=secured(app), hub=hub)


def _counts(request: Request[Any, Any, Any]) -> Mapping[str, int]:
    return {"/approvals": 2}

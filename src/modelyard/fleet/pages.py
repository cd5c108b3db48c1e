"""Fleet's pages: the portfolio, the six questions, a trace, the search. Owns their contexts."""

from typing import Literal

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.settings import Settings
from modelyard.delivery.domain import DeliveryState
from modelyard.fleet import service
from modelyard.fleet.domain import Portfolio, Questions, Row, Tone, Trace
from modelyard.fleet.rules import needs_a_look
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.tables import Tables
from modelyard.web.pages import Nav, Page, page
from modelyard.web.parts import Chip, Hit, HitGroup, SearchPage
from modelyard.web.words import plural

STATES: dict[DeliveryState, tuple[Tone, str]] = {
    DeliveryState.RUNNING: ("busy", "under way"),
    DeliveryState.DONE: ("good", "done"),
    DeliveryState.REFUSED: ("warn", "refused"),
    DeliveryState.ROLLED_BACK: ("bad", "rolled back"),
    DeliveryState.FAILED: ("bad", "failed"),
    DeliveryState.CANCELLED: ("idle", "cancelled"),
}


class PortfolioPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `fleet/portfolio.html`. `rows` are those that the filter in force shows; `answered` sums all of them."""

    portfolio: Portfolio
    rows: tuple[Row, ...]
    chips: tuple[Chip, ...]
    answered: int
    sentence: str
    states: dict[DeliveryState, tuple[Tone, str]]


class TracePage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `fleet/trace.html`."""

    trace: Trace


def show_portfolio(snapshot: Snapshot, principal: Principal, show: Literal["", "look", "high"] = "") -> PortfolioPage:
    """Every model with what is live, how it does, and what waits for whom."""
    found = service.get_portfolio(snapshot, principal)
    kept = {"": found.rows, "look": tuple(filter(needs_a_look, found.rows)), "high": tuple(row for row in found.rows if row.risk == "high")}
    words = (("", "All"), ("look", "Needs a look"), ("high", "High risk"))
    return PortfolioPage(
        portfolio=found,
        rows=kept[show],
        chips=tuple(Chip(word, f"/?show={name}" if name else "/", count=len(kept[name]), is_on=name == show) for name, word in words),
        answered=sum(row.answered or 0 for row in found.rows),
        sentence=_said(found),
        states=STATES,
    )


def _said(found: Portfolio) -> str:
    ill = [row for row in found.rows if needs_a_look(row)]
    if not found.rows:
        return "No model is registered yet."
    if not ill:
        return "Nothing needs a look."
    first = f"{ill[0].model}: {ill[0].next[:1].lower()}{ill[0].next[1:]}"
    return f"{len(ill)} of {plural(len(found.rows), 'model')} {'needs' if len(ill) == 1 else 'need'} a look. First {first}."


class QuestionsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `fleet/questions.html`."""

    questions: Questions


def show_questions(snapshot: Snapshot, principal: Principal, blobs: Blobs, tables: Tables, settings: Settings) -> QuestionsPage:
    """The six questions, answered now."""
    return QuestionsPage(questions=service.get_questions(snapshot, principal, blobs, tables, settings))


def show_trace(  # noqa: PLR0913 - all but one are injected
    snapshot: Snapshot,
    principal: Principal,
    blobs: Blobs,
    tables: Tables,
    settings: Settings,
    id: str,  # noqa: A002 - the path's word
) -> TracePage:
    """Everything upstream and downstream of an id. Raises NothingToTrace."""
    return TracePage(trace=service.get_trace(snapshot, principal, blobs, tables, settings, id))


def show_version_trace(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> TracePage:
    """The same for a version, whose id has two parts."""
    return TracePage(trace=service.trace_version(snapshot, principal, model, version))


def show_search(  # noqa: PLR0913 - all but one are injected
    snapshot: Snapshot, principal: Principal, blobs: Blobs, tables: Tables, settings: Settings, q: str = ""
) -> SearchPage:
    """What has that name or id, by kind."""
    groups: dict[str, list[Hit]] = {}
    for one in service.search(snapshot, principal, blobs, tables, settings, q):
        groups.setdefault(one.kind, []).append(Hit(title=one.title, href=one.href, detail=one.detail))
    return SearchPage(q=q.strip(), groups=tuple(HitGroup(label=kind, hits=tuple(hits)) for kind, hits in groups.items()))


PAGES: tuple[Page, ...] = (
    page("/search", show_search, "web/search.html", title="Search"),
    page("/", show_portfolio, "fleet/portfolio.html", nav=Nav("", "Portfolio", 0)),
    page("/questions", show_questions, "fleet/questions.html", nav=Nav("", "Questions", 10)),
    page("/trace/{id}", show_trace, "fleet/trace.html", title="Trace"),
    page("/trace/{model}/{version}", show_version_trace, "fleet/trace.html", title="Trace"),
)

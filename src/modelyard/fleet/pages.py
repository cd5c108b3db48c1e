"""Fleet's pages: the six questions, a trace. Owns their contexts."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.settings import Settings
from modelyard.fleet import service
from modelyard.fleet.domain import Questions, Trace
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.tables import Tables
from modelyard.web.pages import Nav, Page, page


class TracePage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `fleet/trace.html`."""

    trace: Trace


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


PAGES: tuple[Page, ...] = (
    page("/questions", show_questions, "fleet/questions.html", nav=Nav("", "Questions", 10)),
    page("/trace/{id}", show_trace, "fleet/trace.html", title="Trace"),
    page("/trace/{model}/{version}", show_version_trace, "fleet/trace.html", title="Trace"),
)

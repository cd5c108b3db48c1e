"""The list of experiments: found by a word in the name or by a filter, several of them shown together."""

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import Asked, Experiment, FilterInvalid, TokenInvalid
from modelyard.tracking.pages.looks import address
from modelyard.tracking.rules.table import query_text
from modelyard.web.parts import Pager

EXPERIMENTS_A_PAGE = 50
SORTS = {"name": "name", "made": "creation_time", "changed": "last_update_time"}


class ExperimentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment, how many active runs it has, and when the latest started."""

    experiment: Experiment
    runs: int
    latest_at: Instant | None


class ExperimentsPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/experiments.html`. `error` says why the filter was not understood."""

    rows: tuple[ExperimentRow, ...]
    q: str
    filter: str
    sort: str
    kept: str
    error: str
    hint: str
    pager: Pager


def show_experiments(  # noqa: PLR0913 - two are injected
    snapshot: Snapshot,
    principal: Principal,
    q: str = "",
    filter: str = "",  # noqa: A002 - the query parameter's word
    sort: str = "",
    page: str = "",
) -> ExperimentsPage:
    """The experiments that the viewer may see, the newest first: those with a word in their name, those that a filter finds."""
    error, hint, found = "", "", service.ExperimentPage(experiments=())
    key = SORTS.get(sort.removeprefix("-"), "")
    order = (f"{key} {'DESC' if sort.startswith('-') else 'ASC'}",) if key else ()
    try:
        asked = Asked(filter=named(q, filter), order_by=order, limit=EXPERIMENTS_A_PAGE, page=page)
        found = service.search_experiments(snapshot, principal, asked)
    except (FilterInvalid, TokenInvalid) as refused:
        error, hint = refused.message, refused.hint
    counts = service.count_runs(snapshot, found.experiments)
    rows = [
        ExperimentRow(experiment=one, runs=runs, latest_at=latest)
        for one in found.experiments
        for runs, latest in (counts.get(one.id, (0, None)),)
    ]
    kept = query_text(q=q, filter=filter)
    sorted_too = query_text(q=q, filter=filter, sort=sort)
    pager = Pager(
        said=f"{len(rows)} experiment{'' if len(rows) == 1 else 's'} on this page",
        first=address("/experiments", sorted_too) if page else None,
        next=address("/experiments", sorted_too, page=found.next) if found.next else None,
    )
    return ExperimentsPage(rows=tuple(rows), q=q, filter=filter, sort=sort, kept=kept, error=error, hint=hint, pager=pager)


def named(q: str, text: str) -> str:
    """A filter for a word in the name, and for what another filter says.

    >>> named("late", "tags.stage = 'idea'")
    "name ILIKE '%late%' AND tags.stage = 'idea'"
    """
    quote = '"' if "'" in q else "'"
    parts = [f"name ILIKE {quote}%{q.replace(quote, '_').rstrip(chr(92))}%{quote}"] if q.strip() else []
    return " AND ".join([*parts, *([text] if text.strip() else [])])

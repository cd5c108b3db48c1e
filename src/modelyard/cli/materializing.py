"""`yard features materialize`: what has become available is brought online, and on demand what a range of events comes to, anew."""

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, print_json, print_table, when
from modelyard.core.clock import Instant, instant
from modelyard.core.errors import InvalidInput
from modelyard.features.domain import Backfill, Materialization, NewBackfill


def materialize(
    *views: Annotated[str, Parameter(name="VIEW")],
    since: Annotated[datetime | None, Parameter(help="Writes entities with an event from then on anew, whatever is online; UTC.")] = None,
    until: Annotated[datetime | None, Parameter(help="Events before then, as --since says; now, unless given.")] = None,
    json: Json = False,
) -> int:
    """Brings views online up to now: all views, unless some are named. The worker does so by itself, each as often as its view promises.

    With --since, the named views' values of all entities with an event in the range are written anew, whatever the store holds of them.

    Example: yard features materialize weather --since 2026-11-01
    """
    if since is None and until is not None:
        raise InvalidInput("--until ends a range that --since begins", hint="give --since too, or leave --until out")
    if since is not None and not views:
        raise InvalidInput("no view is named whose events are to be brought anew", hint="yard features materialize VIEW --since TIME")
    with connected() as client:
        if since is None:
            brought = client.materialize_features(views=list(views) or None)
            _print_brought(brought, json=json)
        else:
            end = None if until is None else _instant(until)
            wanted = NewBackfill(since=_instant(since), until=end)
            done = [item for view in views for item in client.backfill_features(view, wanted)]
            _print_filled(done, json=json)
    return 0


def _instant(moment: datetime) -> Instant:
    return instant(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))


def _print_brought(brought: list[Materialization], *, json: bool) -> None:
    if json:
        print_json(brought)
        return
    rows = [(one.view, when(one.upto_at), when(one.newest_event_at), f"{one.rows:,}", f"{one.entities:,}") for one in brought]
    print_table("", ("view", "online up to", "newest event", "rows#", "entities#"), rows)


def _print_filled(done: list[Backfill], *, json: bool) -> None:
    if json:
        print_json(done)
        return
    rows = [(one.view, when(one.since), when(one.until), f"{one.rows:,}", f"{one.entities:,}") for one in done]
    print_table("", ("view", "events since", "until", "rows#", "entities anew#"), rows)

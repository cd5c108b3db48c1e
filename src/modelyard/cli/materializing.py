"""`yard features materialize`: what has become available is brought online, and on demand what a range of events comes to, anew."""

from datetime import UTC, datetime
from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, plain, print_json, print_table, when
from modelyard.core.clock import Instant, instant
from modelyard.core.errors import InvalidInput
from modelyard.features.domain import Backfill, Materialization, NewBackfill

LONGEST = 40


def materialize(
    *views: Annotated[str, Parameter(name="VIEW")],
    upto: Annotated[str, Parameter(help="Up to that instant, such as 2026-01-31T06:00Z; now, unless given.")] = "",
    since: Annotated[str, Parameter(help="Writes entities with an event from then on anew, whatever is online.")] = "",
    until: Annotated[str, Parameter(help="With --since, the events before then; those until now, unless given.")] = "",
    json: Json = False,
) -> int:
    """Brings online what the sources of views made available: of those named, or of all that are yours. It may be called again at any time.

    The worker does it by itself, as often as each view's turn comes; where it cannot, this says what keeps it. With --since, the named
    views' values of all entities with an event in that range are written anew, whatever the store holds of them.

    Example: yard features materialize weather
    """
    if not since:
        if until:
            raise InvalidInput("--until ends a range that --since begins", hint="give --since too, or leave --until out")
        with connected() as client:
            brought = client.materialize_features(views=list(views) or None, upto_at=_instant(upto) if upto else None)
        _print_brought(brought, json=json)
        return 0
    if upto or not views:
        words = "no view is named whose events are to be brought anew" if not views else "--since brings a range anew, --upto what is new"
        raise InvalidInput(words, hint="yard features materialize VIEW --since TIME")
    wanted = NewBackfill(since=_instant(since), until=_instant(until) if until else None)
    with connected() as client:
        done = [item for view in views for item in client.backfill_features(view, wanted)]
    _print_filled(done, json=json)
    return 0


def _instant(text: str) -> Instant:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text[:LONGEST]!r} is no instant", hint="write it as 2026-01-31T06:00Z") from error
    return instant(found if found.tzinfo else found.replace(tzinfo=UTC))


def _print_brought(brought: list[Materialization], *, json: bool) -> None:
    if json:
        print_json(brought)
        return
    rows = [(plain(one.view), f"{one.rows:,}", f"{one.entities:,}", when(one.newest_event_at), when(one.upto_at)) for one in brought]
    print_table("", ("view", "rows#", "entities#", "newest event!", "online up to!"), rows)


def _print_filled(done: list[Backfill], *, json: bool) -> None:
    if json:
        print_json(done)
        return
    rows = [(plain(one.view), f"{one.rows:,}", f"{one.entities:,}", when(one.since), when(one.until)) for one in done]
    print_table("", ("view", "rows in it#", "entities anew#", "events since!", "before!"), rows)

"""`yard features list` and `show`: which views there are, how one stands and what reads it."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, ago, console, plain, print_json, print_table
from modelyard.core.clock import SECOND, Instant, wall_now
from modelyard.features.domain import AppliedView, FeatureConsumer, Materialization, ViewFreshness, ViewReader, ViewSummary
from modelyard.features.standing import Trouble, reader_rows, troubles_of
from modelyard.web.words import plural, span


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard features show --json` prints: the server's own types, and what is wrong with the view."""

    applied: AppliedView
    freshness: ViewFreshness
    troubles: tuple[Trouble, ...]
    versions: list[AppliedView]
    materializations: list[Materialization]
    readers: list[ViewReader]
    consumers: list[FeatureConsumer]


def list_(
    *words: Annotated[str, Parameter(name="WORD")],
    stale: Annotated[bool, Parameter(negative="", show_default=False, help="Only those that break their promise.")] = False,
    json: Json = False,
) -> int:
    """The feature views of your teams, stale ones first: all, or those whose definition holds every WORD.

    Example: yard features list spend customer
    """
    with connected() as client:
        found = [one for one in client.list_feature_views() if _holds(one, words) and (one.freshness.is_stale or not stale)]
    found.sort(key=lambda one: (one.freshness.is_stale and -1 - one.consumers, one.applied.view.name))
    if json:
        print_json(found)
    elif found:
        print_table("", ("view!", "state!", "newest#", "promised#", "read by#", "entity", "owner"), map(_line, found))
    else:
        console().print("no view fits" if words or stale else "no view yet: declare one in a model's file, then yard apply")
    return 0


def _holds(one: ViewSummary, words: Sequence[str]) -> bool:
    text = f"{msgspec.json.encode(one.applied).decode()} {' '.join(one.applied.view.names)}".lower()
    return all(word.lower() in text for word in words)


def _line(one: ViewSummary) -> tuple[str, ...]:
    view, fresh = one.applied.view, one.freshness
    return (
        f"[bold]{plain(view.name)}[/] v{one.applied.number}",
        _state(fresh),
        "none yet" if fresh.lag_s is None else span(fresh.lag_s),
        "" if fresh.promised_s is None else span(fresh.promised_s),
        f"{one.consumers}",
        plain(view.entity.name),
        plain(view.owner),
    )


def _state(fresh: ViewFreshness) -> str:
    if fresh.is_stale:
        return "[red]stale[/]"
    if fresh.upto_at is None:
        return "[dim]not online[/]"
    return "[green]fresh[/]" if fresh.promised_s is not None else "[dim]no promise[/]"


def show(view: Annotated[str, Parameter(name="VIEW")], /, *, json: Json = False) -> int:
    """A view: how fresh it is against its promise and why not, what reads which version of it, and the line that reads each feature.

    Example: yard features show weather
    """
    with connected() as client:
        applied, freshness = client.get_feature_view(view), client.get_feature_view_freshness(view)
        versions, readers = client.list_feature_view_versions(view), client.list_feature_view_readers(view)
        consumers, brought = client.list_feature_view_consumers(view), client.list_feature_materializations(view=view)
    now = _now(freshness)
    shown = Shown(
        applied=applied,
        freshness=freshness,
        troubles=troubles_of(applied, versions, {one.digest: one for one in brought}, readers, now),
        versions=versions,
        materializations=brought,
        readers=readers,
        consumers=consumers,
    )
    if json:
        print_json(shown)
    else:
        _print(shown, now)
    return 0


def _now(freshness: ViewFreshness) -> Instant:
    """The server's time, which in a replay is not this machine's."""
    if freshness.newest_event_at is None or freshness.lag_s is None:
        return wall_now()
    return Instant(freshness.newest_event_at + round(freshness.lag_s * SECOND))


def _print(shown: Shown, now: Instant) -> None:
    view, fresh, out = shown.applied.view, shown.freshness, console()
    personal = [*(key.name for key in view.entity.keys if view.entity.personal), *view.personal_names]
    newest = "nothing came yet" if fresh.newest_event_at is None else f"newest event {ago(fresh.newest_event_at, now)}"
    promised = "nothing promised" if fresh.promised_s is None else f"promised within {span(fresh.promised_s)}"
    upto = "never brought online" if fresh.upto_at is None else f"brought online {ago(fresh.upto_at, now)}"
    out.print(
        f"[bold]{plain(view.name)}[/] v{shown.applied.number}, {_state(fresh)}: {newest}, {promised}; {upto}, every {span(fresh.every_s)}"
    )
    if view.description:
        out.print(plain(view.description))
    out.print(f"[dim]{plural(len(view.names), 'feature')} of {plain(view.entity.name)}, {view.source.kind} {plain(view.source.place)}[/]")
    if personal:
        out.print(f"[yellow]personal data: {plain(', '.join(personal))}[/]")
    for one in shown.troubles:
        out.print(f"[red]stale[/] {plain(one.text)}\n      Next: {plain(one.next)}")
    variable = view.name
    print_table(
        "", ("feature", "type", "reads it"), [(plain(one.name), str(one.dtype), plain(f'{variable}["{one.name}"]')) for one in view.columns]
    )
    rows = reader_rows(shown.applied, shown.versions, shown.readers, shown.consumers)
    read = [(plain(one.name), one.does, "" if one.number is None else f"v{one.number}", plain(one.set)) for one in rows]
    if read:
        print_table("", ("read by", "now", "version", "feature set"), read)

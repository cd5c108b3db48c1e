"""`yard why` and `yard silence`: what an alert is about, and that it is known."""

from collections.abc import Iterator
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, when
from modelyard.core.names import listed
from modelyard.monitoring.domain.alerts import Alert, AlertId, Why


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What `yard why --json` prints."""

    alert: Alert
    why: Why


def why(alert: str, /, *, json: Json = False) -> int:
    """What changed before an alert, ranked, and whether a rollback would help.

    Example: yard why alt_01jd3
    """
    with connected() as client:
        found = Explained(alert=client.get_alert(AlertId(alert)), why=client.why_alert(AlertId(alert)))
    if json:
        print_json(found)
        return 0
    one = found.alert
    ended = "" if one.closed_at is None else f", over since {when(one.closed_at)} ({plain(one.closed_why)})"
    console().print(f"[bold]{plain(one.title)}[/]")
    console().print(f"{one.kind.value} since {when(one.since_at)}, found {when(one.opened_at)} UTC{ended}", style="dim")
    if found.why.suspects:
        rows = [(f"{item.score:.2f}", item.kind, plain(item.subject), plain(item.why), when(item.at)) for item in found.why.suspects]
        print_table("\nSuspects", ("speaks for it#", "kind", "what", "why", "at"), rows)
    else:
        console().print("\nNothing on record speaks for a cause.", style="dim")
    for line in _conclusion(found):
        console().print(line)
    return 0


def silence(
    alert: str,
    /,
    *,
    duration: Annotated[str, Parameter(name="--for", help="How long, such as 2h or 1d.")],
    why: Annotated[str, Parameter(help="The reason; it is recorded.")],
    json: Json = False,
) -> int:
    """Has an alert not told again for a while. It stays open, and the reason is on record.

    Example: yard silence alt_01jd3 --for 2h --why "the upstream feed is being repaired"
    """
    with connected() as client:
        silenced = client.silence_alert(AlertId(alert), duration, why)
    if json:
        print_json(silenced)
    elif silenced.silence is not None:
        console().print(f"{plain(silenced.title)}: silent until {when(silenced.silence.until_at)} UTC")
    return 0


def _conclusion(found: Explained) -> Iterator[str]:
    """What follows: which view is stale for whom, whether a rollback would help, and what to do next."""
    why = found.why
    if why.stale:
        read = f", which {plain(listed(why.readers))} read{'s' if len(why.readers) == 1 else ''}" if why.readers else ""
        yield f"\n[yellow]{plain(why.stale)} is stale[/]{read}."
    said = {
        True: "[green]A rollback would help[/]",
        False: "[red]A rollback would not help[/]",
        None: "Whether a rollback would help is not known",
    }
    yield f"\n{said[why.rollback.helps]}: {plain(why.rollback.why)}"
    if why.next:
        yield f"[bold]Next:[/] {plain(why.next)}"

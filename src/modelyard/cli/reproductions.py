"""`yard reproduce`: has a version or run made again from its records, follows it live, and ends with what was found."""

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell
from modelyard.cli.versions import numbered, parted
from modelyard.core.errors import EXIT_CODE, Kind
from modelyard.delivery.domain import (
    SAME,
    Comparison,
    NewReproduction,
    Reproduction,
    ReproductionState,
    SnapshotVerdict,
    Swaps,
    Verdict,
)
from modelyard.delivery.sources import project_folder, source_archive, source_folder
from modelyard.sdk.client import Client
from modelyard.tracking.domain import RunId

FOLLOW_S = 0.25
STEPS = ("records", "environment", "data", "train", "compare")
COLOURS = {Verdict.IDENTICAL: "green", Verdict.EQUAL_WITHIN_TOLERANCE: "green", Verdict.DIFFERENT: "red", Verdict.FAILED: "red"}
SNAPSHOTS = {
    SnapshotVerdict.REBUILT: "rebuilt from the sources, identical",
    SnapshotVerdict.CHANGED: "a source has changed, so what was recorded was learned from",
    SnapshotVerdict.GONE: "a source is gone, so what was recorded was learned from",
}
WIDEST = 22
"""With it, a table with the longest of our own names fits into 80 columns."""
RUN = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Swap:
    """What to take otherwise than recorded."""

    with_current_data: Annotated[bool, Parameter(negative=(), help="Take the rows that the sources give now.")] = False
    with_current_source: Annotated[bool, Parameter(negative=(), help="Take the code and lock of the project in this folder.")] = False
    with_: Annotated[
        tuple[str, ...], Parameter(name="--with", negative=(), help="Take a locked package in another version: NAME==VERSION, repeatable.")
    ] = ()


NO_SWAP = Swap()


def reproduce(
    what: Annotated[str, Parameter(help="MODEL/VERSION, the version by its number or an alias; or a run by its id.")],
    /,
    *,
    swap: Annotated[Swap, Parameter(name="*")] = NO_SWAP,
    follow: Annotated[bool, Parameter(help="--no-follow starts it and returns.", show_default=False)] = True,
    key: Annotated[str, Parameter(help="An idempotency key: the same key again follows the same reproduction.")] = "",
    json: Json = False,
) -> int:
    """Makes a version or run again from its records in a fresh environment, compares, and records what was found.

    Ends with 0 where it is identical, or equal within the tolerance; 3 where it is different; 1 where it failed. With data, source or
    a package of today it shows what that changes, and says nothing of the original. Ctrl-C stops watching, not the work.

    Example: yard reproduce late_arrival/3
    """
    with connected() as client:
        begun = _begun(client, what, NewReproduction(key=key, swaps=_swaps(client, what, swap)))
        found = _followed(client, begun, quiet=json) if follow else begun
    if json:
        print_json(found)
    elif found.verdict is not None:
        _tell_verdict(found)
    else:
        console().print(f"{found.id} is {found.state}; the worker takes it up")
    return _exit_code(found)


def _swaps(client: Client, what: str, swap: Swap) -> Swaps:
    source = None
    if swap.with_current_source:
        found = source_folder if RUN.fullmatch(what) else project_folder
        source = client.upload_source(source_archive(found(Path.cwd())))
    return Swaps(data=swap.with_current_data, source=source, packages=swap.with_)


def _begun(client: Client, what: str, body: NewReproduction) -> Reproduction:
    if RUN.fullmatch(what):
        return client.start_run_reproduction(RunId(what), body)
    model, name = parted(what)
    return client.start_reproduction(model, numbered(client, model, name), body)


def _followed(client: Client, begun: Reproduction, *, quiet: bool) -> Reproduction:
    if quiet or not console().is_terminal:
        return _polled(client, begun, quiet=quiet)
    found = begun
    with Live(_steps(found), console=console(), refresh_per_second=8) as live:
        while found.state is not ReproductionState.ENDED:
            time.sleep(FOLLOW_S)
            found = client.get_reproduction(begun.id)
            live.update(_steps(found))
    return found


def _polled(client: Client, begun: Reproduction, *, quiet: bool) -> Reproduction:
    found, told = begun, 0
    while True:
        for step in found.steps[told:] if not quiet else ():
            sys.stdout.write(f"{step.name:<13}{step.took_s:.1f} s  {step.said}\n")
        told = len(found.steps)
        if found.state is ReproductionState.ENDED:
            return found
        time.sleep(FOLLOW_S)
        found = client.get_reproduction(begun.id)


def _steps(found: Reproduction) -> Table:
    title = f"{found.name}  {found.id}"
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), show_header=False)
    done = {step.name: step for step in found.steps}
    for name in STEPS:
        if name in done:
            table.add_row(name, "[green]done[/]", f"{done[name].took_s:.1f} s", plain(done[name].said))
        else:
            table.add_row(name, "[blue]running[/]" if name == found.doing else "[dim]pending[/]", "", "")
    return table


def _tell_verdict(found: Reproduction) -> None:
    if found.comparisons:
        print_table("Compared", ("what", "equal", "recorded!", "rebuilt!"), map(_row, found.comparisons))
    for line in (_sentence(found), *_causes(found), *_remarks(found)):
        console().print(line)
    tell(f"recorded as {found.id}")


def _causes(found: Reproduction) -> Iterator[str]:
    """What was not as recorded, and whether that may be why something else came out."""
    for one in found.differences:
        if found.verdict in SAME:
            yield f"It makes no difference that not as recorded is {one.ingredient}: {plain(one.said)}."
        else:
            yield f"{'Cause' if len(found.differences) == 1 else 'Possible cause'}: {one.ingredient}, {plain(one.said)}."


def _remarks(found: Reproduction) -> Iterator[str]:
    """What is to be known of the data, and of what was asked to be taken otherwise."""
    if found.snapshot is not None and not found.swaps.data:
        yield f"Training data: {SNAPSHOTS[found.snapshot]}."
    if found.snapshot is SnapshotVerdict.CHANGED and found.is_whole:
        what = found.run if found.version is None else f"{found.model}/{found.version}"
        yield f"What that changes: yard reproduce {what} --with-current-data"
    if found.verdict is Verdict.IDENTICAL and not found.is_whole and not found.differences:
        yield "What was to be taken otherwise is as it was recorded."
    elif not found.is_whole:
        yield "Something was taken otherwise than recorded: this says nothing of whether the original can be made again."


def _sentence(found: Reproduction) -> str:
    """The verdict, how long it took, and what it rests on; the causes of a difference stand apart."""
    assert found.verdict is not None  # it has ended
    word, took = found.verdict.replace("_", " "), f", {found.duration_s:.1f} s" if found.duration_s is not None else ""
    coloured = f"[{COLOURS[found.verdict]}]{word}[/]"
    match found.verdict:
        case Verdict.FAILED:
            return f"{found.name} {coloured}{took}: {plain(found.reason)}"
        case Verdict.DIFFERENT:
            other = [one for one in found.comparisons if one.decides and not one.is_equal]
            said = (f"{one.what} ({one.note})" if one.note and one.difference is not None else one.what for one in other)
            return f"{found.name} is {coloured}{took}: {plain(', '.join(said))} came out otherwise"
        case Verdict.EQUAL_WITHIN_TOLERANCE:
            return f"{found.name} is {coloured} ({found.tolerance:g}){took}: {plain(found.reason)}"
        case Verdict.IDENTICAL:
            return f"{found.name} is {coloured}{took}: {plain(found.reason)}"


def _row(one: Comparison) -> tuple[str, ...]:
    return plain(one.what), "[green]yes[/]" if one.is_equal else "[red]no[/]", _short(one.recorded), _short(one.rebuilt)


def _short(text: str) -> str:
    text = text.removeprefix("sha256:")[:12] if text.startswith("sha256:") else text
    return plain(text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…")


def _exit_code(found: Reproduction) -> int:
    if found.verdict is Verdict.DIFFERENT:
        return EXIT_CODE[Kind.REFUSED]
    return 1 if found.verdict is Verdict.FAILED else 0

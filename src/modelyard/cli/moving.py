"""`yard import mlflow` and `yard export`: moving in and out. Parses, shows progress, prints what came of it."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from modelyard.access.domain import TeamId
from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell
from modelyard.moving.accounts import Unwatched, Watch
from modelyard.moving.domain import KINDS, Asked, ImportReport, Tally
from modelyard.moving.exporting import AskedOut, Export
from modelyard.moving.importing import Import
from modelyard.moving.reached import Login
from modelyard.moving.sources import Address, opened_source, source_name
from modelyard.tracking.imports import SourceName

MOST_TOLD = 40
SHOWN = ("runs", "points", "artifacts", "versions")


def import_mlflow(  # noqa: PLR0913 - a command's options
    url: Annotated[str, Parameter(help="http(s)://SERVER, sqlite:///FILE or postgresql://USER@HOST/NAME.")],
    /,
    *,
    experiment: Annotated[tuple[str, ...], Parameter(help="Only this experiment, and versions that came out of it; may be repeated.")] = (),
    artifacts: Annotated[str, Parameter(help="The folder or server that has the files, where the database does not lie beside them.")] = "",
    no_artifacts: Annotated[bool, Parameter(negative="", help="Leave files out; versions become records without files.")] = False,
    source: Annotated[str, Parameter(name="--as", help="The name to remember the source by; its address, unless given.")] = "",
    team: Annotated[str, Parameter(help="The team that gets what is new; yours, unless given.")] = "",
    full: Annotated[bool, Parameter(negative="", help="Also compare again what was brought before.")] = False,
    dry_run: Annotated[bool, Parameter(negative="", help="Say what would come; change nothing.")] = False,
    json: Json = False,
) -> int:
    """Brings experiments, runs, metrics, artifacts, models, versions and aliases from an MLflow server or its database.

    Everything is compared with its source; ends with 1 where something does not match. Interrupted or called again it
    goes on, and brings what is new or changed. Logs in by MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and _PASSWORD.

    Example: yard import mlflow https://mlflow.example.com --dry-run
    """
    asked = Asked(
        source=SourceName(source) if source else source_name(url),
        experiments=experiment,
        team=TeamId(team) if team else None,
        has_files=not no_artifacts,
        is_full=full,
        is_dry=dry_run,
    )
    address = Address(url=url, artifacts=artifacts, login=_login())
    with connected() as client, opened_source(address) as found, _watched(quiet=json) as watch:
        report = Import(found, client, asked, watch).ran()
    if json:
        print_json(report)
    else:
        _tell_import(report)
    return 1 if report.mismatches else 0


def _login() -> Login:
    """How MLflow's own clients say who they are."""
    words = {name: os.environ.get(f"MLFLOW_TRACKING_{name.upper()}", "") for name in ("token", "username", "password")}
    return Login(token=words["token"], name=words["username"], password=words["password"])


class Shown:
    """A line of progress on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)
        self._counts = dict.fromkeys(KINDS, 0)
        self._what = "looking"

    def begins(self, what: str) -> None:
        """Shows what is being done now."""
        self._what = what
        self._show()

    def counts(self, kind: str, count: int) -> None:
        """Shows that so many more of a kind are done."""
        self._counts[kind] = self._counts.get(kind, 0) + count
        self._show()

    def _show(self) -> None:
        counts = "  ".join(f"{self._counts[kind]:,} {kind}" for kind in SHOWN if self._counts[kind])
        self._progress.update(self._task, description=f"{plain(self._what[:60])}  [dim]{counts}[/]")


@contextlib.contextmanager
def _watched(*, quiet: bool) -> Iterator[Watch]:
    shown = console(on_error=True)
    if quiet or not shown.is_terminal:
        yield Unwatched()
        return
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=shown, transient=True) as progress:
        yield Shown(progress)


def _tell_import(report: ImportReport) -> None:
    word = "would come" if report.is_dry else "brought"
    rows = [_row(kind, tally) for kind, tally in report.tallies.items() if tally != Tally()]
    print_table(f"From {plain(report.source)}", ("", "there#", f"{word}#", "unchanged#"), rows)
    if not rows:
        console().print("Nothing is there.", style="dim")
    for note in report.notes:
        console().print(f"Note: {plain(note)}.", soft_wrap=True)
    _tell_mismatches([(one.what, one.name, one.there, one.here) for one in report.mismatches])
    if not report.is_dry and not report.mismatches:
        console().print("[green]Everything that was brought is here as it is there.[/]")
    tell(f"took {report.took_s:.1f} s")


def _row(kind: str, tally: Tally) -> tuple[str, ...]:
    numbers = (tally.there, tally.brought, tally.unchanged)
    shown = [f"{number:,}" if number else "" for number in numbers]
    return kind, *shown


def _tell_mismatches(found: Sequence[tuple[str, str, str, str]]) -> None:
    if not found:
        return
    console().print()
    print_table("Not equal", ("what", "which", "there", "here"), [tuple(map(plain, one)) for one in found[:MOST_TOLD]])
    if len(found) > MOST_TOLD:
        console().print(f"and {len(found) - MOST_TOLD:,} more: --json names all of them", style="dim")
    console().print(f"[red]{len(found):,} did not match.[/] Call it again: what is not equal is brought again.")


def export(
    folder: Annotated[Path, Parameter(name="DIR", help="A folder that is not there yet.")],
    /,
    *,
    experiment: Annotated[tuple[str, ...], Parameter(help="Only this experiment; may be repeated.")] = (),
    model: Annotated[tuple[str, ...], Parameter(help="Only this registered model; may be repeated.")] = (),
    json: Json = False,
) -> int:
    """Writes everything that tracking and the registry hold into a folder, in open formats, with a manifest of digests.

    Interrupted and called again with the same words it goes on; the folder appears under its name once it is whole.

    Example: yard export everything
    """
    asked = AskedOut(place=folder, experiments=experiment, models=model)
    with connected() as client, _watched(quiet=json) as watch:
        report = Export(client, asked, watch).ran()
    if json:
        print_json(report)
        return 0
    print_table(f"In {plain(report.folder)}", ("", "written#"), [(kind, f"{count:,}") for kind, count in report.counts.items()])
    for note in report.notes:
        console().print(f"Note: {plain(note)}.", soft_wrap=True)
    console().print(f"{report.files:,} files, {report.size_bytes:,} bytes; README.md says what is what, manifest.json has every digest.")
    tell(f"took {report.took_s:.1f} s")
    return 0

"""`yard doctor`: looks at an installation and says what is wrong and what to do. Changes nothing, and makes nothing."""

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import httpx
import msgspec
import sqlalchemy as sa
from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import modelyard
from modelyard.access.rules import is_loopback
from modelyard.core.clock import SystemClock
from modelyard.core.clusters import is_installed, refusal
from modelyard.core.errors import ModelyardError
from modelyard.core.settings import FILE, Settings, read_settings
from modelyard.server.data_folder import CLI, GATEWAY, noted_addresses
from modelyard.storage.database import Database
from modelyard.storage.migrations import current_version, revisions

LEAST_FREE_BYTES = 1_000_000_000
LEAST_FREE_SHARE = 0.05
TIMEOUT_S = 2.0
PYTHON = ((3, 11), (3, 14))
COLOURS = {"good": "green", "note": "yellow", "bad": "red"}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at, what was found, and what to do where it is not good."""

    what: str
    state: Literal["good", "note", "bad"]
    found: str
    todo: str = ""


def doctor(
    *,
    data: Annotated[str | None, Parameter(help="The data folder; as the settings say, unless given.")] = None,
    json: Annotated[bool, Parameter(name="--json", negative="", show_default=False, help="One JSON document on standard output.")] = False,
) -> int:
    """Looks at the data folder, database, schema, disk, keys, addresses and versions, and says what to do. Changes nothing.

    The exit code is 1 where something is bad.

    Example: yard doctor --data .yard
    """
    findings = list(examined(data))
    console = Console(highlight=False)
    if json:
        console.file.write(msgspec.json.format(msgspec.json.encode(findings), indent=2).decode() + "\n")
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("", "what", "found"):
            table.add_column(column, overflow="fold")
        for one in findings:
            todo = f"\n[dim]{escape(one.todo)}[/]" if one.todo else ""
            table.add_row(f"[{COLOURS[one.state]}]{one.state}[/]", one.what, escape(one.found) + todo)
        console.print(table)
    return 1 if any(one.state == "bad" for one in findings) else 0


def examined(data: str | None) -> Iterator[Finding]:
    """Everything that can be looked at, in the order in which it would have to be mended."""
    yield _python()
    try:
        settings = read_settings(Path(FILE), os.environ, {} if data is None else {"data": data})
    except ModelyardError as error:
        yield Finding(what="settings", state="bad", found=error.message, todo=error.hint)
        return
    yield Finding(what="settings", state="good", found=f"{FILE if Path(FILE).exists() else 'the defaults'}, data in {settings.folder}")
    if not settings.folder.is_dir():
        yield Finding(
            what="data folder", state="bad", found=f"{settings.folder} is not there", todo=f"yard up --data {settings.folder} makes it"
        )
        return
    yield _mode("data folder", settings.folder, 0o700)
    for path in sorted((settings.folder / "keys").glob("*")):
        yield _mode(f"key {path.name}", path, 0o600)
    yield from (_missing(settings.folder / place) for place in (CLI, GATEWAY) if not (settings.folder / place).is_file())
    yield _disk(settings.folder)
    yield from _database(settings)
    server, gateway = noted_addresses(settings)
    yield _answering("server", f"{server}/readyz", "yard up, or yard server")
    yield _answering("gateway", f"{gateway}/readyz", "yard up, or yard gateway")
    if settings.worker.ray:
        yield _ray("worker.ray", settings.worker.ray, "trials train")
    if settings.features.compute == "ray":
        yield _ray("features.ray", settings.features.ray, "buckets of joins are answered")
    if not settings.login and not is_loopback(settings.server.host):
        yield Finding(what="login", state="bad", found=f"nobody is asked who they are at {settings.server.host}", todo="bind to 127.0.0.1")


def _python() -> Finding:
    least, beyond = PYTHON
    found = f"Modelyard {modelyard.__version__} on Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    version = tuple(int(part) for part in platform.python_version_tuple()[:2])
    if least <= version < beyond:
        return Finding(what="versions", state="good", found=found)
    return Finding(what="versions", state="bad", found=found, todo="use Python 3.11, 3.12 or 3.13")


def _mode(what: str, path: Path, most: int) -> Finding:
    """Whether others may read what is the owner's alone."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~most & 0o077:
        return Finding(what=what, state="bad", found=f"{path} has mode {mode:04o}: others may read it", todo=f"chmod {most:o} {path}")
    return Finding(what=what, state="good", found=f"{path}, mode {mode:04o}")


def _missing(path: Path) -> Finding:
    return Finding(what=f"key {path.name}", state="note", found=f"{path} is not there", todo="yard up makes it anew")


def _disk(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    found = f"{usage.free / 1e9:.1f} GB free of {usage.total / 1e9:.1f} GB"
    if usage.free < LEAST_FREE_BYTES or usage.free < LEAST_FREE_SHARE * usage.total:
        state: Literal["note", "bad"] = "bad" if usage.free < LEAST_FREE_BYTES else "note"
        return Finding(what="disk", state=state, found=found, todo="make room: a prediction is only answered once it is on the disk")
    return Finding(what="disk", state="good", found=found)


def _database(settings: Settings) -> Iterator[Finding]:
    shown = sa.engine.make_url(settings.database_url).render_as_string(hide_password=True)
    path = Path(settings.database_url.removeprefix("sqlite:///"))
    if settings.database_url.startswith("sqlite:") and not path.is_file():
        yield Finding(what="database", state="bad", found=f"{path} is not there", todo="yard up makes it; a backup brings the old one back")
        return
    try:
        database = Database.open(settings.database_url, SystemClock())
        try:
            with database.read() as snapshot:
                current = current_version(snapshot.connection)
                sound = _sound(snapshot.connection) if snapshot.dialect == "sqlite" else ""
        finally:
            database.close()
    except (sa.exc.SQLAlchemyError, ModelyardError) as error:
        yield Finding(
            what="database", state="bad", found=f"{shown}: {str(error).splitlines()[0]}", todo="is it started, and is the address right?"
        )
        return
    bad = Finding(what="database", state="bad", found=f"{shown}: {sound}", todo="stop Modelyard and bring back the last backup")
    yield bad if sound else Finding(what="database", state="good", found=shown)
    yield _schema(current)


def _sound(connection: sa.Connection) -> str:
    """What SQLite's own quick check finds; empty where all is well."""
    said = str(connection.execute(sa.text("PRAGMA quick_check(1)")).scalar())
    return "" if said == "ok" else said


def _schema(current: str | None) -> Finding:
    known = revisions()
    if current == known[-1]:
        return Finding(what="schema", state="good", found=f"{current}, the newest")
    if current is None or current in known:
        return Finding(
            what="schema",
            state="note",
            found=f"{current or 'none yet'}, behind {known[-1]}",
            todo="the next start brings it there; back up first",
        )
    return Finding(
        what="schema", state="bad", found=f"{current}, which this Modelyard does not know", todo="install the newer Modelyard that wrote it"
    )


def _ray(setting: str, address: str, work: str) -> Finding:
    """Whether `work` finds what it needs, as far as that shows without joining the cluster."""
    if not is_installed():
        return Finding(
            what="ray", state="bad", found=f"{setting} is to be used, and Ray is not installed", todo='pip install "modelyard[server,ray]"'
        )
    if said := refusal(address):
        todo = f"start it, or mend {setting}: without it this machine does the work"
        return Finding(what="ray", state="bad", found=f"{address}: {said}", todo=todo)
    return Finding(what="ray", state="good", found=f"{work} on the cluster at {address}")


def _answering(what: str, url: str, start: str) -> Finding:
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, trust_env=False)
    except httpx.HTTPError:
        return Finding(what=what, state="note", found=f"nothing answers at {url.removesuffix('/readyz')}", todo=f"start it: {start}")
    if answer.status_code != httpx.codes.OK:
        return Finding(what=what, state="bad", found=f"{url} answers {answer.status_code}: {answer.text[:200]}", todo="its log says why")
    return Finding(what=what, state="good", found=f"ready at {url.removesuffix('/readyz')}")

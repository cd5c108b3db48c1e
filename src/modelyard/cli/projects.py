"""`yard plan` and `yard apply`: what a project declares, read in its own environment, held against the server."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell
from modelyard.core.digests import digest_bytes, digest_of
from modelyard.core.errors import ErrorBody, Kind
from modelyard.core.names import listed
from modelyard.core.settings import FILE, read_settings
from modelyard.delivery.children import ChildLimits, ran
from modelyard.delivery.declaration import AppliedModel, DeclaredModel, ModelDeclaration, ModelPlan
from modelyard.delivery.sources import own_package, project_folder, source_archive
from modelyard.sdk.client import Client
from modelyard.sdk.transport import RemoteError

DECLARE_TIMEOUT_S = 120.0
CACHE = ".yard/declarations"


class Declared(msgspec.Struct, frozen=True):
    """What the project's modules declare: models, and `idle` views, which no model reads; or the declaration that is refused."""

    models: tuple[ModelDeclaration, ...]
    idle: tuple[str, ...]
    refused: ErrorBody | None


def plan(*, json: Json = False) -> int:
    """What the declarations would change; changes nothing.

    Example: yard plan
    """
    with connected() as client:
        plans = [client.plan_model(body) for body in _declared(client, project_folder(Path.cwd()))]
    if json:
        print_json(plans)
    else:
        _print_plans(plans)
        if any(one.changes for one in plans):
            tell("yard apply makes it so")
    return 0


def apply(*, json: Json = False) -> int:
    """Makes what is declared the server's own: models and feature views.

    Example: yard apply
    """
    with connected() as client:
        applied = applied_project(client, quiet=True)
    if json:
        print_json(applied)
    else:
        for one in applied:
            console().print(f"{one.declared.declaration.name} is declared as {one.digest[7:19]}")
    return 0


def applied_project(client: Client, *, quiet: bool) -> list[AppliedModel]:
    """Applies the project of the working directory, having printed what that changes; nothing where there is no project."""
    bodies = list(_declared(client, project_folder(Path.cwd())))
    if not quiet:
        _print_plans([client.plan_model(body) for body in bodies])
    return [client.declare_model(body) for body in bodies]


def _declared(client: Client, folder: Path) -> Iterator[DeclaredModel]:
    archive = source_archive(folder)
    source = client.upload_source(archive)
    for declaration in declarations(folder, archive):
        yield DeclaredModel(declaration=declaration, source=source, root=str(folder))


def declarations(folder: Path, archive: bytes) -> tuple[ModelDeclaration, ...]:
    """The project's declarations, from the cache where its source and Modelyard's are the same, else from a process in its environment.

    Says which views no model reads. Raises a declaration's own error, with its line, where it breaks a rule.
    """
    interpreter = _interpreter(folder)
    modules = read_settings(folder / FILE, os.environ, {}).project.models
    key = digest_of([digest_bytes(archive), digest_bytes(own_package()), interpreter, list(modules)])
    cached = folder / CACHE / f"{key[7:31]}.json"
    found = None
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        found = msgspec.json.decode(cached.read_bytes(), type=Declared)
    if found is None:
        content = _asked(folder, interpreter, modules)
        found = msgspec.json.decode(content, type=Declared)
        if found.refused is not None:
            raise RemoteError(found.refused, found.refused.kind or Kind.INVALID)
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_bytes(content)
    if found.idle:
        tell(f"not applied, as no model has it among its features: {listed(found.idle)}")
    return found.models


def _asked(folder: Path, interpreter: str, modules: Sequence[str]) -> bytes:
    """What a process in the project's environment says that the modules declare."""
    own = str(Path(__file__).parents[2])
    words = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")} | {"PYTHONPATH": own}
    job = {"type": "declare", "modules": modules}
    return ran(interpreter, words, job, folder, ChildLimits(timeout_s=DECLARE_TIMEOUT_S, beat=lambda: None))


def _interpreter(folder: Path) -> str:
    own = folder / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def _print_plans(plans: list[ModelPlan]) -> None:
    rows = [(change.kind, change.what, change.name, plain(change.detail)) for one in plans for change in one.changes]
    if rows:
        print_table("Plan", ("change!", "what!", "name", "detail"), dict.fromkeys(rows))
    else:
        console().print("Nothing would change.", style="dim")

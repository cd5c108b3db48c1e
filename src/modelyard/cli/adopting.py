"""`yard adopt`: a tracked run becomes a declared model in a project. Owns the command; what is written is `adoption`'s."""

import re
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from modelyard.cli.adoption.rows import Learned, learned_rows
from modelyard.cli.adoption.tracked import Tracked, tracked
from modelyard.cli.adoption.writing import Asked, planned, write
from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, tell
from modelyard.cli.starting import model_name
from modelyard.core.errors import InvalidInput
from modelyard.delivery.sources import ProjectNotFound, project_folder
from modelyard.registry.domain import RiskTier
from modelyard.tracking.domain import DEFAULT_EXPERIMENT_NAME, RunId


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """What was written, and what was taken for granted. An adoption that is not complete has a place to fill in."""

    folder: str
    model: str
    run: str
    files: tuple[str, ...]
    assumed: tuple[str, ...]
    is_complete: bool
    next: str


def adopt(  # noqa: PLR0913 - options of a command
    run: str,
    /,
    *,
    name: Annotated[str, Parameter(help="The model's name; else that of the experiment or the run.")] = "",
    target: Annotated[str, Parameter(help="The column that is learned, where the run does not say.")] = "",
    rows: Annotated[Path | None, Parameter(help="The rows, where the run does not say where they lie.")] = None,
    risk: Annotated[RiskTier, Parameter(help="How much harm a wrong answer does.")] = RiskTier.HIGH,
    dir: Annotated[Path | None, Parameter(help="The project; else the present one, else a new one.")] = None,  # noqa: A002 - the option's name
    json: Json = False,
) -> int:
    """Writes the declaration of a model from a tracked run: its rows, its request, its training function and a test.

    Example: yard adopt 0f3c51e2a5f84d0fb0a1c9a7a1d3b8e6 --name late --risk limited
    """
    with connected() as client:
        found = tracked(client, RunId(run))
    learned = learned_rows(found, rows, target, Path.cwd())
    chosen = _name(found, name)
    plan = planned(Asked(name=chosen, risk=risk, folder=_folder(dir, chosen)), found, learned)
    files = write(plan, learned)
    into = "" if plan.folder == Path.cwd() else f"cd {plan.folder} && "
    adopted = Adopted(
        folder=str(plan.folder),
        model=chosen,
        run=found.run.facts.id,
        files=files,
        assumed=_assumed(found, learned, risk),
        is_complete=found.estimator is not None,
        next=f"{into}yard ship {chosen}",
    )
    if json:
        print_json(adopted)
    else:
        _print(adopted, plan.module)
    return 0


def _name(run: Tracked, asked: str) -> str:
    """The model's name: as asked for, else the experiment's or the run's as a Python name. Raises InvalidInput."""
    if asked:
        if model_name(asked) != asked:
            raise InvalidInput(f"{asked[:60]!r} cannot name a training function", hint=f"--name {model_name(asked)}")
        return asked
    named = run.run.facts.name if run.experiment == DEFAULT_EXPERIMENT_NAME else run.experiment
    try:
        return model_name(re.split(r"[/\\]", named)[-1])
    except InvalidInput as error:
        raise InvalidInput(error.message, hint="name the model: --name late") from error


def _folder(given: Path | None, name: str) -> Path:
    if given is not None:
        return given.absolute()
    try:
        return project_folder(Path.cwd())
    except ProjectNotFound:
        return Path.cwd() / name


def _assumed(run: Tracked, learned: Learned, risk: RiskTier) -> tuple[str, ...]:
    kind = "the probability of 1" if learned.task == "binary" else "a number"
    found = [*learned.assumed, f"the model answers {kind}", f"its risk is {risk}: change it in the declaration, with its purpose"]
    if run.estimator is None:
        found.append(f"how it is trained is left to fill in, since {run.why_not}")
    else:
        found.append(f"it is trained as a {run.estimator.name} with the run's params, on four fifths of the rows; the rest tests it")
    return tuple(found)


def _print(adopted: Adopted, module: str) -> None:
    for name in adopted.files:
        tell(f"  {name}")
    console().print(f"[green]{plain(adopted.model)}[/] is declared in {plain(adopted.folder)}. What was taken for granted:")
    for one in adopted.assumed:
        console().print(f"  - {plain(one)}")
    if not adopted.is_complete:
        console().print(f"First say in {plain(module)}.py how it is trained; until then shipping it fails with that sentence.")
    console().print(f"Next, while yard up runs: [bold]{plain(adopted.next)}[/]")

"""`yard tune`: has a model's parameters searched, follows the trials as they end, and says what was found and how to use it."""

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from modelyard.cli.connection import connected
from modelyard.cli.output import Json, console, plain, print_json, print_table, tell
from modelyard.cli.projects import applied_project
from modelyard.core.clock import duration_s
from modelyard.core.errors import EXIT_CODE, Kind, NotFound
from modelyard.core.names import nearest
from modelyard.delivery.search_space import Value
from modelyard.monitoring.domain import Metric
from modelyard.sdk.client import Client
from modelyard.tuning.domain import DEFAULT_NAME, OPEN, NewStudy, NothingFound, StudyDetail, StudyId, StudyState, Trial, TrialState

FOLLOW_S = 0.25
WIDEST = 40


def tune(  # noqa: PLR0913 - one option each
    model: str,
    /,
    *,
    trials: Annotated[int, Parameter(help="How many trials the study is to have in all.")] = 20,
    name: Annotated[str, Parameter(help="The study: another name begins another.")] = DEFAULT_NAME,
    metric: Annotated[Metric | None, Parameter(help="What to go by, where the declaration leaves it open.")] = None,
    parallel: Annotated[int | None, Parameter(help="How many trials run at once; one unless given.")] = None,
    seed: Annotated[int | None, Parameter(help="The study's seed; 0 unless given.")] = None,
    timeout: Annotated[str, Parameter(help="No trial begins later than this from now, such as 30m.")] = "",
    stop: Annotated[
        bool, Parameter(negative="", help="Stop the study instead, its trials under way included.", show_default=False)
    ] = False,
    follow: Annotated[bool, Parameter(help="--no-follow starts it and returns.", show_default=False)] = True,
    json: Json = False,
) -> int:
    """Searches the parameters that a model declares, one training after another, on the rows before those that deliveries are tested on.

    The same words again go on with the study, also after it was stopped, or follow it. Ctrl-C stops watching, not the work.

    Example: yard tune late_arrival --trials 50
    """
    with connected() as client:
        if stop:
            detail = client.stop_study(study_of(client, model, name).study.id)
        else:
            applied_project(client, quiet=True)
            wanted = NewStudy(
                model=model,
                name=name,
                trials=trials,
                metric=metric,
                timeout_s=duration_s(timeout) if timeout else None,
                parallel=parallel,
                seed=seed,
            )
            detail = client.start_study(wanted)
            detail = _followed(client, detail, quiet=json) if follow else detail
    if json:
        print_json(detail)
    else:
        _tell(detail)
    return _exit_code(detail)


def study_of(client: Client, model: str, name: str) -> StudyDetail:
    """The model's study of that name. Raises NotFound, with the names that there are."""
    found = client.list_studies(model=model, name=name)
    if not found:
        names = [one.name for one in client.list_studies(model=model)]
        raise NotFound(
            f"{model} has no study {name[:60]!r}", hint=f"yard tune {model} --name {name[:60]} begins it; {nearest(name, names)}"
        )
    return client.get_study(StudyId(found[0].id))


def best_parameters(client: Client, model: str, name: str) -> tuple[dict[str, Value], str]:
    """The parameters of the study's best trial, and where they come from in a sentence. Raises NothingFound."""
    detail = study_of(client, model, name)
    if detail.best is None:
        raise NothingFound(f"no trial of {model}'s study {name} has completed", hint=f"yard tune {model} --name {name}")
    return dict(detail.best.parameters), f"study {name}, trial {detail.best.number}"


def _followed(client: Client, begun: StudyDetail, *, quiet: bool) -> StudyDetail:
    detail, told = begun, {one.number for one in begun.trials if one.state.is_final}
    if not quiet and told:
        sys.stdout.write(f"{len(told)} trials had ended before\n")
    while detail.study.state in OPEN:
        time.sleep(FOLLOW_S)
        detail = client.get_study(begun.study.id)
        for trial in detail.trials if not quiet else ():
            if trial.state.is_final and trial.number not in told:
                told.add(trial.number)
                sys.stdout.write(_line(trial, is_best=detail.best is not None and detail.best.number == trial.number) + "\n")
                sys.stdout.flush()
    return detail


def _line(trial: Trial, *, is_best: bool) -> str:
    value = f"{trial.value:.6g}" if trial.value is not None else "-"
    said = "  ".join(f"{name} {shown(one)}" for name, one in trial.parameters.items())
    word = "lost" if trial.loss is not None else str(trial.state)
    because = f"  {trial.reason.splitlines()[0][:100]}" if trial.state is TrialState.FAIL and trial.reason else ""
    return f"trial {trial.number:<4}{word:<10}{value:<10}{said}{because}{'  best so far' if is_best else ''}"


def _tell(detail: StudyDetail) -> None:
    study, best = detail.study, detail.best
    if best is not None and best.value is not None:
        rows = [
            (plain(name), plain(shown(value)), plain(shown(study.space.defaults.get(name, "")))) for name, value in best.parameters.items()
        ]
        print_table("Best parameters", ("parameter", "value!", "default!"), rows)
        console().print(f"Trial {best.number} is the best of {detail.counted}: {study.metric} {best.value:.6g}{_measured_on(detail)}.")
        tell(f"yard ship {study.model} --study {study.name} delivers the model with them")
    state = "is " + str(study.state) if study.state is not StudyState.DONE else "is done"
    console().print(f"The study {state}{f': {plain(study.reason)}' if study.reason else ''}. It is {study.id}.")


def _measured_on(detail: StudyDetail) -> str:
    rows = detail.study.rows
    return (
        ""
        if rows is None
        else f" on {rows.validated:,} rows apart from the {rows.learned:,} learned from; {rows.held_back:,} more were held back"
    )


def shown(value: Value) -> str:
    """A parameter's value, short enough for a line.

    >>> shown(0.0196530968), shown("gbdt"), shown(True)
    ('0.019653', 'gbdt', 'True')
    """
    text = f"{value:.5g}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…"


def _exit_code(detail: StudyDetail) -> int:
    if detail.study.state is StudyState.FAILED:
        return 1
    is_over_with_nothing = detail.study.state is StudyState.DONE and detail.best is None
    return EXIT_CODE[Kind.CONFLICT] if is_over_with_nothing else 0

"""`modelyard.start`: a new run, or one that goes on. Owns the arguments and what a run is born with."""

import getpass
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack

from modelyard.core.clock import Instant, SystemClock
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import hex_id
from modelyard.sdk.tracking.record import is_notebook, origin, said, seeded
from modelyard.sdk.tracking.recording import Recording
from modelyard.sdk.tracking.run import Birth, Run
from modelyard.sdk.tracking.spool import Head
from modelyard.sdk.tracking.system import INTERVAL_S
from modelyard.sdk.tracking.targets import target_of
from modelyard.tracking.domain import PARENT_RUN_TAG, RunId
from modelyard.tracking.rules.names import checked_experiment_name, checked_param, checked_run_id, checked_tag
from modelyard.tracking.rules.words import random_name
from modelyard.tracking.spooled import Resumed, Started, new_source_id


class StartOptions(TypedDict, total=False):
    """What `start` may be told beyond what the run is about."""

    resume: str
    parent: Run | str
    url: str
    folder: str | Path
    seed: int
    tolerance: float
    system_metrics: float | bool
    record: bool
    quiet: bool


def start(
    *,
    experiment: str = "",
    name: str = "",
    params: Mapping[str, object] | None = None,
    tags: Mapping[str, object] | None = None,
    **options: Unpack[StartOptions],
) -> Run:
    """A run under way, logged to the server at `MODELYARD_URL`, else to the folder `.yard` of the project, which `yard up` shows.

    It asks no server and waits for none. Use it as a context, or call `finish`:

        with modelyard.start(experiment="flights", params={"depth": 6}) as run:
            for epoch in range(10):
                run.log({"loss": train()}, step=epoch)

    - `resume`: the id of a run that goes on, also after a crash; it keeps its name and experiment.
    - `parent`: a run that this one is a part of.
    - `url`, `folder`: a server, or where the project lies, other than those of the environment.
    - `seed`: seeds Python's, NumPy's and PyTorch's random numbers, as far as they are loaded, and records it.
    - `tolerance`: by how much the figures of a rebuild may differ, fixed before the training; 0 asks for the same bits.
    - `system_metrics`: the seconds between two measurements of the machine, 10 unless given; False for none.
    - `record`: False leaves out source, environment and git. `quiet`: True prints nothing.

    Raises InvalidInput, and SpoolUnavailable where nothing can be written.
    """
    resume = options.get("resume", "")
    if resume and (experiment or name):
        raise InvalidInput("a run that is resumed keeps its name and its experiment", hint="leave both out")
    tolerance = _checked_tolerance(options.get("tolerance", 0.0))
    target = target_of(Path(options.get("folder", Path.cwd())), options.get("url", ""))
    head = Head(
        source=new_source_id(),
        run_id=RunId(checked_run_id(resume) if resume else hex_id()),
        name=name or (resume[:8] if resume else random_name()),
        url=target.url,
    )
    seeds, is_recorded = seeded(options.get("seed")), options.get("record", not resume)
    given = {key: checked_tag(key, str(value), "tags.")[1] for key, value in (tags or {}).items()}
    birth = Birth(
        begun=Resumed(at=_now()) if resume else _started(head, experiment, options),
        params={key: checked_param(key, str(value), "params.")[1] for key, value in (params or {}).items()},
        tags=given,
        recording=Recording(origin(), seeds, tolerance) if is_recorded else None,
        interval_s=_interval_s(options.get("system_metrics", True)),
        is_quiet=options.get("quiet", False),
    )
    run = Run(head, target, birth)
    if not birth.is_quiet:
        sys.stderr.write(f"modelyard: run {run.name} {run.id} -> {run.url or target.shown}\n")
    return run


def _started(head: Head, experiment: str, options: StartOptions) -> Started:
    user = _user()
    kind = "NOTEBOOK" if is_notebook() else "LOCAL"
    tags = {"mlflow.user": user, "mlflow.source.name": said(sys.argv[0]) or "python", "mlflow.source.type": kind}
    parent = options.get("parent")
    if parent is not None:
        tags[PARENT_RUN_TAG] = parent.id if isinstance(parent, Run) else checked_run_id(parent)
    if experiment:
        checked_experiment_name(experiment)
    return Started(name=head.name, started_at=_now(), experiment=experiment, user=user, tags=tags)


def _now() -> Instant:
    return SystemClock().now()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return ""


def _checked_tolerance(tolerance: float) -> float:
    if not 0 <= tolerance < 1:
        raise InvalidInput(f"tolerance={tolerance} is no relative difference", hint="from 0, the same bits, to below 1")
    return float(tolerance)


def _interval_s(given: float | bool) -> float:
    """Seconds between measurements; 0 for none."""
    if given is True:
        return INTERVAL_S
    if given < 0:
        raise InvalidInput(f"system_metrics={given} is no interval", hint="seconds, or False for none")
    return float(given)

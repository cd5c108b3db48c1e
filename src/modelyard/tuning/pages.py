"""The page of a study: how it went, what mattered, what was found and how to use it; and the button that stops it. Owns the context."""

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.access.service import principal_names
from modelyard.core.clock import SECOND
from modelyard.delivery.search_space import Value
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tuning import charts, service
from modelyard.tuning.domain import DEFAULT_NAME, OPEN, Loss, Study, StudyDetail, StudyId, StudyState, Trial, TrialState
from modelyard.tuning.rules.importance import importances
from modelyard.tuning.service.ending import subject_of
from modelyard.web.charts import Chart
from modelyard.web.pages import Action, Done, Page, action, for_ids, page
from modelyard.web.parts import Tone
from modelyard.web.words import number, plural

MOST_SHOWN = 200
STATES: dict[StudyState, tuple[Tone, str]] = {
    StudyState.WAITING: ("warn", "Waits for a worker"),
    StudyState.PREPARING: ("busy", "Reads its rows"),
    StudyState.RUNNING: ("busy", "Under way"),
    StudyState.DONE: ("good", "Done"),
    StudyState.STOPPED: ("idle", "Stopped"),
    StudyState.FAILED: ("bad", "Failed"),
}
TRIALS: dict[TrialState, tuple[Tone, str]] = {
    TrialState.WAITING: ("idle", "waits"),
    TrialState.RUNNING: ("busy", "under way"),
    TrialState.COMPLETE: ("good", "complete"),
    TrialState.PRUNED: ("warn", "stopped early"),
    TrialState.FAIL: ("bad", "failed"),
}
LOST: dict[Loss, str] = {Loss.CRASHED: "lost", Loss.GIVEN_BACK: "given back", Loss.STOPPED: "stopped"}


class TrialRow(msgspec.Struct, frozen=True, kw_only=True):
    """A trial as a row: how it stands, its parameters in the order of the space, and how long it took."""

    trial: Trial
    tone: Tone
    word: str
    cells: tuple[str, ...]
    is_best: bool
    duration_s: float | None


class BestRow(msgspec.Struct, frozen=True, kw_only=True):
    """A parameter of the best trial beside the function's own value."""

    name: str
    value: str
    default: str


class StudyPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tuning/study.html`. `gain` is by how much the best trial's value differs from that of the function's own values.

    `topics` are what the page follows: the study, and the runs of the trials under way.
    """

    study: Study
    tone: Tone
    word: str
    clause: str
    best: Trial | None
    best_rows: tuple[BestRow, ...]
    gain: float | None
    counted: int
    pruned: int
    failed: int
    asker: str
    rows: tuple[TrialRow, ...]
    trial_count: int
    history: Chart | None
    importance: Chart | None
    slices: tuple[Chart, ...]
    parallel: Chart | None
    curves: Chart | None
    ship: str
    go_on: str
    code: str
    may_stop: bool
    topics: str


def show_study(snapshot: Snapshot, principal: Principal, study: StudyId) -> StudyPage:
    """One study: what was found, and every trial."""
    detail = service.get_study(snapshot, principal, study)
    own, trials = detail.study, detail.trials
    tone, word = STATES[own.state]
    known = [(one.parameters, one.value) for one in trials if one.state is TrialState.COMPLETE and one.value is not None]
    name = "" if own.name == DEFAULT_NAME else f" --name {own.name}"
    under_way = [f"run:{one.run}" for one in trials if one.state is TrialState.RUNNING]
    return StudyPage(
        study=own,
        tone=tone,
        word=word,
        clause=_clause(detail),
        best=detail.best,
        best_rows=_best_rows(detail),
        gain=_gain(detail),
        counted=detail.counted,
        pruned=sum(one.state is TrialState.PRUNED for one in trials),
        failed=sum(one.state is TrialState.FAIL and one.loss is None for one in trials),
        asker=principal_names(snapshot, {own.asked_by})[own.asked_by],
        rows=tuple(_row(own, one, is_best=one is detail.best) for one in reversed(trials[-MOST_SHOWN:])),
        trial_count=len(trials),
        history=charts.history(own, trials),
        importance=charts.importance(importances(own.space.domains, known, higher_is_better=own.higher_is_better)),
        slices=charts.slices(own, trials),
        parallel=charts.parallel(own, trials),
        curves=charts.curves(own, trials, service.latest_reports(snapshot, own, trials=MOST_SHOWN, points=charts.POINTS_OF_A_CURVE)),
        ship=f"yard ship {own.model} --study {own.name}",
        go_on=f"yard tune {own.model}{name} --trials {max(own.trials, detail.counted) * 2}",
        code=_code(detail),
        may_stop=own.state in OPEN and principal.may(Role.CONTRIBUTOR, own.team_id),
        topics=" ".join([subject_of(own), *under_way]),
    )


def stop(tx: Transaction, principal: Principal, study: StudyId) -> Done:
    """Stops a study that is under way."""
    was_open = service.get_study(tx, principal, study).study.state in OPEN
    found = service.stop_study(tx, principal, study).study
    if not was_open:
        return Done(f"/studies/{study}", f"It had ended before: {STATES[found.state][1].lower()}.", "warn")
    return Done(f"/studies/{study}", "The study is stopped, its trials under way included. yard tune goes on with it.")


PAGES: tuple[Page, ...] = (for_ids("std", page("/studies/{study}", show_study, "tuning/study.html", title="Study")),)
ACTIONS: tuple[Action, ...] = (action("/studies/{study}/stop", stop),)


def _clause(detail: StudyDetail) -> str:
    study, best = detail.study, detail.best
    if study.state is StudyState.FAILED:
        return f"It could not go on: {study.reason}"
    share = "" if detail.counted == study.trials else f"{number(detail.counted)} of "
    tried = share + plural(study.trials, "trial")
    if best is None or best.value is None:
        return f"No trial has completed yet; {tried} begun" if study.state in OPEN else f"No trial completed, of {tried} begun"
    because = f"; {study.reason}" if study.reason else ""
    return f"Trial {best.number} is the best of {tried}, with {study.metric} {best.value:.5g}{because}"


def _gain(detail: StudyDetail) -> float | None:
    own = detail.study.space.baseline
    if own is None or detail.best is None or detail.best.value is None:
        return None
    found = [
        one.value for one in detail.trials if one.parameters == dict(own) and one.state is TrialState.COMPLETE and one.value is not None
    ]
    return detail.best.value - found[0] if found else None


def _best_rows(detail: StudyDetail) -> tuple[BestRow, ...]:
    if detail.best is None:
        return ()
    defaults = detail.study.space.defaults
    return tuple(
        BestRow(name=name, value=_shown(value), default=_shown(defaults[name]) if name in defaults else "")
        for name, value in detail.best.parameters.items()
    )


def _code(detail: StudyDetail) -> str:
    """The best parameters as the training function would say them."""
    if detail.best is None:
        return ""
    words = [f"{name}: {type(value).__name__} = {value!r}" for name, value in detail.best.parameters.items()]
    return "*, " + ", ".join(words)


def _row(study: Study, trial: Trial, *, is_best: bool) -> TrialRow:
    tone, word = TRIALS[trial.state]
    took = None if trial.started_at is None or trial.ended_at is None else (trial.ended_at - trial.started_at) / SECOND
    return TrialRow(
        trial=trial,
        tone="idle" if trial.loss is not None else tone,
        word=LOST[trial.loss] if trial.loss is not None else word,
        cells=tuple(_shown(trial.parameters[name]) if name in trial.parameters else "" for name in study.space.domains),
        is_best=is_best,
        duration_s=took,
    )


def _shown(value: Value) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)

"""What tuning says on the page of a model: its latest studies. Owns the words, no figure."""

from modelyard.access.domain import Principal
from modelyard.registry.domain import ModelName
from modelyard.registry.sections import Cell, Contribution, Section, Table
from modelyard.storage.database import Snapshot
from modelyard.tuning.domain import StudyDetail
from modelyard.tuning.pages import STATES
from modelyard.tuning.service import get_study, list_studies

MOST_SHOWN = 5


def on_models_page(snapshot: Snapshot, principal: Principal, model: ModelName) -> Contribution:
    """The latest studies of a model's parameters; nothing where there is none."""
    found = [get_study(snapshot, principal, one.id) for one in list_studies(snapshot, principal, model)[:MOST_SHOWN]]
    if not found:
        return Contribution()
    table = Table(heads=("Study", "State", "Best", "Trials", "Begun"), rows=tuple(map(_row, found)))
    section = Section(id="studies", title="Studies", order=70, note="searches of its parameters", table=table, live=_topics(found))
    return Contribution(sections=(section,))


def _row(detail: StudyDetail) -> tuple[Cell, ...]:
    tone, word = STATES[detail.study.state]
    best = "" if detail.best is None or detail.best.value is None else f"{detail.study.metric} {detail.best.value:.4g}"
    return (
        Cell(text=detail.study.name, href=f"/studies/{detail.study.id}"),
        Cell(text=word, tone=tone),
        Cell(text=best, is_number=True),
        Cell(text=f"{detail.counted} of {detail.study.trials}", is_number=True),
        Cell(at=detail.study.created_at),
    )


def _topics(found: list[StudyDetail]) -> str:
    return " ".join(f"study:{one.study.id}" for one in found)

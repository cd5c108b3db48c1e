"""What tuning says on the page of a model: its latest studies. Owns the words, no figure."""

from modelyard.access.domain import Principal
from modelyard.registry.domain import ModelName
from modelyard.registry.sections import Cell, Contribution, Section, Table
from modelyard.storage.database import Snapshot
from modelyard.tuning.domain import Study
from modelyard.tuning.pages import STATES
from modelyard.tuning.service import counted, list_studies

MOST_SHOWN = 5


def on_models_page(snapshot: Snapshot, principal: Principal, model: ModelName) -> Contribution:
    """The latest studies of a model's parameters; nothing where there is none."""
    found = list_studies(snapshot, principal, model)[:MOST_SHOWN]
    if not found:
        return Contribution()
    rows = tuple(_row(one, counted(snapshot, one)) for one in found)
    table = Table(heads=("Study", "State", "Best", "Trials", "Begun"), rows=rows)
    section = Section(id="studies", title="Studies", order=70, note="searches of its parameters", table=table, live=_topics(found))
    return Contribution(sections=(section,))


def _row(study: Study, trials: int) -> tuple[Cell, ...]:
    tone, word = STATES[study.state]
    best = "" if study.best is None or study.best.value is None else f"{study.metric} {study.best.value:.4g}"
    return (
        Cell(text=study.name, href=f"/studies/{study.id}"),
        Cell(text=word, tone=tone),
        Cell(text=best, is_number=True),
        Cell(text=f"{trials} of {study.trials}", is_number=True),
        Cell(at=study.created_at),
    )


def _topics(found: list[Study]) -> str:
    return " ".join(f"study:{one.id}" for one in found)

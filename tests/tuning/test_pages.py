"""The page of a study: what it says as it goes on, hostile words, and who may stop it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import FixedClock, Instant
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Database
from modelyard.tuning.charts import curves, parallel, slices
from modelyard.tuning.domain import Report, StudyState, TrialState
from modelyard.tuning.pages import ACTIONS, PAGES, show_study
from modelyard.tuning.sections import on_models_page
from modelyard.tuning.service import Outcome, ended_trial
from modelyard.web.charts import svg
from tests.delivery.test_pages import ADA, EVE, HOSTILE, TOKEN, Client, application, html
from tests.tuning.invented import begun, finished, running, standing, taken

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """A browser in front of tuning's pages."""
    with ThreadPoolExecutor(2) as pool, TestClient(application(database, pool, (PAGES, ACTIONS))) as opened:
        yield opened


def score(parameters: Mapping[str, Any], number: int) -> list[float]:
    """Two values, the last of which is known."""
    return [0.5, 0.7 + number / 100]


def test_a_study_that_waits_says_what_comes(client: Client, database: Database, tmp_path: Path) -> None:
    study = begun(database, tmp_path)
    page = html(client, f"/studies/{study.id}", "eve")
    for words in (
        "Waits for a worker",
        "No trial has completed yet; 0 of 20 trials begun",
        "A worker takes the study up",
        "Nothing to draw yet",
    ):
        assert words in page


def test_what_was_found_stands_on_the_page_with_the_words_that_use_it(client: Client, database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=3)
    for _ in range(2):
        held = taken(database)
        assert held is not None
        finished(database, held, score)
    held = taken(database)
    assert held is not None
    database.write(lambda tx: ended_trial(tx, held, Outcome(state=TrialState.FAIL, reason=HOSTILE)))
    page = html(client, f"/studies/{study.id}", "eve")
    for words in (
        "Trial 1 is the best of 3 trials, with roc_auc 0.71",
        "The function's own values are 0.01 worse",
        "yard ship late --study tuning",
        "yard tune late --trials 6",
        "1,280 rows",
        f"/runs/{held.run}",
    ):
        assert words in page
    assert HOSTILE not in page
    with database.read() as snapshot:
        shown, section = show_study(snapshot, EVE, study.id), on_models_page(snapshot, EVE, ModelName("late")).sections[0]
    best = standing(database, study).best
    assert best is not None
    assert shown.code == "*, " + ", ".join(f"{name}: {type(value).__name__} = {value!r}" for name, value in best.parameters.items())
    assert [one.word for one in shown.rows] == ["failed", "complete", "complete"]
    assert (shown.importance, len(shown.slices), shown.failed) == (None, 3, 1)
    assert section.table is not None
    assert [cell.text for cell in section.table.rows[0]][:4] == ["tuning", "Done", "roc_auc 0.71", "3 of 3"]


def test_a_contributor_may_stop_it_and_nobody_else(client: Client, database: Database, tmp_path: Path) -> None:
    study = running(database, tmp_path, trials=3)
    with database.read() as snapshot:
        assert [show_study(snapshot, one, study.id).may_stop for one in (ADA, EVE)] == [True, False]
    assert "Stop study" in html(client, f"/studies/{study.id}", "ada")
    assert client.get(f"/studies/{study.id}", headers={"accept": "text/html", "x-as": "max"}).status_code == 404
    for who, state in (("eve", StudyState.RUNNING), ("ada", StudyState.STOPPED)):
        client.post(f"/studies/{study.id}/stop", data={"csrf": TOKEN}, headers={"accept": "text/html", "x-as": who}, follow_redirects=False)
        assert standing(database, study).study.state is state


def test_charts_are_drawn_whatever_is_in_them(database: Database, tmp_path: Path, clock: FixedClock) -> None:
    study = running(database, tmp_path, trials=12)
    while (held := taken(database)) is not None:
        finished(database, held, score)
    with database.read() as snapshot:
        shown = show_study(snapshot, SYSTEM, study.id)
    assert shown.study.state is StudyState.DONE
    trials = standing(database, study).trials
    odd = {one.number: tuple(Report(step, None if step == 1 else float(step)) for step in range(5)) for one in trials}
    same = [msgspec.structs.replace(one, value=0.5, started_at=Instant(0)) for one in trials]
    for chart in (
        shown.history,
        shown.importance,
        *shown.slices,
        shown.parallel,
        curves(study, trials, odd),
        parallel(study, same),
        *slices(study, same),
    ):
        assert chart is not None
        assert "<svg" in svg(chart)
        assert "NaN" not in svg(chart)

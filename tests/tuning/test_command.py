"""`yard tune` as a user has it: followed while a worker works, asked again, shown on its page, delivered, stopped."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelyard.access.domain import Role
from modelyard.delivery.domain import DeliveryId
from modelyard.delivery.machine import detail_of
from modelyard.server.installation import Installation
from modelyard.server.tuning import Hands
from tests.cli.conftest import Yard, as_role, yard
from tests.server.conftest import Running, running
from tests.tuning.project import write_tuned

__all__ = ["as_role", "running", "yard"]
MODEL = "tuned_late"


@contextlib.contextmanager
def working(installation: Installation) -> Iterator[None]:
    """A worker's hands in the background while the block runs."""
    stop = threading.Event()
    hands = Hands(installation, "background", stop)

    def work() -> None:
        while not stop.is_set():
            if not hands.turn():
                stop.wait(0.05)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        hands.close()


@pytest.fixture
def project(running: Running, yard: Yard, as_role: Callable[[Role], None], tmp_path: Path) -> None:
    """The project in the working folder, for an admin, as whose sources lie outside of the data folder."""
    write_tuned(tmp_path, running.installation.settings.folder, MODEL)
    as_role(Role.ADMIN)


@pytest.mark.usefixtures("project")
def test_a_study_is_followed_shown_delivered_and_stopped(running: Running, yard: Yard) -> None:
    with working(running.installation):
        said = yard("tune", MODEL, "--trials", "2", "--parallel", "2")
    assert said.code == 0, said.err
    for words in (
        "trial 0   complete",
        "best so far",
        "Best parameters",
        "learning_rate",
        "rows apart from the 1,280 learned from",
        "is done",
    ):
        assert words in said.out
    assert f"yard ship {MODEL} --study tuning" in said.err
    again = yard("tune", MODEL, "--trials", "2", "--json").json
    study, best = again["study"]["id"], again["best"]
    assert (again["study"]["state"], len(again["trials"]), again["study"]["metric"]) == ("done", 2, "roc_auc")
    shipped = yard("ship", MODEL, "--study", "tuning", "--no-follow", "--json").json
    with running.installation.database.read() as snapshot:
        delivery = detail_of(snapshot, DeliveryId(shipped["delivery"]["id"])).delivery
    assert (delivery.parameters, delivery.cause.detail) == (best["parameters"], f"study tuning, trial {best['number']}")
    with running.client(Role.VIEWER) as client:
        page = client.get(f"/studies/{study}", headers={"Accept": "text/html"})
        assert client.post(f"/api/v1/studies/{study}/stop", json={}).status_code == 403
    assert page.status_code == 200
    for words in (f"yard ship {MODEL} --study tuning", "learning_rate: float = ", "no trial sees them", "<svg"):
        assert words in page.text
    assert yard("tune", MODEL, "--name", "later", "--no-follow", "--json").json["study"]["state"] == "waiting"
    stopped = yard("tune", MODEL, "--name", "later", "--stop", "--json").json
    assert (stopped["study"]["state"], stopped["study"]["reason"]) == ("stopped", f"stopped by test-{Role.ADMIN}")
    for asked, code, hint in (
        (("tune", MODEL, "--stop", "--name", "none"), "not_found", "yard tune tuned_late --name none begins it"),
        (("ship", MODEL, "--study", "none"), "not_found", "yard tune tuned_late --name none begins it"),
        (("ship", MODEL, "--study", "later"), "nothing_found", "yard tune tuned_late --name later"),
        (("tune", MODEL, "--trials", "0", "--name", "x"), "invalid_input", "from 1 to"),
        (("tune", MODEL, "--metric", "rmse", "--name", "x"), "bad_search_space", "known: "),
    ):
        error = yard(*asked, "--json").json["error"]
        assert error["code"] == code
        assert hint in error["hint"]

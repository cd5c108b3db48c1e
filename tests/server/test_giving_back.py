"""A worker that is told to end: what it holds is given back at once, and is no attempt that came to nothing."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from modelyard.access.domain import SYSTEM
from modelyard.delivery.domain import DeliveryId, NewDelivery, Stage, StageName, StageState
from modelyard.delivery.machine import detail_of
from modelyard.delivery.service import start_delivery
from modelyard.server.installation import Installation, opened
from modelyard.server.worker import work_once
from tests.delivery.reproducing import MODELS, declared, settings_of, write_project
from tests.live import YARD
from tests.serving.world import until

TREES = "return boosted(rows, SEED)"
ENDLESS = """
    import pathlib, time
    mark = pathlib.Path({mark!r})
    mark.with_suffix(".new").write_text(str(os.getpid()))
    mark.with_suffix(".new").rename(mark)
    while True:
        time.sleep(60)
"""


def training(installation: Installation, delivery: DeliveryId) -> Stage:
    with installation.database.read() as snapshot:
        return next(one for one in detail_of(snapshot, delivery).stages if one.name is StageName.TRAIN)


@contextlib.contextmanager
def started_worker(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker on the project's data folder, killed at the latest when the block ends."""
    words = [*YARD, "worker", "--data", str(folder / ".yard")]
    with (folder / ".yard" / "worker.log").open("a") as log:
        worker = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=log)
    try:
        yield worker
    finally:
        worker.kill()
        worker.wait()


def test_a_training_whose_process_the_signal_reached_first_is_given_back_too(tmp_path: Path) -> None:
    """A service manager signals the whole group: the child may be dead before the worker is asked."""
    folder, mark = tmp_path / "project", tmp_path / "mark"
    folder.mkdir()
    write_project(folder, MODELS.replace(TREES, ENDLESS.format(mark=str(mark)).strip()), ("lightgbm", "scikit-learn"))
    with opened(settings_of(folder)) as installation:
        declared(installation, folder)
        delivery = installation.database.write(lambda tx: start_delivery(tx, SYSTEM, NewDelivery(model="trees", until=StageName.TRAIN)))
        stop = threading.Event()

        def end_child_then_tell() -> None:
            until(mark.exists, 60)
            stop.set()
            os.kill(int(mark.read_text()), signal.SIGTERM)

        teller = threading.Thread(target=end_child_then_tell)
        teller.start()
        while not stop.is_set():
            work_once(installation, "tests", stop)
        teller.join()
        found = training(installation, delivery.id)
        assert (found.state, found.attempt, found.holder) == (StageState.READY, 0, "")


def test_a_training_is_given_back_by_each_worker_that_is_told_to_end_and_its_process_ends_at_once(tmp_path: Path) -> None:
    folder, mark = tmp_path / "project", tmp_path / "mark"
    folder.mkdir()
    write_project(folder, MODELS.replace(TREES, ENDLESS.format(mark=str(mark)).strip()), ("lightgbm", "scikit-learn"))
    with opened(settings_of(folder)) as installation:
        declared(installation, folder)
        delivery = installation.database.write(lambda tx: start_delivery(tx, SYSTEM, NewDelivery(model="trees", until=StageName.TRAIN)))
        for _ in range(2):
            with started_worker(folder) as worker:
                until(mark.exists, 60)
                assert training(installation, delivery.id).state is StageState.RUNNING
                child = mark.read_text()
                mark.unlink()
                worker.terminate()
                assert worker.wait(30) == 0
            assert not Path("/proc", child).exists()
            found = training(installation, delivery.id)
            assert (found.state, found.attempt, found.holder) == (StageState.READY, 0, "")

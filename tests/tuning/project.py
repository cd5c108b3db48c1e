"""A small project with a model that can be tuned, and an installation to tune it in. Owns no expectation."""

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import digest_bytes
from modelyard.delivery.environments import PYTHON, locked_requirements
from modelyard.server.installation import Installation
from modelyard.server.tuning import Hands
from modelyard.tuning.domain import NewStudy, StudyDetail, StudyId, StudyState
from modelyard.tuning.service import get_study, start_study
from tests.delivery.reproducing import write_project
from tests.serving.world import until

PACKAGES = ("lightgbm",)
MODELS = """
import os, pathlib, subprocess, sys, time
sys.modules |= dict.fromkeys(("pandas", "sklearn", "dask", "matplotlib", "pyarrow"))  # LightGBM imports what it finds
import lightgbm as lgb
import polars as pl
from modelyard import (Entity, FeatureView, Parquet, choice, gate, integers, loguniform, model, numbers, report, report_iteration, rows)

airport = Entity("origin")
weather = FeatureView("weather", airport, Parquet("weather.parquet", timestamp="at"), features=["wind"], ttl="3h")

@model(owner="ops", risk="minimal", purpose="Warn of late flights.", features=[weather], as_of="2h before scheduled_at",
       rows=rows("flights.parquet", timestamp="scheduled_at", known="landed_at"), request={"distance": pl.Int64}, label="late",
       gates=[gate("metrics.roc_auc >= 0.5")],
       tune={"learning_rate": loguniform(1e-3, 0.5), "num_leaves": integers(2, 31), "boosting": choice("gbdt", "dart")})
def late(rows, *, learning_rate: float = 0.1, num_leaves: int = 7, boosting: str = "gbdt", trees: int = 10):
    data = lgb.Dataset(numbers(rows.drop("late")), rows["late"].to_numpy())
    words = {"objective": "binary", "metric": "auc", "verbose": -1, "deterministic": True, "force_row_wise": True, "num_threads": 2,
             "learning_rate": learning_rate, "num_leaves": num_leaves, "boosting": boosting, "seed": 1}
    BODY
    return lgb.train(words, data, trees, valid_sets=[data], callbacks=[report_iteration])
"""
BODY = """
    folder = pathlib.Path({folder!r})
    if (folder / "raise").exists():
        raise ValueError("what the data holds")
    if (folder / "hold").exists():
        for step in range(3):
            report(step, 0.01)
        if (folder / "helper").exists():
            (folder / "helper").write_text(str(subprocess.Popen(["sleep", "600"]).pid))
        (folder / "pid.new").write_text(str(os.getpid()))
        (folder / "pid.new").rename(folder / "pid")
        time.sleep(600)
""".strip()


def write_tuned(folder: Path, data: Path, name: str = "late") -> None:
    """The project in an empty folder, with its data and lock, and what its model looks for beside it: `raise`, `hold`, `helper`.

    Its environment is the tests' own, kept under the name of the project's: how one is built is tested with deliveries.
    """
    write_project(folder, MODELS.replace("BODY", BODY.format(folder=str(folder.parent))).replace("def late", f"def {name}"), PACKAGES)
    requirements = digest_bytes(locked_requirements(folder, lambda: None))
    kept = data / "environments" / digest_bytes(f"{requirements} {PYTHON}".encode()).removeprefix("sha256:")[:24]
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.symlink_to(sys.prefix)


def asked(installation: Installation, **words: object) -> StudyDetail:
    """The study of the project's model, started or gone on with."""
    body = NewStudy(model="late", **words)  # type: ignore[arg-type]  # a test's own words
    return installation.database.write(lambda tx: start_study(tx, SYSTEM, body))


def standing(installation: Installation, study: StudyId) -> StudyDetail:
    """The study as it stands now."""
    with installation.database.read() as snapshot:
        return get_study(snapshot, SYSTEM, study)


def worked(installation: Installation) -> None:
    """Has one worker do everything that waits for it."""
    hands = Hands(installation, "tester", threading.Event())
    while hands.turn() or hands.rest():
        pass
    hands.close()


@contextlib.contextmanager
def held_up(folder: Path, mine: Installation) -> Iterator[Hands]:
    """A worker that has taken up a trial whose child reports three poor values and then never ends, unless somebody ends it."""
    (folder.parent / "hold").touch()
    (folder.parent / "pid").unlink(missing_ok=True)
    stop = threading.Event()
    hands = Hands(mine, "holder", stop)
    try:
        assert hands.turn()
        until(lambda: (folder.parent / "pid").exists(), 60)
        yield hands
    finally:
        (folder.parent / "hold").unlink()
        stop.set()
        hands.close()


def child_of(folder: Path) -> int:
    """The process of the child that holds."""
    return int((folder.parent / "pid").read_text())


def is_alive(process: int) -> bool:
    """Whether that process runs; one that ended and was not looked at yet counts as gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def prepared(mine: Installation, **words: Any) -> StudyDetail:
    """A study whose rows have been read, and no trial begun."""
    study = asked(mine, **words)
    hands = Hands(mine, "reader", threading.Event())
    assert hands.turn()
    hands.close()
    found = standing(mine, study.study.id)
    assert found.study.state is StudyState.RUNNING, found.study.reason
    return found

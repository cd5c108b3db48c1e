"""Runs that a client tracked, made again: the command in its own source, environment and data, held against what the run left."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.digests import digest_bytes
from modelyard.core.ids import new_id
from modelyard.core.processor import processor
from modelyard.core.settings import Settings
from modelyard.delivery import store
from modelyard.delivery.domain import (
    NO_SWAPS,
    Ingredient,
    NewReproduction,
    NotReproducible,
    Reproduction,
    ReproductionId,
    ReproductionState,
    Swaps,
    Verdict,
)
from modelyard.delivery.environments import PYTHON, EnvironmentFailed
from modelyard.delivery.rebuilding import rebuilt
from modelyard.delivery.rebuilding.tracked import RecordedOutcome, repinned
from modelyard.delivery.reproductions import claimed_reproduction, ended_reproduction, failed, start_run_reproduction
from modelyard.delivery.sources import source_archive
from modelyard.delivery.stages import Yard
from modelyard.features.stored import Histories
from modelyard.ledger.service import sequence_pending
from modelyard.server.installation import Installation, opened
from modelyard.storage.rows import digest_frame
from modelyard.tracking import service
from modelyard.tracking.domain import DEFAULT_EXPERIMENT, Batch, Metric, NewRun, RunChange, RunId, RunStatus

TRAIN = """
import json, os, random, sys
from pathlib import Path
from steps import scaled
rows = Path(sys.argv[1]).read_text().split()[1:]
loss = scaled(sum(map(float, rows))) + (random.random() if "--dice" in sys.argv else 0.0)
found = {"metrics": {"loss": loss, "system/cpu": random.random()}, "params": {"rows": str(len(rows))}, "files": {}}
Path(os.environ["MODELYARD_DATA"], "outcome.json").write_text(json.dumps(found))
if "--link" in sys.argv:
    os.symlink("/etc", Path(os.environ["MODELYARD_DATA"], "spools"))
if "--broken" in sys.argv:
    raise RuntimeError("out of paper")
"""
STEPS = "def scaled(value):\n    return value / 3\n"


def read(folder: Path) -> RecordedOutcome:
    """What the script above left, which stands for a client."""
    return msgspec.json.decode((folder / "outcome.json").read_bytes(), type=RecordedOutcome)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation, of which each test knows its own run alone."""
    with opened(Settings(data=str(tmp_path_factory.mktemp("data")))) as installation:
        installation.database.write(service.ensure_default)
        yield installation


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """The data that runs read, beside the project."""
    path = tmp_path / "rows.csv"
    path.write_text("value\n1\n2\n4\n")
    return path


def logged(mine: Installation, rows: Path, *words: str, loss: float = 7 / 3, **changes: Any) -> RunId:
    """A run as the client leaves one: figures, source, packages, record."""
    project = rows.parent / "project"
    (project / "jobs").mkdir(parents=True, exist_ok=True)
    for name, text in (("jobs/train.py", TRAIN), ("jobs/steps.py", STEPS)):
        (project / name).write_text(text)
    environment, source = b"# editable: mine==0\n", source_archive(project)
    dataset = {"name": "rows", "digest": digest_frame(pl.read_csv(rows)), "context": "training", "path": str(rows), "rows": 3}
    record = {
        "format": 1,
        "command": ["python", "train.py", str(rows), *words],
        "folder": "jobs",
        "python": PYTHON,
        "seeds": {"PYTHONHASHSEED": 3},
        "processor": processor(),
        "datasets": [dataset],
        "tolerance": 0.0,
    } | changes
    run = mine.database.write(lambda tx: service.create_run(tx, SYSTEM, NewRun(experiment_id=DEFAULT_EXPERIMENT, name="r")))
    metrics = (Metric(key="loss", value=loss, at=run.facts.started_at), Metric(key="system/cpu", value=0.5, at=run.facts.started_at))
    tags = service.digest_tags(source=digest_bytes(source), environment=digest_bytes(environment), snapshot=None)
    batch = Batch(run_id=run.facts.id, metrics=metrics, params=(("rows", "3"),), tags=tags)
    mine.database.write(lambda tx: service.log_batch(tx, SYSTEM, batch))
    for name, content in (("source.tar", source), ("environment.txt", environment), ("record.json", msgspec.json.encode(record))):
        service.store_file(mine.database, mine.blobs, SYSTEM, (run.facts.id, f"modelyard/{name}"), content)
    mine.database.write(lambda tx: service.finish_run(tx, SYSTEM, run.facts.id))
    return run.facts.id


def made(mine: Installation, run: RunId, swaps: Swaps = NO_SWAPS, hidden: tuple[Path, ...] = ()) -> Reproduction:
    """The run made again, not ended."""
    asked = Reproduction(
        id=ReproductionId(new_id("rpr")),
        team_id=DEFAULT_TEAM,
        model=None,
        version=None,
        run=run,
        state=ReproductionState.WAITING,
        asked_by=SYSTEM.id,
        asked_at=mine.clock.now(),
        swaps=swaps,
    )
    mine.database.write(lambda tx: store.put_reproduction(tx, asked, asked.id))
    held = mine.database.write(lambda tx: claimed_reproduction(tx, "tester", 60.0))
    assert held is not None
    folder = mine.settings.folder
    stores: dict[str, Any] = {"database": mine.database, "blobs": mine.blobs, "tables": mine.tables, "online": mine.online}
    yard = Yard(**stores, histories=Histories(mine.tables), folder=folder, log_key=mine.log_key, holder="tester", beat=lambda: None)
    return rebuilt(yard, held, hidden or (folder,), read)


def test_a_run_whose_command_gives_the_same_figures_is_identical(mine: Installation, rows: Path) -> None:
    found = made(mine, logged(mine, rows))
    assert (found.verdict, found.differences, found.tolerance) == (Verdict.IDENTICAL, (), None)
    assert {one.what for one in found.comparisons if one.decides} == {"metric loss"}
    assert [one.name for one in found.steps] == ["records", "environment", "data", "train", "compare"]


def test_where_its_data_was_changed_the_file_and_the_rows_are_named(mine: Installation, rows: Path) -> None:
    run = logged(mine, rows)
    rows.write_text("value\n1\n2\n")
    found = made(mine, run)
    assert found.verdict is Verdict.DIFFERENT
    assert [one.ingredient for one in found.differences] == [Ingredient.DATA]
    assert f"{rows} is no longer what rows was read from, 2 rows instead of 3" in found.reason


def kept_in_project(mine: Installation, rows: Path) -> tuple[RunId, Path]:
    """A run whose data is small enough to be a part of its source, and the project's folder."""
    project = rows.parent / "project"
    project.mkdir()
    (project / "rows.csv").write_bytes(rows.read_bytes())
    dataset = {"name": "rows", "digest": digest_frame(pl.read_csv(rows)), "path": "rows.csv", "rows": 3}
    return logged(mine, rows, command=["python", "train.py", "../rows.csv"], datasets=[dataset], root=str(project)), project


def test_with_other_code_the_file_is_named_and_its_data_is_still_the_recorded_one(mine: Installation, rows: Path) -> None:
    run, project = kept_in_project(mine, rows)
    (project / "rows.csv").write_text("value\n9\n")
    (project / "jobs" / "steps.py").write_text(STEPS.replace("3", "4"))
    found = made(mine, run, Swaps(source=mine.blobs.put_bytes(source_archive(project))))
    assert (found.verdict, [one.ingredient for one in found.differences]) == (Verdict.DIFFERENT, [Ingredient.CODE])
    assert found.differences[0].said == "jobs/steps.py has other content"
    assert {one.what: one.rebuilt for one in found.comparisons}["metric loss"] == repr(7 / 4)


def test_a_source_without_the_commands_file_is_refused(mine: Installation, rows: Path) -> None:
    run, project = kept_in_project(mine, rows)
    (project / "jobs" / "train.py").unlink()
    with pytest.raises(NotReproducible, match="the source of today has no train"):
        made(mine, run, Swaps(source=mine.blobs.put_bytes(source_archive(project))))


def test_data_of_the_project_that_its_source_leaves_out_is_read_where_the_project_lies(mine: Installation, rows: Path) -> None:
    dataset = {"name": "rows", "digest": digest_frame(pl.read_csv(rows)), "path": "big/rows.csv", "rows": 3}
    command = ["python", "train.py", "../big/rows.csv"]
    run = logged(mine, rows, command=command, datasets=[dataset], root=str(rows.parent / "project"))
    big = rows.parent / "project" / "big"
    big.mkdir()
    rows.rename(big / "rows.csv")
    assert made(mine, run).verdict is Verdict.IDENTICAL


def test_a_command_that_rolls_dice_does_not_repeat_itself(mine: Installation, rows: Path) -> None:
    found = made(mine, logged(mine, rows, "--dice"))
    assert (found.verdict, [one.ingredient for one in found.differences]) == (Verdict.DIFFERENT, [Ingredient.TRAINING])


def test_what_was_allowed_before_the_training_is_allowed(mine: Installation, rows: Path) -> None:
    assert made(mine, logged(mine, rows, loss=7 / 3 + 1e-12, tolerance=1e-9)).verdict is Verdict.EQUAL_WITHIN_TOLERANCE


def test_a_package_is_taken_in_another_version_if_the_run_had_it() -> None:
    kept = b"iniconfig==2.1.0\nzope-event==6.0\n"
    assert repinned(kept, ("IniConfig==2.0.0", "zope.event==5.0")) == b"iniconfig==2.0.0\nzope-event==5.0\n"
    with pytest.raises(EnvironmentFailed, match="polars is not among the packages of the run"):
        repinned(kept, ("polars==2.1.0",))


def test_a_command_that_fails_is_told_with_the_end_of_its_log(mine: Installation, rows: Path) -> None:
    found = made(mine, logged(mine, rows, "--broken"))
    assert found.verdict is Verdict.FAILED
    assert "RuntimeError: out of paper" in found.reason


def test_a_notebook_has_no_command(mine: Installation, rows: Path) -> None:
    with pytest.raises(NotReproducible, match="notebook"):
        made(mine, logged(mine, rows, command=None))


def test_a_source_that_was_replaced_is_refused(mine: Installation, rows: Path) -> None:
    run = logged(mine, rows)
    service.store_file(mine.database, mine.blobs, SYSTEM, (run, "modelyard/source.tar"), b"other")
    with pytest.raises(NotReproducible, match=r"modelyard/source\.tar of the run is not what its tag says"):
        made(mine, run)


def test_what_is_no_record_is_refused(mine: Installation, rows: Path) -> None:
    run = logged(mine, rows)
    service.store_file(mine.database, mine.blobs, SYSTEM, (run, "modelyard/record.json"), b"{")
    with pytest.raises(NotReproducible, match="cannot be read"):
        made(mine, run)


@pytest.mark.parametrize("change", [{"tolerance": 1.5}, {"python": "../source/python"}])
def test_what_no_client_records_is_refused(mine: Installation, rows: Path, change: dict[str, Any]) -> None:
    with pytest.raises(NotReproducible, match="cannot be read"):
        made(mine, logged(mine, rows, **change))


def test_a_tolerance_that_is_written_after_the_end_is_refused(mine: Installation, rows: Path) -> None:
    run = logged(mine, rows, loss=3.0)
    sequence_pending(mine.database, "tester")
    with mine.database.read() as snapshot:
        there = next(one for one in service.list_all_files(snapshot, SYSTEM, run) if one.path == "modelyard/record.json")
    record = msgspec.json.decode(mine.blobs.get_bytes(there.digest)) | {"tolerance": 0.9}
    service.store_file(mine.database, mine.blobs, SYSTEM, (run, "modelyard/record.json"), msgspec.json.encode(record))
    with pytest.raises(NotReproducible, match=r"modelyard/record\.json of the run was written after the run had ended"):
        made(mine, run)


def test_a_run_that_goes_on_is_not_made_again(mine: Installation, rows: Path) -> None:
    run = logged(mine, rows)
    mine.database.write(lambda tx: service.update_run(tx, SYSTEM, run, RunChange(status=RunStatus.RUNNING)))
    with pytest.raises(NotReproducible, match="has not ended"):
        mine.database.write(lambda tx: start_run_reproduction(tx, SYSTEM, run, NewReproduction()))
    with pytest.raises(NotReproducible, match="has not ended"):
        made(mine, run)
    mine.database.write(lambda tx: service.finish_run(tx, SYSTEM, run))
    asked = mine.database.write(lambda tx: start_run_reproduction(tx, SYSTEM, run, NewReproduction()))
    mine.database.write(lambda tx: ended_reproduction(tx, failed(asked, "not tried")))


def test_data_is_never_the_installations_own_wherever_it_keeps_it(mine: Installation, rows: Path) -> None:
    run = logged(mine, rows)
    with pytest.raises(NotReproducible, match="the installation's own"):
        made(mine, run, hidden=(mine.settings.folder, rows.parent))


def test_a_command_that_leaves_a_link_to_what_it_may_not_see_fails(mine: Installation, rows: Path) -> None:
    found = made(mine, logged(mine, rows, "--link"))
    assert (found.verdict, "it left a link" in found.reason) == (Verdict.FAILED, True)

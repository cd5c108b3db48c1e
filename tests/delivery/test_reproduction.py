"""Versions made again from their records: for real, with changed sources, tampered blobs, poisoned environments and killed workers."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role
from modelyard.core.clock import FixedClock
from modelyard.core.digests import Digest
from modelyard.core.enclosure import is_enclosing
from modelyard.core.errors import Conflict, InvalidInput, NotFound
from modelyard.delivery.audits import audit_champions
from modelyard.delivery.domain import (
    Difference,
    Ingredient,
    NewReproduction,
    NotReproducible,
    Reproduction,
    ReproductionId,
    ReproductionState,
    SnapshotVerdict,
    Swaps,
    Verdict,
)
from modelyard.delivery.rebuilding.records import Records, records_of
from modelyard.delivery.rebuilding.room import ROOMY
from modelyard.delivery.rebuilding.rows import snapshot_rows
from modelyard.delivery.reproductions import check_reproducible, claimed_reproduction, ended_reproduction, failed
from modelyard.delivery.sections import on_models_page, on_runs_page
from modelyard.delivery.service import list_reproductions, list_run_reproductions, start_reproduction
from modelyard.delivery.sources import source_archive
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry.domain import CHAMPION, ModelName
from modelyard.registry.service import delete_alias, set_alias, show_version
from modelyard.server.installation import Installation, opened
from modelyard.server.reproducing import reproduce_once
from modelyard.tracking.domain import RunId
from modelyard.tracking.service import get_run
from modelyard.web.parts import Link
from tests.delivery.reproducing import asked, reproduced, settings_of, shipped, standing, write_project

# Each worker would deliver models of its own.
pytestmark = pytest.mark.xdist_group("reproduction")

FLIGHTS = "flights.parquet"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's folder, every model of it delivered."""
    made = tmp_path_factory.mktemp("mine")
    write_project(made)
    with opened(settings_of(made)) as installation:
        shipped(installation, made)
    return made


@pytest.fixture
def mine(folder: Path) -> Iterator[Installation]:
    """The project's installation."""
    with opened(settings_of(folder)) as installation:
        yield installation


@contextlib.contextmanager
def changed(path: Path, content: bytes | None) -> Iterator[None]:
    """A file that holds something else, or is gone, while the block runs."""
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def blob(folder: Path, digest: str) -> Path:
    """Where a blob lies."""
    return next(
        path for path in (folder / ".yard" / "blobs").rglob("*") if path.is_file() and digest[7:] in path.as_posix().replace("/", "")
    )


def records(mine: Installation) -> Records:
    """What is recorded of the first version of `trees`."""
    with mine.database.read() as snapshot:
        version = show_version(snapshot, SYSTEM, ModelName("trees"), 1).version
        held = Reproduction(
            id=ReproductionId("rpr_x"),
            team_id=version.team_id,
            model="trees",
            version=1,
            state=ReproductionState.RUNNING,
            asked_by=SYSTEM.id,
            asked_at=version.created_at,
        )
        return records_of(snapshot, held)


def left_behind(found: Reproduction) -> list[Path]:
    """What a reproduction left in the machine's folder of temporary files."""
    return list(ROOMY.glob(f"modelyard-rebuild-{found.id}-*"))


def compared(found: Reproduction) -> dict[str, bool]:
    """What was compared, and whether it is equal."""
    return {one.what: one.is_equal for one in found.comparisons}


@pytest.mark.parametrize("model", ["trees", "plain"])
def test_a_version_is_made_again_bit_for_bit_and_that_is_recorded(mine: Installation, model: str) -> None:
    with mine.database.read() as snapshot:
        before = show_version(snapshot, SYSTEM, ModelName(model), 1)
    found = reproduced(mine, model)
    assert (found.verdict, found.snapshot, found.tolerance) == (Verdict.IDENTICAL, SnapshotVerdict.REBUILT, None), found
    what = compared(found)
    assert all(what.values())
    assert {"model content", "metric roc_auc", "predictions", "training snapshot", "environment", "Modelyard's own package"} <= set(what)
    assert [one.name for one in found.steps] == ["records", "environment", "data", "train", "compare"]
    sequence_pending(mine.database, "test")
    with mine.database.read() as snapshot:
        assert show_version(snapshot, SYSTEM, ModelName(model), 1) == before
        assert found in list_reproductions(snapshot, SYSTEM, model)
        event = [one for one in list_events(snapshot, -1, ("delivery.reproduced",), 100) if one.data["reproduction"] == found.id]
    assert [one.subject for one in event] == [f"model:{model}/1"]
    assert event[0].data["content"] == before.version.content


@pytest.mark.skipif(not is_enclosing(), reason="this machine lets nothing be enclosed, so that a thief finds what it looks for")
def test_a_model_that_rolls_dice_is_different_and_finds_no_copy_of_the_original_to_pass_off_as_its_own(mine: Installation) -> None:
    found = reproduced(mine, "dice")
    assert found.is_enclosed
    assert found.verdict is Verdict.DIFFERENT
    what = compared(found)
    assert (what["model content"], what["predictions"], what["training snapshot"], what["environment"]) == (False, False, True, True)
    predictions = next(one for one in found.comparisons if one.what == "predictions")
    assert predictions.difference is not None
    assert 0 < predictions.difference < 1
    assert [one.ingredient for one in found.differences] == [Ingredient.TRAINING]
    assert "model content, metric" in found.reason


def flipped(folder: Path, rows: int) -> bytes:
    """The flights, of which the first so many are late where they were not and the other way round."""
    flights = pl.read_parquet(folder / FLIGHTS).with_row_index()
    other = flights.with_columns(late=pl.when(pl.col("index") < rows).then(1 - pl.col("late")).otherwise(pl.col("late"))).drop("index")
    buffer = io.BytesIO()
    other.write_parquet(buffer)
    return buffer.getvalue()


def test_where_a_source_has_changed_the_recorded_rows_are_learned_from_and_it_says_so(mine: Installation, folder: Path) -> None:
    with changed(folder / FLIGHTS, flipped(folder, 3)):
        rows = snapshot_rows(mine.blobs, records(mine))
    assert (rows.verdict, rows.is_as_recorded) == (SnapshotVerdict.CHANGED, True)
    assert "3 of 2,000 rows have other values in late, the first at 2026-01-01" in rows.said
    assert FLIGHTS in rows.said


def test_made_with_the_data_of_today_it_is_different_and_the_rows_are_named(mine: Installation, folder: Path) -> None:
    with changed(folder / FLIGHTS, flipped(folder, 300)):
        found = reproduced(mine, "trees", Swaps(data=True))
    assert (found.verdict, found.snapshot, found.is_evidence) == (Verdict.DIFFERENT, SnapshotVerdict.CHANGED, False)
    (cause,) = found.differences
    assert cause.ingredient is Ingredient.DATA
    assert "300 of 2,000 rows have other values in late" in cause.said
    assert cause.said in found.reason


def test_made_with_other_code_it_is_different_and_the_file_is_named(mine: Installation, folder: Path) -> None:
    models = folder / "models.py"
    with changed(models, models.read_bytes().replace(b"subsample=0.5", b"subsample=0.6")):
        source = mine.blobs.put_bytes(source_archive(folder))
    found = reproduced(mine, "trees", Swaps(source=source))
    assert found.verdict is Verdict.DIFFERENT
    assert found.differences == (Difference(ingredient=Ingredient.CODE, said="models.py has other content"),)


def test_made_with_another_version_of_a_library_it_is_different_and_both_versions_are_named(mine: Installation, folder: Path) -> None:
    found = reproduced(mine, "trees", Swaps(packages=("joblib==1.5.3",)))
    assert found.verdict is Verdict.DIFFERENT
    (cause,) = found.differences
    assert cause.ingredient is Ingredient.LIBRARY
    assert re.fullmatch(r"joblib 1\.5\.3 instead of \S+", cause.said)


def test_where_a_source_is_gone_the_recorded_rows_are_learned_from_and_it_says_so(mine: Installation, folder: Path) -> None:
    with changed(folder / "weather.parquet", None):
        rows = snapshot_rows(mine.blobs, records(mine))
    assert (rows.verdict, rows.frame.height) == (SnapshotVerdict.GONE, 2000)
    assert "a source is gone" in rows.said


def test_rows_of_the_sources_that_came_later_change_nothing(mine: Installation, folder: Path) -> None:
    flights = pl.read_parquet(folder / FLIGHTS)
    other = folder / "other.parquet"
    later = flights.tail(1).with_columns(pl.col("scheduled_at", "landed_at").dt.offset_by("100y"))
    pl.concat([flights, later]).write_parquet(other)
    with changed(folder / FLIGHTS, other.read_bytes()):
        assert snapshot_rows(mine.blobs, records(mine)).verdict is SnapshotVerdict.REBUILT


@pytest.mark.parametrize("name", ["source", "artifact"])
def test_a_blob_that_was_tampered_with_is_refused_by_its_digest(mine: Installation, folder: Path, name: str) -> None:
    with mine.database.read() as snapshot:
        digest: Digest = getattr(show_version(snapshot, SYSTEM, ModelName("trees"), 1).version, name)
    path = blob(folder, digest)
    content = path.read_bytes()
    path.chmod(0o600)
    with changed(path, content[:-1] + bytes([content[-1] ^ 1])):
        found = reproduced(mine, "trees")
    assert found.verdict is Verdict.FAILED
    assert digest in found.reason


def test_a_run_that_was_refused_is_made_again_too_and_a_poisoned_kept_environment_does_not_matter(mine: Installation, folder: Path) -> None:
    kept = next((folder / ".yard" / "environments").glob("*/lib/python*/site-packages/threadpoolctl.py"))
    poison = b"raise SystemExit('poisoned')\n"
    with changed(kept, poison), changed(next((folder / ".yard" / "environments").glob("modelyard-*/modelyard/sdk/child.py")), poison):
        found = reproduced(mine, "line")
    assert (found.verdict, found.version, found.model) == (Verdict.IDENTICAL, None, "line"), found.reason
    assert {"model content", "metric roc_auc", "predictions"} <= set(compared(found))
    assert left_behind(found) == []
    with mine.database.read() as snapshot:
        assert list_run_reproductions(snapshot, SYSTEM, RunId(found.run or "")) == [found]
        (card,) = on_runs_page(snapshot, SYSTEM, get_run(snapshot, SYSTEM, RunId(found.run or "")))
    assert [(one.word, one.href) for one in card.events] == [("Identical", f"/reproductions/{found.id}")]
    assert card.act == Link("Make it again", f"/runs/{found.run}/reproduce")


def test_a_worker_killed_midway_is_followed_by_another(mine: Installation, folder: Path) -> None:
    begun = asked(mine, "trees")
    words = [sys.executable, "-m", "modelyard.cli.main", "worker", "--data", str(folder / ".yard")]
    environment = {**os.environ, "MODELYARD_WORKER__LEASE_S": "1"}
    with (folder / "worker.log").open("w") as log:
        worker = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=folder, process_group=0)
        until = time.monotonic() + 60
        while standing(mine, begun).doing not in ("environment", "train") and time.monotonic() < until:
            os.sched_yield()
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    assert standing(mine, begun).state is ReproductionState.RUNNING, (folder / "worker.log").read_text()
    while not reproduce_once(mine, "second"):
        os.sched_yield()
    found = standing(mine, begun)
    assert (found.verdict, found.fence, found.attempt, found.holder) == (Verdict.IDENTICAL, 2, 2, "second")
    assert left_behind(found) == []


def test_a_worker_told_to_end_gives_it_back_as_if_it_had_not_begun(mine: Installation) -> None:
    waits, stop = asked(mine, "trees", "stopped"), threading.Event()
    stop.set()
    for _ in range(2):
        assert reproduce_once(mine, "stopping", stop)
        found = standing(mine, waits)
        assert (found.state, found.attempt, found.holder) == (ReproductionState.WAITING, 0, "")
    end(mine)


def end(mine: Installation) -> None:
    """Ends the reproduction that waits, without making anything."""
    held = mine.database.write(lambda tx: claimed_reproduction(tx, "tester", 60.0))
    assert held is not None
    mine.database.write(lambda tx: ended_reproduction(tx, failed(held, "not tried")))


def test_the_same_key_and_one_that_is_under_way_are_the_same_reproduction(mine: Installation) -> None:
    first = asked(mine, "dice", key="k")
    assert asked(mine, "dice").id == asked(mine, "dice", key="k").id == first.id
    with pytest.raises(Conflict, match="stands for another reproduction, of dice v1"):
        asked(mine, "trees", key="k")
    end(mine)
    assert asked(mine, "dice", key="k").state is ReproductionState.ENDED
    assert asked(mine, "dice").id != first.id
    end(mine)


def listed(mine: Installation) -> list[Reproduction]:
    """Every reproduction there is."""
    with mine.database.read() as snapshot:
        return list_reproductions(snapshot, SYSTEM)


def test_the_audit_asks_once_for_each_champion_that_was_not_made_again_lately(mine: Installation) -> None:
    mine.database.write(lambda tx: set_alias(tx, SYSTEM, ModelName("dice"), CHAMPION, 1))
    with mine.database.read() as snapshot:
        registered_at = show_version(snapshot, SYSTEM, ModelName("dice"), 1).version.created_at
    clock = FixedClock(registered_at)
    later = mine.database.with_clock(clock)
    weekly = "0 3 * * 0"
    assert audit_champions(later, weekly) == audit_champions(later, "") == []
    for days, expected in ((40, 1), (0, 0), (8, 0), (31, 1)):
        clock.advance(days * 86_400)
        found = audit_champions(later, weekly)
        assert len(found) == expected, days
        assert [one.name for one in listed(mine) if one.id in found] == ["dice v1"] * expected
        if found:
            end(mine)
    with mine.database.read() as snapshot:
        said = on_models_page(snapshot, SYSTEM, ModelName("dice"))
    assert [(mark.version, mark.href) for mark in said.marks] == [(1, f"/reproductions/{found[0]}")]
    assert [phrase.text for phrase in said.phrases] == ["v1 was made again from its records and that failed"]
    mine.database.write(lambda tx: delete_alias(tx, SYSTEM, ModelName("dice"), CHAMPION))


def test_an_audit_at_no_time_says_what_it_could_be(mine: Installation) -> None:
    with pytest.raises(InvalidInput, match=r"reproduction\.audit='never' names no time"):
        audit_champions(mine.database, "never")


def test_whoever_may_only_look_starts_none_and_other_teams_see_none(mine: Installation) -> None:
    viewer = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
    stranger = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={})
    with pytest.raises(NotAllowed):
        mine.database.write(lambda tx: start_reproduction(tx, viewer, ModelName("trees"), 1, NewReproduction()))
    with pytest.raises(NotFound):
        mine.database.write(lambda tx: start_reproduction(tx, stranger, ModelName("trees"), 1, NewReproduction()))
    with mine.database.read() as snapshot:
        assert list_reproductions(snapshot, stranger) == []


def test_a_version_that_does_not_say_what_it_came_from_is_refused_at_once(mine: Installation) -> None:
    with mine.database.read() as snapshot:
        version = show_version(snapshot, SYSTEM, ModelName("trees"), 1).version
    check_reproducible(version)
    with pytest.raises(NotReproducible, match="no recorded source"):
        check_reproducible(msgspec.structs.replace(version, source=None))

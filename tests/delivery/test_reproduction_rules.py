"""The records of reproductions on both databases, the verdict, and what a fresh environment is held to."""

import base64
import hashlib
import tempfile
from pathlib import Path

import numpy as np
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import FixedClock, Instant
from modelyard.core.digests import digest_bytes
from modelyard.delivery import store
from modelyard.delivery.domain import Comparison, FencedOff, Reproduction, ReproductionId, ReproductionState, Verdict
from modelyard.delivery.environments import Environment
from modelyard.delivery.rebuilding.comparison import allowed, compared, compared_metrics, compared_predictions, verdict_of
from modelyard.delivery.rebuilding.environment import checked_files
from modelyard.delivery.rebuilding.room import opened_room
from modelyard.delivery.reproductions import (
    MOST_ATTEMPTS,
    advanced,
    claimed_reproduction,
    ended_reproduction,
    extended_reproduction,
    get_reproduction,
    put_back,
)
from modelyard.storage.database import Database

LEASE_S = 10.0
OVER = -1.0
"""A lease that has run out when it begins, by whichever clock leases go."""


def waiting(database: Database, name: str = "rpr_1") -> Reproduction:
    found = Reproduction(
        id=ReproductionId(name),
        team_id=DEFAULT_TEAM,
        model="late",
        version=1,
        state=ReproductionState.WAITING,
        asked_by=SYSTEM.id,
        asked_at=Instant(0),
    )
    database.write(lambda tx: store.put_reproduction(tx, found, found.id))
    return found


def claim(database: Database, holder: str = "w1", lease_s: float = LEASE_S) -> Reproduction:
    found = database.write(lambda tx: claimed_reproduction(tx, holder, lease_s))
    assert found is not None
    return found


def stands(database: Database, name: str = "rpr_1") -> Reproduction:
    with database.read() as snapshot:
        return get_reproduction(snapshot, SYSTEM, ReproductionId(name))


def test_two_workers_never_hold_one_reproduction(database: Database) -> None:
    waiting(database)
    claim(database)
    assert database.write(lambda tx: claimed_reproduction(tx, "w2", LEASE_S)) is None


def test_one_that_was_abandoned_is_taken_up_and_the_old_holder_changes_nothing(database: Database) -> None:
    waiting(database)
    old, new = claim(database, "w1", OVER), claim(database, "w2")
    assert (new.fence, new.attempt, new.holder) == (old.fence + 1, 2, "w2")
    for act in (
        lambda tx: advanced(tx, old, "train"),
        lambda tx: extended_reproduction(tx, old, LEASE_S),
        lambda tx: ended_reproduction(tx, old),
        lambda tx: put_back(tx, old, "away"),
    ):
        with pytest.raises(FencedOff):
            database.write(act)
    database.write(lambda tx: advanced(tx, new, "train"))
    assert stands(database).doing == "train"


def test_it_ends_once_and_knows_how_long_it_took_by_the_machines_clock(database: Database, clock: FixedClock) -> None:
    waiting(database)
    held = claim(database)
    clock.advance(7)
    database.write(lambda tx: ended_reproduction(tx, held))
    assert stands(database).duration_s == 7.0
    with pytest.raises(FencedOff):
        database.write(lambda tx: ended_reproduction(tx, held))


def test_one_that_takes_its_workers_down_fails_and_leaves_the_next_one_to_be_taken_up(database: Database) -> None:
    waiting(database)
    for _ in range(MOST_ATTEMPTS):
        claim(database, "w1", OVER)
    assert database.write(lambda tx: claimed_reproduction(tx, "w2", LEASE_S)) is None
    found = stands(database)
    assert (found.state, found.verdict) == (ReproductionState.ENDED, Verdict.FAILED)
    assert "3 workers" in found.reason


def test_one_whose_store_was_away_is_tried_again_and_then_fails(database: Database) -> None:
    waiting(database)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        held = claim(database)
        assert held.attempt == attempt
        database.write(lambda tx, held=held: put_back(tx, held, "the blob store is away"))  # type: ignore[misc]  # a bound default
    assert (stands(database).verdict, stands(database).reason) == (Verdict.FAILED, "the blob store is away")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rooms_of_killed_attempts_are_removed_and_those_of_living_ones_are_not(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "rooms"
    monkeypatch.setenv("TMPDIR", str(root))
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    abandoned = root / "modelyard-rebuild-rpr_9-x"
    (abandoned / "artifact").mkdir(parents=True)
    (abandoned / "lock").touch()
    held = waiting(database)
    with opened_room(held, ()) as one, opened_room(held, ()) as other:
        assert sorted(root.iterdir()) == sorted([one.folder, other.folder])
    assert list(root.iterdir()) == []


def both(difference: float) -> list[Comparison]:
    recorded = np.array([0.25, 0.5, 0.75])
    return [
        compared("model content", digest_bytes(b"a"), digest_bytes(b"b"), decides=True),
        *compared_metrics({"roc_auc": 0.7, "brier": None}, {"roc_auc": 0.7 + difference, "brier": float("nan")}),
        compared_predictions(recorded, recorded + difference),
        compared("environment", "x", "y", decides=False),
    ]


@pytest.mark.parametrize(("difference", "same", "other"), [(1e-9, "different", "equal_within_tolerance"), (1e-3, "different", "different")])
def test_a_tolerance_is_for_other_processors_alone(difference: float, same: str, other: str) -> None:
    found = both(difference)
    assert [verdict_of(found, allowed(0.0, is_same_family=one))[0] for one in (True, False)] == [same, other]


@pytest.mark.parametrize(("declared", "verdict"), [(0.0, "different"), (1e-8, "equal_within_tolerance"), (1e-10, "different")])
def test_what_was_declared_before_it_was_trained_is_allowed_on_the_same_processor(declared: float, verdict: str) -> None:
    assert verdict_of(both(1e-9), allowed(declared, is_same_family=True))[0] == verdict
    assert allowed(declared, is_same_family=False) == 1e-6


def test_only_what_the_model_computes_decides() -> None:
    found = [compared("model content", "a", "a", decides=True), compared("environment", "x", "y", decides=False)]
    assert verdict_of(found, 0.0)[0] is Verdict.IDENTICAL


def test_a_missing_answer_is_no_number_and_never_within_tolerance() -> None:
    found = compared_predictions(np.array([0.1, 0.2]), np.array([0.1, np.nan]))
    assert (found.is_equal, found.difference) == (False, None)
    assert verdict_of([found], 1e-6)[0] is Verdict.DIFFERENT


def test_infinity_is_not_its_negative_nor_what_was_not_measured_again() -> None:
    infinite = float("inf")
    found = compared_metrics(
        {"a": infinite, "b": infinite, "c": float("nan"), "d": None}, {"a": -infinite, "b": infinite, "c": float("nan")}
    )
    assert [one.is_equal for one in found] == [False, True, True, False]


def test_answers_that_are_no_numbers_on_both_sides_keep_none_of_the_others_from_being_within_tolerance() -> None:
    found = compared_predictions(np.array([np.nan, 0.2]), np.array([np.nan, 0.2 + 1e-12]))
    assert (found.is_equal, verdict_of([found], 1e-6)[0]) == (False, Verdict.EQUAL_WITHIN_TOLERANCE)


@pytest.mark.parametrize(
    ("rebuilt", "metrics", "verdict"),
    [("b", {"loss": 1.0}, "equal_within_tolerance"), ("", {"loss": 1.0}, "different"), ("b", {}, "different")],
)
def test_other_files_are_within_tolerance_where_they_are_there_and_the_figures_say_so(
    rebuilt: str, metrics: dict[str, float], verdict: str
) -> None:
    found = [compared("file model.txt", "a", rebuilt, decides=True), *compared_metrics(metrics, {"loss": 1.0 + 1e-12})]
    assert verdict_of(found, 1e-6)[0] == verdict


def hashed(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("name", "content"), [("tool.py", b"changed"), ("tool.py", None), ("sitecustomize.py", b"more"), ("x.pth", b"import os")]
)
def test_a_fresh_environment_holds_what_its_packages_say_and_nothing_else(tmp_path: Path, name: str, content: bytes | None) -> None:
    packages = tmp_path / "lib" / "python3.12" / "site-packages"
    (packages / "tool-1.dist-info").mkdir(parents=True)
    (packages / "tool.py").write_bytes(b"sound")
    (packages / "tool-1.dist-info" / "RECORD").write_text(f"tool.py,{hashed(b'sound')},5\ntool-1.dist-info/RECORD,,\n")
    digest = digest_bytes(b"")
    interpreter = str(tmp_path / "bin" / "python")
    built = Environment(digest=digest, requirements=digest, modelyard=digest, python="3", interpreter=interpreter, own_folder="")
    assert checked_files(built) == (2, [])
    (packages / name).unlink(missing_ok=True)
    if content is not None:
        (packages / name).write_bytes(content)
    assert checked_files(built)[1] == [name]

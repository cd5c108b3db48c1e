"""Whatever is killed, whenever: deliveries end as if nothing had happened, and no answered prediction is lost."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.delivery.domain import DeliveryDetail, DeliveryState, StageName
from modelyard.governance.domain import ATTESTED
from modelyard.ledger.service import list_events
from modelyard.registry.domain import CHAMPION, ModelName
from modelyard.registry.service import find_alias, list_versions
from modelyard.serving.domain import PredictionQuery
from modelyard.serving.service import get_endpoint, read_predictions
from modelyard.storage.tables import Tables
from tests.journeys.killing import ROLES, UP, Kill, Killer, Records, Traffic, planned_kills, processes, waited
from tests.journeys.project import MODELS, YARD, Mine, write_project

# Two models that are the same but for their name: one is delivered in peace, the other one while everything is killed.
CALM, TROUBLED = "calm", "late"
SETTINGS = "[worker]\nlease_s = 2.0\n[gateway]\nsegment_age_s = 5.0\n"
MANY = 100_000
ATTESTATIONS = 5
BY_REVISION = ("serving.revision_proposed", "serving.revision_activated")
BY_THE_CLOCK = {"as_of", "run", "us_a_row", "approval", "revision", "since", "until", "active_at"}
"""Facts that say when a stage ran, how long it took, or under which number its records are kept."""


def models(trees: int) -> str:
    """The project's two models."""
    one = MODELS.replace("GATE", "1.1").replace("trees: int = 20", f"trees: int = {trees}")
    declaration = one[one.index("@model(") :]
    return one + "\n" + declaration.replace("def late(", f"def {CALM}(")


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[Mine]:
    """A project with two equal models, running."""
    write_project(tmp_path, models(20), SETTINGS)
    mine = Mine(tmp_path)
    mine.start()
    yield mine
    mine.stop()


def delivered(mine: Mine, records: Records, model: str) -> DeliveryDetail:
    """The delivery of a model that nothing disturbed."""
    mine.yard("ship", model)
    delivery = records.delivery(model)
    assert delivery is not None
    waited(lambda: records.detail(delivery).delivery.state is not DeliveryState.RUNNING, "the end of the calm delivery")
    return records.detail(delivery)


def outcome(detail: DeliveryDetail) -> dict[str, Any]:
    """What of a delivery must not depend on when things happened: every stage's state and facts, to the bit."""
    facts = {f"{stage.name}.{name}": value for stage in detail.stages for name, value in stage.facts.items() if name not in BY_THE_CLOCK}
    states = {stage.name.value: stage.state for stage in detail.stages}
    return {"state": detail.delivery.state, "version": detail.delivery.version, **states, **facts}


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Where two outcomes differ."""
    return {name: (one.get(name), other.get(name)) for name in {*one, *other} if one.get(name) != other.get(name)}


def took_s(detail: DeliveryDetail) -> dict[StageName, float]:
    """How long each stage took."""
    return {stage.name: ((stage.ended_at or 0) - (stage.started_at or 0)) / 1e6 for stage in detail.stages}


def entries(records: Records, model: str) -> Counter[tuple[str, str]]:
    """The ledger's entries about a model: how many of each kind, and for which of its parts."""
    with records.database.read() as snapshot:
        events = list_events(snapshot, -1, None, MANY)
    mine = [one for one in events if one.subject.partition(":")[2].partition("/")[0] == model]
    # A view that becomes stale moves the traffic's fallback whenever that is noticed.
    released = [one for one in mine if one.type not in BY_REVISION or str(one.data.get("cause", "")).startswith("delivery")]
    return Counter((one.type, one.subject.replace(model, "MODEL")) for one in released)


def check_released(records: Records, versions: int) -> None:
    """Both models stand alike: so many versions, the last of them champion with all traffic, nothing under way, nothing entered twice."""
    for model in (ModelName(CALM), ModelName(TROUBLED)):
        with records.database.read() as snapshot:
            endpoint = get_endpoint(snapshot, SYSTEM, model)
            alias, found = find_alias(snapshot, model, CHAMPION), list_versions(snapshot, SYSTEM, model)
        assert ([one.version.number for one in found], alias and alias.version) == ([*range(versions, 0, -1)], versions)
        assert endpoint.live is not None
        traffic = endpoint.live.revision.traffic
        assert (traffic.champion, traffic.canary, endpoint.coming) == (versions, None, None)
    for name in (CALM, TROUBLED):
        waited(lambda name=name: attested(records, name) == ATTESTATIONS * versions, f"the attestations of {name}")  # type: ignore[misc]
    assert entries(records, TROUBLED) == entries(records, CALM)


def attested(records: Records, model: str) -> int:
    """How many attestations of the model's versions are in the ledger; a worker makes them a moment after what they are about."""
    return sum(count for (kind, _), count in entries(records, model).items() if kind == ATTESTED)


def check_ledger(mine: Mine) -> None:
    """Every entry has its place, and the whole log verifies."""
    with mine.client(mine.url) as control:
        waited(lambda: control.post("/api/v1/ledger/verification", json={"known": []}).json()["pending"] == 0, "the order of all entries")
        verified = control.post("/api/v1/ledger/verification", json={"known": []}).json()
    assert (verified["is_sound"], verified["findings"]) == (True, []), verified


def check_predictions(mine: Mine, traffic: Traffic) -> None:
    """Every answered prediction is in the log, once."""
    with mine.client(mine.url) as control:
        sealed = control.post("/api/v1/prediction-log/seal", json={}).json()["before_at"]
        place = "/api/v1/prediction-log/position"
        waited(lambda: control.get(place).json()["complete_through_at"] >= sealed, "the log's tables")
    tables = Tables.open(f"file://{mine.folder / '.yard' / 'tables'}")
    for model, answered in traffic.answered.items():
        query = PredictionQuery(model=ModelName(model), since=Instant(0), until=Instant(2**60))
        logged = read_predictions(tables, query)["id"].to_list()
        assert len(answered) > 50
        assert set(answered) <= set(logged), f"{len(set(answered) - set(logged))} of {len(answered)} answers to {model} are lost"
        assert len(set(logged)) == len(logged)
    assert traffic.refused == []


def shaken(mine: Mine, records: Records, calm: DeliveryDetail, plan: list[Kill]) -> DeliveryDetail:
    """The delivery of the other model, with kills as planned; `yard ship`, which follows it, gets over them too."""
    before = records.delivery(TROUBLED) or ""
    shutil.rmtree(mine.folder / ".yard" / "environments")  # so that its making is a part of what is killed
    with subprocess.Popen([*YARD, "ship", TROUBLED, "--json"], cwd=mine.folder, stdout=subprocess.PIPE) as ship:
        waited(lambda: records.delivery(TROUBLED, before) is not None, "the delivery")
        delivery = records.delivery(TROUBLED)
        assert delivery is not None
        killer = Killer(mine, records, took_s(calm))
        detail = killer.follow(delivery, plan)
        ship.communicate(timeout=60)
    sys.stdout.write("".join(f"killed {role} in {stage}, {state}\n" for role, stage, state in killer.done))
    assert ship.returncode == 0
    return detail


@pytest.fixture
def records(troubled: Mine) -> Iterator[Records]:
    """The project's records."""
    found = Records(troubled)
    yield found
    found.database.close()


@pytest.mark.journey
def test_deliveries_end_as_undisturbed_ones_whatever_is_killed_meanwhile(
    troubled: Mine, records: Records, random: np.random.Generator
) -> None:
    plans = planned_kills(random, 2)
    with Traffic(troubled, (CALM, TROUBLED)) as traffic:
        for version, (trees, plan) in enumerate(zip((20, 30), plans, strict=True), 1):
            (troubled.folder / "models.py").write_text(models(trees))
            calm = delivered(troubled, records, CALM)
            other = shaken(troubled, records, calm, plan)
            assert differences(outcome(other), outcome(calm)) == {}
            check_ledger(troubled)
            check_released(records, version)
    check_predictions(troubled, traffic)
    running = processes(troubled.folder)
    assert len(running) == len((UP, *ROLES)), running

"""The search: every kind of thing by its name or id, for whoever may see it; and what the rail counts."""

import pytest

from modelyard.access.domain import SYSTEM, Principal
from modelyard.fleet.domain import Found
from modelyard.fleet.service import count_waiting, search
from modelyard.registry.service import get_version
from modelyard.tracking.domain import ExperimentId, NewRun
from modelyard.tracking.service import NewExperiment, create_experiment, create_run
from tests.fleet.world import EVE, LATE, MAX, Fleet
from tests.monitoring.world import SET


def found(fleet: Fleet, q: str, principal: Principal = EVE) -> list[Found]:
    """What a search finds."""
    with fleet.database.read() as snapshot:
        return search(snapshot, principal, *fleet.stores, q)


def hrefs(fleet: Fleet, q: str) -> list[str]:
    """Where its hits lead."""
    return [one.href for one in found(fleet, q)]


def test_names_are_found_by_a_part_of_them(fleet: Fleet) -> None:
    assert hrefs(fleet, "LAT") == ["/models/late"]
    assert hrefs(fleet, " weath ") == ["/features/weather"]


def test_versions_deliveries_predictions_and_digests_are_found_by_their_ids(fleet: Fleet) -> None:
    name, prediction = fleet.deliver(2), fleet.predict()
    assert hrefs(fleet, "late/2") == ["/models/late/versions/2"]
    assert hrefs(fleet, name) == [f"/deliveries/{name}"]
    assert f"/deliveries/{name}" in hrefs(fleet, name[:10])
    assert hrefs(fleet, prediction) == [f"/trace/{prediction}"]
    with fleet.database.read() as snapshot:
        artifact = get_version(snapshot, LATE, 3).artifact
    assert hrefs(fleet, artifact) == [f"/trace/{artifact}", "/models/late/versions/3"]
    assert len(found(fleet, SET.digest)) == 4


def test_runs_and_experiments_are_found_by_name_and_runs_by_the_start_of_their_id(fleet: Fleet) -> None:
    experiment = fleet.database.write(lambda tx: create_experiment(tx, SYSTEM, NewExperiment(name="winter flights")))
    run = fleet.database.write(lambda tx: create_run(tx, SYSTEM, NewRun(experiment_id=ExperimentId(experiment.id), name="deep-one")))
    assert hrefs(fleet, "Winter") == [f"/experiments/{experiment.id}"]
    for q in ("deep", run.facts.id, run.facts.id[:8]):
        assert f"/runs/{run.facts.id}" in hrefs(fleet, q)


@pytest.mark.parametrize("q", ["", " ", "%", "'", "' OR 1=1 --", "\x00", "x" * 500, "dlv_", "late/", "late/999999999999", "sha256:"])
def test_odd_words_find_nothing_and_break_nothing(registered: Fleet, q: str) -> None:
    assert found(registered, q) == []


def test_other_teams_find_nothing(fleet: Fleet) -> None:
    name, prediction = fleet.deliver(2), fleet.predict()
    for q in ("late", "weather", "late/1", name, name[:8], prediction, SET.digest):
        assert found(fleet, q, MAX) == []


def test_the_rail_counts_what_waits_for_those_who_may_see_it(fleet: Fleet) -> None:
    fleet.wait(2)
    with fleet.database.read() as snapshot:
        assert count_waiting(snapshot, EVE) == {"/approvals": 1, "/monitoring": 0}
        assert count_waiting(snapshot, MAX) == {"/approvals": 0, "/monitoring": 0}

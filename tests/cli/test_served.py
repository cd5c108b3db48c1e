"""The commands of an on-call person, each with what it is about: a model that real processes serve, and an alert of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM, Role
from modelyard.features.domain import Entity, FeatureView, Parquet
from modelyard.features.service import apply_view
from modelyard.monitoring.domain import Alert, NewReference, NewWatch, drift
from modelyard.monitoring.service import list_open_alerts, put_reference, reference_of, set_monitors, tick
from modelyard.registry.domain import CHAMPION, VersionState
from modelyard.serving.domain import RevisionState, Route
from modelyard.storage.tables import Tables
from tests.live import Live, live
from tests.monitoring.world import drawn
from tests.serving.world import LATE, WEATHER, until

pytestmark = pytest.mark.xdist_group("served")
PROMISED = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features=WEATHER.features, ttl="3h", freshness="6h")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """An installation whose model reads a view that promises to be fresh, and that nothing was ever brought to."""
    with live(tmp_path_factory.mktemp("served")) as made:
        made.database.write(lambda tx: apply_view(tx, SYSTEM, PROMISED, str(made.folder)))
        made.database.write(lambda tx: set_monitors(tx, SYSTEM, LATE, NewWatch(monitors=(drift(),))))
        yield made


@pytest.fixture
def alert(served: Live) -> Alert:
    """The open alert about the stale view, found by a look of monitoring."""
    served.serve(1)
    rows = drawn(np.random.default_rng(1), 2000)
    frame = pl.DataFrame({"wind": rows.wind, "carrier": rows.carrier})
    content = NewReference(reference=reference_of(frame, ["wind", "carrier"], (drift(),)), views={"wind": "weather"})
    served.database.write(lambda tx: put_reference(tx, SYSTEM, LATE, 1, content))
    tick(served.database, Tables.open(f"file://{served.data / 'tables'}"))
    with served.database.read() as snapshot:
        (found,) = list_open_alerts(snapshot, SYSTEM)
    return found


def answered(served: Live, *words: str, token: str = "") -> Any:
    """The JSON answer of a command that succeeds."""
    done = served.yard(*words, "--json", token=token)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_why_says_what_is_stale_for_whom_whether_a_rollback_would_help_and_what_to_do_next(served: Live, alert: Alert) -> None:
    said = served.yard("why", alert.id).stdout
    assert "weather is stale, which late reads." in said
    assert "Whether a rollback would help is not known: no other version has answered before" in said
    assert "Next: yard features materialize weather" in said
    why = answered(served, "why", alert.id)["why"]
    assert (why["stale"], why["readers"], why["rollback"]["helps"]) == ("weather", ["late"], None)
    assert why["next"] in said.replace("\n", " ")


def test_an_alert_is_silenced_with_a_reason_and_stays_open(served: Live, alert: Alert) -> None:
    assert "silent until" in served.yard("silence", alert.id, "--for", "2h", "--why", "the feed is being repaired").stdout
    silence = answered(served, "silence", alert.id, "--for", "3d", "--why", "it takes longer")["silence"]
    with served.client() as client:
        found = client.get_alert(alert.id)
    assert found.silence is not None
    assert (found.is_open, found.silence.why, found.silence.until_at) == (True, "it takes longer", silence["until_at"])
    entries = [one.data["why"] for one in served.events("monitoring.alert_silenced") if one.subject == f"alert:{alert.id}"]
    assert entries[-2:] == ["the feed is being repaired", "it takes longer"]


def test_a_rollback_is_told_once_the_gateway_answers_under_it(served: Live) -> None:
    served.serve(1)
    base = served.serve(2)
    said = served.yard("rollback", "late", "--why", "answers too late")
    assert (said.returncode, said.stdout) == (0, f"late is back at v1 (revision {base + 1}): answers too late\n")
    until(lambda: served.predict().get("revision") == base + 1)
    never = served.yard("rollback", "late", "--to", "9")
    assert (never.returncode, "never_champion" in never.stderr) == (3, True)
    made = answered(served, "rollback", "late", "--to", "v2")
    assert (made["state"], made["revision"]["traffic"]["champion"]) == ("active", 2)
    until(lambda: (served.predict()["version"], served.predict()["revision"]) == (2, base + 2))
    with served.client() as client:
        assert [(one.name, one.version) for one in client.get_model(LATE).aliases] == [(CHAMPION, 2)]
    assert "v2" in served.yard("status", "late").stdout


def test_a_canary_is_taken_back_and_its_version_retired(served: Live) -> None:
    served.serve(3)
    served.serve(1)
    served.serve(1, canary=Route(version=3, share=0.5))
    refused = served.yard("retire", "late", "--version", "3", "--why", "trained on wrong labels")
    assert (refused.returncode, "version_is_live" in refused.stderr) == (1, True)
    made = answered(served, "rollback", "late")
    assert made["revision"]["traffic"]["canary"] is None
    assert "late is retired: v3" in served.yard("retire", "late", "--version", "3", "--why", "trained on wrong labels").stdout
    with served.client() as client:
        found = client.get_version(LATE, 3)
    assert (found.state, found.states[-1].why) == (VersionState.RETIRED, "trained on wrong labels")
    again = served.yard("rollback", "late", "--to", "3")
    assert (again.returncode, "version_is_retired" in again.stderr) == (1, True)


def test_a_model_is_retired_by_an_approver_is_out_of_service_then_and_its_records_stay(tmp_path: Path) -> None:
    with live(tmp_path) as made:
        made.serve(1)
        assert made.yard("retire", "late", "--why", "replaced").returncode == 5
        assert made.predict()["version"] == 1
        words, token = ("retire", "late", "--why", "replaced"), made.token_of(Role.APPROVER)
        assert answered(made, *words, token=token) == {"model": "late", "versions": [3, 2, 1], "was_served": True}
        until(lambda: made.predict().get("error", {}).get("code") == "no_such_endpoint")
        assert answered(made, *words, token=token) == {"model": "late", "versions": [], "was_served": False}
        with made.client() as client:
            detail = client.get_model(LATE)
            states = {one.state for one in client.list_versions(LATE)}
            assert (detail.aliases, states) == ((), {VersionState.RETIRED})
            assert client.get_revision(LATE, 1).state is RevisionState.SUPERSEDED
        assert "withdrawn" in made.yard("status", "late").stdout

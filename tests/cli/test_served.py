"""The commands of an on-call person, each with what it is about: a model that real processes serve, and an alert of it."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.access.domain import SYSTEM
from modelyard.features.domain import Entity, FeatureView, Parquet
from modelyard.features.service import apply_view
from modelyard.monitoring.domain import Alert, NewReference, NewWatch, drift
from modelyard.monitoring.service import list_open_alerts, put_reference, reference_of, set_monitors, tick
from modelyard.storage.tables import Tables
from tests.live import Live, live
from tests.monitoring.world import drawn
from tests.serving.world import LATE, WEATHER

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


def answered(served: Live, *words: str) -> Any:
    """The JSON answer of a command that succeeds."""
    done = served.yard(*words, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_why_says_what_is_stale_for_whom_whether_a_rollback_would_help_and_what_to_do_next(served: Live, alert: Alert) -> None:
    said = served.yard("why", alert.id).stdout
    assert "weather is stale, which late reads." in said
    assert "Whether a rollback would help is not known: no other version has answered before" in said
    assert "Next: mend what writes the source of weather" in said
    why = answered(served, "why", alert.id)["why"]
    assert (why["stale"], why["readers"], why["rollback"]["helps"]) == ("weather", ["late"], None)
    assert why["next"] in said.replace("\n", " ")

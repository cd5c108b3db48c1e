"""Live regions follow what the ledger's entries are about, and hear of it from a real server."""

import re
from pathlib import Path

import modelyard
from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Role
from modelyard.core.clock import Instant
from modelyard.ledger.service import sequence_pending
from modelyard.monitoring.domain import AlertKind, NewWatch, StaleEvidence
from modelyard.monitoring.rules.alerting import Found, Plan
from modelyard.monitoring.service import set_monitors
from modelyard.monitoring.service.alerts import made_true
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Transaction
from tests.server.conftest import Running

SOURCE = Path(modelyard.__file__).parent
SUBJECT = re.compile(r'subject ?= ?f"([a-z_]+):')
TEMPLATE_TOPICS = re.compile(r'\b(?:live|topics?) ?= ?"([^"{]+)')
CODE_TOPICS = re.compile(r'\b(?:live|topics?)=(?:" "\.join\(sorted\(\{)?f?"([^"]+)"')
LATE = ModelName("live-late")


def _followed() -> set[str]:
    """The kinds of thing that regions follow, as templates and the pages' code name them."""
    texts = [(TEMPLATE_TOPICS, path) for path in SOURCE.rglob("*.html")] + [(CODE_TOPICS, path) for path in SOURCE.rglob("*.py")]
    topics = [topic for pattern, path in texts for found in pattern.findall(path.read_text("utf-8")) for topic in found.split()]
    return {topic.partition(":")[0] for topic in topics}


def test_every_topic_that_a_region_follows_is_the_start_of_some_entrys_subject() -> None:
    subjects = {kind for path in SOURCE.rglob("*.py") for kind in SUBJECT.findall(path.read_text("utf-8"))}
    followed = _followed()
    assert followed >= {"alert", "endpoint", "gateway", "model"}
    assert followed - subjects == set()


def _open_alert(tx: Transaction) -> None:
    evidence = StaleEvidence(view="weather", newest_event_at=None, promised_s=3600.0, upto_at=None)
    stale = Found(
        kind=AlertKind.STALE,
        subject="weather",
        model=None,
        version=None,
        models=(LATE,),
        title="weather is stale",
        since_at=Instant(0),
        evidence=evidence,
    )
    made_true(tx, Plan(opened=(stale,)), lambda _: DEFAULT_TEAM)


def test_a_monitoring_page_that_is_open_hears_of_an_alert_that_opens(running: Running) -> None:
    database = running.installation.database
    database.write(lambda tx: set_monitors(tx, SYSTEM, LATE, NewWatch(monitors=())))
    with running.client(Role.VIEWER) as client:
        page = client.get("/monitoring", headers={"accept": "text/html"}).text
        assert 'id="alerts"' in page, "without a region an alert that opens has no place to appear in"
        after = re.search(r'data-live-after="(-?\d+)"', page)
        assert after is not None
        database.write(_open_alert)
        sequence_pending(database, "tests")
        query = [("after", after[1]), *[("topic", topic) for topic in set(TEMPLATE_TOPICS.findall(page))]]
        with client.stream("GET", "/live", params=query) as stream:
            told = next(line for line in stream.iter_lines() if line.startswith(("data: ", ": beat")))
    assert told.startswith('data: "alert:alt_')

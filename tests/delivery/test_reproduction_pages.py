"""What a reproduction's page says at each point of its life, what a version's page says of it, and who has the button."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from litestar.testing import TestClient

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import Instant
from modelyard.core.digests import digest_bytes
from modelyard.delivery import store
from modelyard.delivery.domain import Reproduction, ReproductionId, ReproductionState, ReproductionStep, SnapshotVerdict, Verdict
from modelyard.delivery.rebuilding.comparison import compared
from modelyard.delivery.reproductions import advanced, claimed_reproduction, ended_reproduction, failed
from modelyard.delivery.sections import on_versions_page
from modelyard.registry.domain import Format, ModelName, ModelVersion
from modelyard.storage.database import Database
from tests.delivery.test_pages import ADA, EVE, HOSTILE, Client, application, html

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
DIGEST = digest_bytes(b"x")
VERSION = ModelVersion(
    model=ModelName("late"),
    number=3,
    team_id=DEFAULT_TEAM,
    format=Format.LIGHTGBM,
    artifact=DIGEST,
    size_bytes=1,
    content=DIGEST,
    signature=None,
    run="f" * 32,
    snapshot=DIGEST,
    feature_set=DIGEST,
    source=DIGEST,
    environment=DIGEST,
    author=SYSTEM.id,
    created_at=Instant(0),
)


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """A browser in front of delivery's pages."""
    with ThreadPoolExecutor(2) as pool, TestClient(application(database, pool)) as opened:
        yield opened


@pytest.fixture
def held(database: Database) -> Reproduction:
    """A reproduction that a worker has taken up."""
    found = Reproduction(
        id=ReproductionId("rpr_1"),
        team_id=DEFAULT_TEAM,
        model="late",
        version=3,
        state=ReproductionState.WAITING,
        asked_by=ADA.id,
        asked_at=Instant(0),
    )
    database.write(lambda tx: store.put_reproduction(tx, found, found.id))
    taken = database.write(lambda tx: claimed_reproduction(tx, "w1", 60.0))
    assert taken is not None
    return taken


def test_the_step_under_way_is_told(client: Client, database: Database, held: Reproduction) -> None:
    step = ReproductionStep(name="records", took_s=0.2, said="source 123, its digest checked")
    database.write(lambda tx: advanced(tx, held, "environment", step))
    page = html(client, "/reproductions/rpr_1", "eve")
    for words in ("Under way", "At the step environment", "source 123, its digest checked", "Nothing compared yet"):
        assert words in page


def test_every_comparison_is_shown_and_what_the_verdict_rests_on_apart(client: Client, database: Database, held: Reproduction) -> None:
    found = msgspec.structs.replace(
        held,
        verdict=Verdict.DIFFERENT,
        reason="different: model content",
        snapshot=SnapshotVerdict.CHANGED,
        comparisons=(
            compared("model content", DIGEST, digest_bytes(b"y"), decides=True, note=HOSTILE),
            compared("Python", "3.12.4", "3.12.4", decides=False),
        ),
    )
    database.write(lambda tx: ended_reproduction(tx, found))
    page = html(client, "/reproductions/rpr_1", "eve")
    model, _, around = page.partition("Around it")
    assert "Different" in model
    assert "model content" in model
    assert "A source has changed: the recorded snapshot was learned from" in model
    assert "Python" in around
    assert HOSTILE not in page


def test_one_that_failed_says_why(client: Client, database: Database, held: Reproduction) -> None:
    database.write(lambda tx: ended_reproduction(tx, failed(held, f"its process ended with 1: no paper\nTraceback\n{HOSTILE}")))
    page = html(client, "/reproductions/rpr_1", "eve")
    assert "<strong>It could not be made again: its process ended with 1: no paper</strong>" in page
    assert "How it ended" in page
    assert "<code>Traceback " in page
    assert HOSTILE not in page
    assert client.get("/reproductions/rpr_1", headers={"accept": "text/html", "x-as": "max"}).status_code == 404


def test_a_versions_page_has_the_button_for_those_who_may_unless_one_is_under_way(database: Database, held: Reproduction) -> None:
    with database.read() as snapshot:
        assert on_versions_page(snapshot, ADA, VERSION)[0].acts == ()
    database.write(lambda tx: ended_reproduction(tx, msgspec.structs.replace(held, verdict=Verdict.IDENTICAL)))
    with database.read() as snapshot:
        section = on_versions_page(snapshot, ADA, VERSION)[0]
        assert [act.href for act in section.acts] == ["/models/late/versions/3/reproduce"]
        assert section.table is not None
        assert (section.table.rows[0][0].text, section.table.rows[0][0].href) == ("Identical", "/reproductions/rpr_1")
        assert on_versions_page(snapshot, EVE, VERSION)[0].acts == ()
        foreign = on_versions_page(snapshot, ADA, msgspec.structs.replace(VERSION, source=None))[0]
    assert (foreign.acts, foreign.command) == ((), "")
    assert "no recorded source" in foreign.empty

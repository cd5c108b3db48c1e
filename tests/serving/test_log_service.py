"""The whole way of a prediction: a real gateway, its heartbeat, a sealed segment, the tables, found again, joined with its label."""

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from modelyard.access.domain import SYSTEM, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import Clock, Instant, SystemClock, moment
from modelyard.core.errors import Corrupted
from modelyard.core.settings import Settings
from modelyard.features import service as features
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.serving import service
from modelyard.serving.domain import Arm, FoundPrediction, NoSuchPrediction, PredictionQuery, Proposal
from modelyard.serving.log.frames import PredictionFrame
from modelyard.serving.service.log import Log, compact_segment, tidy
from modelyard.serving.store import list_waiting
from modelyard.serving.tabular import LABELS, PREDICTIONS
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.table_leases import take_lease
from modelyard.storage.tables import Tables
from tests.serving.control import ADA, GATE, listening, registered
from tests.serving.world import LATE, ROW, WEATHER, Gateway, World, running, until

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ALWAYS = PredictionQuery(model=LATE, since=Instant(0), until=Instant(2**62))
STRANGER = Principal(id=PrincipalId("usr_x"), name="x", kind="person", roles={TeamId("red"): Role.ADMIN})


@pytest.fixture
def clock() -> Clock:
    """The machine's: gateways are processes and have no other."""
    return SystemClock()


@pytest.fixture
def yard(database: Database, world: World) -> Database:
    """A database with the world's model."""
    registered(database, world)
    return database


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Empty tables."""
    return Tables.open(f"file://{tmp_path / 'tables'}")


@pytest.fixture
def gateway(yard: Database, world: World) -> Iterator[Gateway]:
    """A gateway that follows the database, live under revision 1."""
    body = Proposal(champion=1, shadows=(2,))
    yard.write(lambda tx: service.propose_revision(tx, ADA, LATE, body))
    with listening(yard) as url, running(world, "gateway", control_url=url, login=False) as started:
        until(lambda: started.client.post("/predict/late", json={"rows": [ROW]}).status_code == 200)
        yield started


def sealed(yard: Database) -> None:
    """Everything that was answered so far, in registered segments."""
    wish = yard.write(lambda tx: service.request_seal(tx, GATE))

    def is_sealed() -> bool:
        with yard.read() as snapshot:
            return all(one.sealed_through_at >= wish.before_at for one in service.list_gateways(snapshot, GATE))

    until(is_sealed)


def found(yard: Database, world: World, tables: Tables, name: str, caller: Principal = ADA) -> FoundPrediction:
    """The prediction of that id."""
    settings = Settings(data=str(world.folder))
    with yard.read() as snapshot:
        return service.get_prediction(snapshot, caller, world.blobs, tables, settings, name)


def test_a_prediction_is_found_wherever_it_is_by_now(yard: Database, world: World, tables: Tables, gateway: Gateway) -> None:
    (world.folder / "gateway").symlink_to(world.folder / "gateways" / "gateway")
    name = gateway.predict(ROW, {**ROW, "distance": 0.1})["predictions"][1]["id"]
    assert found(yard, world, tables, name).answered.source == "gateway"
    until(lambda: bool(found(yard, world, tables, name).shadows))
    sealed(yard)
    until(lambda: found(yard, world, tables, name).answered.source == "segment")
    assert service.tick(yard, world.blobs, tables, "w1") == 1
    kept = found(yard, world, tables, name)
    assert kept.answered.source == "table"
    assert kept.answered.features == {"wind": None, "rain": None}
    assert (kept.answered.request["distance"], kept.answered.keys, kept.answered.arm) == (0.1, {"origin": "JFK"}, Arm.CHAMPION)
    assert kept.answered.value == world.expected(1, {**ROW, "distance": 0.1})
    (shadow,) = kept.shadows
    assert (shadow.version, shadow.value) == (2, world.expected(2, {**ROW, "distance": 0.1}))
    assert kept.took_ms < 1000


def test_what_is_not_there_or_not_the_callers_is_not_found(yard: Database, world: World, tables: Tables, gateway: Gateway) -> None:
    name = gateway.predict()["predictions"][0]["id"]
    sealed(yard)
    for wrong, caller in ((str(uuid.uuid4()), ADA), ("x", ADA), ("", ADA), (name, STRANGER)):
        with pytest.raises(NoSuchPrediction):
            found(yard, world, tables, wrong, caller)


def test_compaction_is_exactly_once_and_says_how_far_the_log_is_complete(
    yard: Database, world: World, tables: Tables, gateway: Gateway
) -> None:
    ids = [one["id"] for _ in range(5) for one in gateway.predict(ROW, ROW)["predictions"]]
    sealed(yard)
    with yard.read() as snapshot:
        waiting, before = list_waiting(snapshot, 10), service.log_position(snapshot)
    assert before.waiting_segments == len(waiting)
    assert before.complete_through_at <= waiting[0].segment.contents.first_at
    log = Log(yard, world.blobs, tables)
    for logged in waiting:
        compact_segment(log, logged)
        compact_segment(log, logged)
    assert service.tick(yard, world.blobs, tables, "w1") == 0
    rows = service.read_predictions(tables, ALWAYS)
    assert set(ids) <= set(rows["id"])
    assert rows["id"].is_unique().all()
    sequence_pending(yard, "tests")
    with yard.read() as snapshot:
        assert service.log_position(snapshot).complete_through_at > before.complete_through_at
        entries = [event for event in list_events(snapshot, -1, None, 100) if event.type == "serving.segment_compacted"]
    assert [entry.digest for entry in entries] == [logged.segment.digest for logged in waiting]


def test_only_one_worker_compacts_at_a_time_and_any_may_be_the_next(yard: Database, world: World, tables: Tables, gateway: Gateway) -> None:
    gateway.predict()
    sealed(yard)
    assert yard.write(lambda tx: take_lease(tx, PREDICTIONS, "w1", 60.0))
    assert service.tick(yard, world.blobs, tables, "w2") == 0
    assert service.tick(yard, world.blobs, tables, "w1") == 1
    gateway.predict()
    sealed(yard)
    assert service.tick(yard, world.blobs, tables, "w2") == 1


def test_labels_meet_their_predictions_and_shadows_are_compared_with_the_champion(
    yard: Database, world: World, tables: Tables, gateway: Gateway
) -> None:
    first, second = (one["id"] for one in gateway.predict(ROW, {**ROW, "origin": "EWR"})["predictions"])
    body = {"labels": [{"id": first, "value": 1}, {"keys": {"origin": "EWR"}, "value": 0}]}
    assert gateway.client.post("/labels/late", json=body).status_code == 200
    until(lambda: len([one for one in world.logged("gateway") if isinstance(one, PredictionFrame) and one.arm == "shadow"]) >= 2)
    sealed(yard)
    service.tick(yard, world.blobs, tables, "w1")
    rows = service.read_labelled(tables, ALWAYS)
    labels = dict(zip(rows["id"], rows["label"], strict=True))
    assert (labels[first], labels[second]) == (1.0, 0.0)
    assert rows.filter(rows["id"] == first)["wind"].to_list() == [None]
    shadows = service.read_labelled(tables, PredictionQuery(model=LATE, since=Instant(0), until=Instant(2**62), arms=(Arm.SHADOW,)))
    assert dict(zip(shadows["id"], shadows["label"], strict=True))[first] == 1.0
    assert set(shadows["version"]) == {2}
    assert tables.version(LABELS) is not None


def test_many_small_files_become_one_with_the_same_rows(yard: Database, world: World, tables: Tables, gateway: Gateway) -> None:
    for _ in range(3):
        gateway.predict(ROW, ROW)
        sealed(yard)
        service.tick(yard, world.blobs, tables, "w1")
    before, version = service.read_predictions(tables, ALWAYS), tables.version(PREDICTIONS)
    tidy(tables, every=2)
    tidy(tables, every=1)
    assert tables.version(PREDICTIONS) == (version or 0) + 1
    assert service.read_predictions(tables, ALWAYS).equals(before)
    assert found(yard, world, tables, before["id"][0]).answered.value == before["value"][0]


def test_without_a_log_there_are_no_rows(database: Database, tables: Tables) -> None:
    assert service.read_predictions(tables, ALWAYS).is_empty()
    assert service.read_labelled(tables, ALWAYS).is_empty()


def test_a_segment_whose_content_was_changed_is_not_compacted(yard: Database, world: World, tables: Tables, gateway: Gateway) -> None:
    gateway.predict()
    sealed(yard)
    with yard.read() as snapshot:
        (logged,) = list_waiting(snapshot, 10)
    path = next(path for path in (world.folder / "blobs").rglob("*") if path.name.endswith(logged.segment.digest[-20:]))
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupted):
        compact_segment(Log(yard, Blobs.open(f"file://{world.folder}/blobs"), tables), logged)
    assert tables.version(PREDICTIONS) is None


def test_what_was_read_online_is_logged_to_the_bit_with_its_age(yard: Database, world: World, tables: Tables, tmp_path: Path) -> None:
    now = yard.clock.now()
    hour = 3_600_000_000
    times = [moment(Instant(now - ago)) for ago in (2 * hour, hour, 4 * hour)]
    source = pl.DataFrame({"origin": ["JFK", "JFK", "EWR"], "at": times, "wind": [1.0, 0.1 + 0.2, 5.0], "rain": [None, -0.0, 1.0]})
    source.write_parquet(tmp_path / "w.parquet")
    yard.write(lambda tx: features.apply_view(tx, SYSTEM, WEATHER, str(tmp_path)))
    online = LmdbStore.open(world.folder / "online")
    features.materialize(yard, online, SYSTEM)
    online.close()
    yard.write(lambda tx: service.propose_revision(tx, ADA, LATE, Proposal(champion=1)))
    with listening(yard) as url, running(world, "gateway", control_url=url, login=False) as gateway:
        until(lambda: gateway.client.post("/predict/late", json={"rows": [ROW]}).status_code == 200)
        answer = gateway.predict(ROW, {**ROW, "origin": "EWR"}, {**ROW, "origin": "LGA"})
        read = gateway.client.post("/features/late_features", json={"rows": [{"origin": "JFK"}]}).json()
        sealed(yard)
    expected = [world.expected(1, ROW, wind=0.1 + 0.2, rain=0.0)]
    expected += [world.expected(1, {**ROW, "origin": origin}) for origin in ("EWR", "LGA")]
    assert [one["value"] for one in answer["predictions"]] == expected
    assert read["rows"] == [{"wind": 0.1 + 0.2, "rain": 0.0}]
    service.tick(yard, world.blobs, tables, "w1")
    rows = service.read_predictions(tables, ALWAYS).tail(3)
    assert [struct.pack("<d", cell) if cell is not None else None for cell in rows["rain"]] == [struct.pack("<d", 0.0), None, None]
    assert rows["wind"].to_list() == [0.1 + 0.2, None, None]
    ages = rows["age:weather"].to_list()
    assert ages[2] is None
    assert [hour <= ages[0] < hour + 120_000_000, 4 * hour <= ages[1] < 4 * hour + 120_000_000] == [True, True]
    assert all(upto >= now for upto in rows["upto:weather"])

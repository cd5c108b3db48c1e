"""A model that learns from rows which are pushed: what was pushed, in one order, without the erased, and nothing of another team's."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from modelyard import Push, rows
from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import FixedClock
from modelyard.core.settings import FeaturesSettings
from modelyard.delivery.declaration import DeclaredModel
from modelyard.delivery.service import declare_model
from modelyard.delivery.stages.data import labelled_rows
from modelyard.features import service
from modelyard.features.domain import Entity, FeatureSet, FeatureView, NewErasure, Value
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.sources.reach import Place, open_reach
from modelyard.features.stored import Histories
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.delivery.declaring import AT, declared, write_sources
from tests.features.shop import Shop

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LANDED = Push("landed", "scheduled_at", columns={"origin": str, "distance": int, "late": int})
OTHERS = TeamId("others")
STRANGER = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={OTHERS: Role.ADMIN})


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Iterator[Shop]:
    write_sources(tmp_path)
    online = LmdbStore.open(tmp_path / "online", durable=False, map_bytes=1 << 24)
    made = Shop(database, online, Tables.open(f"file://{tmp_path / 'tables'}"))
    open_reach(FeaturesSettings(), Place(database, made.tables))
    yield made
    open_reach(FeaturesSettings())
    online.close()


def learning(folder: Path, source: Push = LANDED, **changes: str) -> DeclaredModel:
    """A model that learns from what is pushed to a source, once it has been."""
    body = declared(folder)
    observations = rows(source, known="pushed_at")
    return msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, observations=observations, **changes))


def push(shop: Shop, clock: FixedClock, *late: int | None) -> None:
    """Flights of one instant, from two airports in turn."""
    flights = [("JFK" if n % 2 else "LGA", n, one) for n, one in enumerate(late)]
    events: list[dict[str, Value]] = [
        {"origin": origin, "scheduled_at": AT[0].isoformat(), "distance": n, "late": one} for origin, n, one in flights
    ]
    service.push_events(shop.database, shop.online, SYSTEM, "landed", events)
    clock.advance(1)


def test_what_was_pushed_by_then_is_learned_from_in_one_order_whatever_was_flushed(shop: Shop, clock: FixedClock, tmp_path: Path) -> None:
    declaration = declare_model(shop.database, SYSTEM, learning(tmp_path)).declared.declaration
    for late in ([0, 1, None], [1], [0, 0]):
        push(shop, clock, *late)
    before = clock.now()
    clock.advance(1)
    expected = labelled_rows(declaration, tmp_path, before)
    assert expected["late"].to_list() == [0, 1, 1, 0, 0]
    for number in range(4):
        shop.flush()
        push(shop, clock, number % 2)
        assert labelled_rows(declaration, tmp_path, before).equals(expected)
        assert labelled_rows(declaration, tmp_path, clock.now())["late"].to_list() == [0, 1, 1, 0, 0, 0, 1, 0, 1][: 6 + number]
        if number == 1:
            shop.tables.compact("pushed_events/landed")


def test_rows_of_an_erased_entity_are_not_learned_from(shop: Shop, clock: FixedClock, tmp_path: Path) -> None:
    service.open_erasures(shop.database, ErasureKey.open(tmp_path / "erasures.key"))
    try:
        declaration = declare_model(shop.database, SYSTEM, learning(tmp_path)).declared.declaration
        push(shop, clock, 0, 1, 0, 1)
        clock.advance(1)
        service.erase_entity(shop.database, shop.online, SYSTEM, NewErasure(entity="origin", keys={"origin": "JFK"}, why="asked for"))
        clock.advance(1)
        push(shop, clock, 0, 1)
        assert labelled_rows(declaration, tmp_path, clock.now())["origin"].to_list() == ["LGA", "LGA", "LGA", "JFK"]
    finally:
        open_tombstones(None)


def test_what_only_models_learn_from_is_taken_off_the_disk_too(shop: Shop, clock: FixedClock, tmp_path: Path) -> None:
    service.open_erasures(shop.database, ErasureKey.open(tmp_path / "erasures.key"))
    try:
        declaration = declare_model(shop.database, SYSTEM, learning(tmp_path)).declared.declaration
        push(shop, clock, 0, 1)
        shop.flush()
        push(shop, clock, 0, 1)
        service.erase_entity(shop.database, shop.online, SYSTEM, NewErasure(entity="origin", keys={"origin": "JFK"}, why="asked for"))
        within = service.Purging(database=shop.database, histories=Histories(shop.tables), online=shop.online, holder="w1")
        assert sum(service.purge_erased(within, lambda: 0) for _ in range(3)) == 1
        assert shop.tables.scan("pushed_events/landed").collect()["origin"].to_list() == ["LGA", "LGA"]
        clock.advance(1)
        assert labelled_rows(declaration, tmp_path, clock.now())["origin"].to_list() == ["LGA", "LGA"]
    finally:
        open_tombstones(None)


CHANGED = Push("landed", "scheduled_at", columns={"origin": str, "distance": float})


@pytest.mark.parametrize("source", [LANDED, CHANGED], ids=["the same", "other columns"])
def test_nothing_of_another_teams_events_is_told_or_learned_from(shop: Shop, clock: FixedClock, tmp_path: Path, source: Push) -> None:
    declare_model(shop.database, SYSTEM, learning(tmp_path))
    push(shop, clock, 0, 1)
    view = FeatureView("mine", Entity("origin"), source, features=["distance"])
    for attempt in (
        lambda: declare_model(shop.database, STRANGER, learning(tmp_path, source, name="theirs", team=OTHERS)),
        lambda: service.apply_features(shop.database, STRANGER, [FeatureSet("theirs", [view])], tmp_path, OTHERS),
    ):
        with pytest.raises(NotAllowed) as refused:
            attempt()
        assert "int64" not in f"{refused.value} {refused.value.hint}"
    with shop.database.read() as snapshot:
        assert service.get_pushed_source(snapshot, SYSTEM, "landed").team_id == DEFAULT_TEAM

"""A range of events is brought online anew, whatever the store has lost: what lies in it is whole again, and nothing else changes."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role
from modelyard.core.clock import Instant, instant
from modelyard.core.errors import InvalidInput
from modelyard.features import service
from modelyard.features.domain import Backfill, FeatureSet, FeatureView, NewBackfill, SourceUnreadable, ViewReader
from modelyard.features.layout import ENTITY, page_key, prefix
from modelyard.features.materialization import find_mark, keys_of, stored_keys
from modelyard.features.removal import remove_version
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from tests.features.conftest import LATE, at
from tests.features.shop import ON_SQLITE

pytestmark = ON_SQLITE
Stand = Callable[[datetime], None]
Held = dict[bytes, bytes | None]


def held(database: Database, online: LmdbStore) -> dict[str, Held]:
    """What the store holds of each view that stands, by key."""
    with database.read() as snapshot:
        views = [one.applied.view for one in service.list_views(snapshot, SYSTEM)]
    return {view.name: _contents(online, view) for view in views}


def _contents(online: LmdbStore, view: FeatureView) -> Held:
    mark = find_mark(online, view)
    assert mark is not None
    keys = stored_keys(online, view, mark)
    return dict(zip(keys, online.get_many(keys), strict=True))


def lose(online: LmdbStore, view: FeatureView, *origins: str) -> None:
    """Takes all of these airports out of the store, as one that evicts keys does, and the list of entities with them."""
    online.delete_many([*keys_of(online, view, [(origin,) for origin in origins]), page_key(view.digest, 0)])


def backfilled(database: Database, online: LmdbStore, view: str, since: datetime, until: datetime | None = None) -> Backfill:
    """The view's events of that range brought anew, in its only version."""
    wanted = NewBackfill(since=instant(since), until=None if until is None else instant(until))
    (done,) = service.backfill(database, online, SYSTEM, view, wanted)
    return done


@pytest.fixture
def brought(database: Database, online: LmdbStore, root: Path, stand_at: Stand) -> Database:
    """Both views applied and online up to six in the evening."""
    stand_at(at(1.5))
    service.apply_features(database, SYSTEM, [LATE], root)
    service.materialize(database, online, SYSTEM)
    stand_at(at(6))
    service.materialize(database, online, SYSTEM)
    return database


def test_what_the_store_lost_is_back_to_the_byte(brought: Database, online: LmdbStore) -> None:
    whole = held(brought, online)
    for view in _applied(brought):
        name = view.name
        lose(online, view, "JFK", "LGA")
        service.materialize(brought, online, SYSTEM)
        assert _contents(online, view) != whole[name]
        done = backfilled(brought, online, name, at(0), at(2))
        assert _contents(online, view) == whole[name]
        assert (done.rows, done.entities) == {"weather": (2, 1), "delays": (3, 2)}[name]


def test_an_entity_without_an_event_in_the_range_is_left_alone(brought: Database, online: LmdbStore) -> None:
    delays = next(view for view in _applied(brought) if view.name == "delays")
    whole = _contents(online, delays)
    lose(online, delays, "JFK", "LGA")
    done = backfilled(brought, online, "delays", at(1))
    assert (done.rows, done.entities, done.until) == (1, 1, instant(at(6)))
    lga = set(keys_of(online, delays, [("LGA",)]))
    assert {key for key, content in _contents(online, delays).items() if content is not None} - {page_key(delays.digest, 0)} == lga
    assert lga < whole.keys()


def test_what_stands_wrongly_is_put_right_and_what_stands_too_much_goes(brought: Database, online: LmdbStore) -> None:
    delays = next(view for view in _applied(brought) if view.name == "delays")
    whole, start = _contents(online, delays), prefix(delays.digest)
    online.put_many([(start + ENTITY + b"JFK", whole[start + ENTITY + b"LGA"] or b"")])
    strange = keys_of(online, delays, [("JFK",)])
    online.put_many((key, b"strange") for key in strange[1:])
    assert strange[1] not in whole
    backfilled(brought, online, "delays", at(0))
    assert _contents(online, delays) == whole
    assert online.get_many(strange[1:]) == [None] * len(strange[1:])


def test_a_store_that_lost_all_is_filled_without_the_older_version_that_cannot_be_read(
    brought: Database, online: LmdbStore, root: Path
) -> None:
    older = next(view for view in _applied(brought) if view.name == "weather")
    reads = ViewReader(reader="late v1", view="weather", digest=older.digest, is_answering=True)
    brought.write(lambda tx: service.put_readers(tx, "endpoint:late", DEFAULT_TEAM, [reads]))
    (root / "weather.parquet").rename(root / "moved.parquet")
    moved = replace(older, source=replace(older.source, path="moved.parquet"), ttl="1h")
    service.apply_features(brought, SYSTEM, [FeatureSet("late", [moved])], root)
    remove_version(online, older)
    assert backfilled(brought, online, "weather", at(0)).entities == 1
    (root / "moved.parquet").unlink()
    remove_version(online, moved)
    with pytest.raises(SourceUnreadable, match="moved"):
        backfilled(brought, online, "weather", at(0))


def test_a_backfill_is_recorded_once_for_all_versions(brought: Database, online: LmdbStore) -> None:
    backfilled(brought, online, "weather", at(2), at(4))
    sequence_pending(brought, "tests")
    with brought.read() as snapshot:
        (found,) = [one for one in list_entries(snapshot).entries if one.type == "features.backfilled"]
    assert (found.subject, found.data["since"], found.data["until"]) == ("view:weather/1", "2026-01-01T14:00:00Z", "2026-01-01T16:00:00Z")
    assert found.data["views"] == {"weather/1": {"rows": 2, "entities": 1, "upto": "2026-01-01T18:00:00Z"}}


def test_an_empty_range_and_who_may_not_change_nothing(brought: Database, online: LmdbStore) -> None:
    before = held(brought, online)
    with pytest.raises(InvalidInput, match="until before"):
        backfilled(brought, online, "weather", at(4), at(4))
    for wanted in (NewBackfill(since=Instant(-(2**70))), NewBackfill(since=Instant(0), until=Instant(2**63))):
        with pytest.raises(InvalidInput, match="outside of the years 1 to 9999"):
            service.backfill(brought, online, SYSTEM, "weather", wanted)
    with pytest.raises(InvalidInput, match="outside of the years 1 to 9999"):
        service.materialize(brought, online, SYSTEM, ["weather"], Instant(-(2**63)))
    viewer = Principal(id=PrincipalId("usr_v"), name="v", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
    with pytest.raises(NotAllowed):
        service.backfill(brought, online, viewer, "weather", NewBackfill(since=instant(at(0))))
    assert held(brought, online) == before


def _applied(database: Database) -> list[FeatureView]:
    with database.read() as snapshot:
        return [one.applied.view for one in service.list_views(snapshot, SYSTEM)]

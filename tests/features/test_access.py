"""What a team's views hold is the team's: others neither read it, by whatever way, nor change it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.features import service
from modelyard.features.domain import EntityNotFound, FeatureSet, FeatureSetNotFound, NewErasure, ViewNotFound
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.stored import Histories
from modelyard.server.joins import joined
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from modelyard.storage.tables import Tables
from tests.features.conftest import LATE, WEATHER, at

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
OTHERS = TeamId("others")
STRANGER = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={OTHERS: Role.ADMIN})
BOTH = Principal(id=PrincipalId("usr_bo"), name="bo", kind="person", roles={OTHERS: Role.CONTRIBUTOR, DEFAULT_TEAM: Role.CONTRIBUTOR})
JFK: list[dict[str, str | int | None]] = [{"origin": "JFK"}]
Way = Callable[[Database, LmdbStore, Path], Any]


def seen(read: Callable[..., Any], *given: Any) -> Way:
    """A way to ask within a snapshot."""

    def asked(database: Database, online: LmdbStore, root: Path) -> Any:
        with database.read() as snapshot:
            return read(snapshot, *(online if one is LmdbStore else one for one in given))

    return asked


def labels() -> bytes:
    stream = io.BytesIO()
    pl.DataFrame({"origin": ["JFK"], "at": [at(1)]}).write_parquet(stream)
    return stream.getvalue()


WAYS: dict[str, Way] = {
    "view": seen(service.get_view, STRANGER, "weather"),
    "versions": seen(service.list_view_versions, STRANGER, "weather"),
    "freshness": seen(service.view_freshness, STRANGER, "weather"),
    "consumers": seen(service.list_consumers, STRANGER, "weather"),
    "readers": seen(service.list_readers, STRANGER, "weather"),
    "set": seen(service.get_set, STRANGER, "late"),
    "online": seen(service.read_features, LmdbStore, STRANGER, "late", JFK),
    "online by a set of their own": seen(service.read_features, LmdbStore, STRANGER, "mine", JFK),
    "join": lambda database, _, root: joined(database, Histories(Tables.open(f"file://{root}/tables")), STRANGER, ("late", "at"), labels()),
    "join by a set of their own": lambda database, _, root: joined(
        database, Histories(Tables.open(f"file://{root}/tables")), STRANGER, ("mine", "at"), labels()
    ),
    "materialize": lambda database, online, _: service.materialize(database, online, STRANGER, ["weather"]),
    "apply": lambda database, _, root: service.apply_features(database, STRANGER, [LATE], root, OTHERS),
    "erase": lambda database, online, _: service.erase_entity(
        database, online, STRANGER, NewErasure(entity="origin", keys={"origin": "JFK"}, why="x")
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stranger_comes_to_no_value_of_a_team_by_any_way(database: Database, online: LmdbStore, root: Path, way: str) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    service.apply_features(database, BOTH, [FeatureSet("mine", [WEATHER])], root, OTHERS)
    service.open_erasures(database, ErasureKey.open(root / "erasures.key"))
    try:
        with pytest.raises((NotAllowed, ViewNotFound, FeatureSetNotFound, EntityNotFound)):
            WAYS[way](database, online, root)
    finally:
        open_tombstones(None)


def test_what_is_listed_for_a_stranger_is_their_own(database: Database, online: LmdbStore, root: Path) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    assert service.materialize(database, online, STRANGER) == []
    with database.read() as snapshot:
        listed = [service.list_views, service.list_sets, service.list_materializations, service.list_erasures]
        assert [read(snapshot, STRANGER) for read in listed] == [[], [], [], []]

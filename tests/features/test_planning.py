"""What a plan tells of views before they are applied, and what may not be applied under a model that is served."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from msgspec.structs import replace

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal, PrincipalId, Role, TeamId
from modelyard.features import service
from modelyard.features.domain import Aggregate, FeatureSet, FeatureView, SourceMoved, ViewPlan, ViewReader, Window
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore
from tests.features.conftest import DELAYS, LATE, WEATHER, at, write_weather

Stand = Callable[[datetime], None]
STRANGER = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={TeamId("other"): Role.ADMIN})


def plans(database: Database, *views: FeatureView, principal: Principal = SYSTEM) -> list[ViewPlan]:
    with database.read() as snapshot:
        return service.plan_views(snapshot, principal, FeatureSet("late", views))


def read_by(database: Database, reader: str, view: FeatureView) -> ViewReader:
    one = ViewReader(reader=reader, view=view.name, digest=view.digest, is_answering=True)
    database.write(lambda tx: service.put_readers(tx, f"endpoint:{reader}", DEFAULT_TEAM, [one]))
    return one


def test_a_plan_tells_each_feature_s_change_and_whom_it_leaves_as_they_are(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand
) -> None:
    stand_at(at(3))
    applied = service.apply_features(database, SYSTEM, [LATE, FeatureSet("other", [WEATHER])], root)
    weather = applied.sets[0].set.views[0]
    service.materialize(database, online, SYSTEM)
    reader = read_by(database, "late v1", weather)
    assert plans(database, WEATHER, DELAYS) == []
    (found,) = plans(database, replace(WEATHER, features=("wind_speed", "rain"), ttl="1h"), DELAYS)
    assert [(one.kind, one.feature, one.what) for one in found.changes] == [
        ("change", "wind_speed", ("ttl 3h -> 1h",)),
        ("add", "rain", ()),
        ("remove", "sky", ()),
    ]
    assert (found.before, found.number, found.readers, found.sets, found.rows) == (1, 2, (reader,), ("other",), 4)
    (told,) = plans(database, replace(WEATHER, ttl="1h"), principal=STRANGER)
    assert (told.before, told.number, told.readers, told.sets, told.rows) == (None, 1, (), (), None)


def test_a_plan_names_the_part_that_changes_and_the_version_that_comes_back(
    database: Database, online: LmdbStore, root: Path, stand_at: Stand
) -> None:
    stand_at(at(3))
    service.apply_features(database, SYSTEM, [LATE], root)
    service.materialize(database, online, SYSTEM)
    picked = replace(DELAYS, aggregate=[Aggregate("delay", ["mean", "count"], where="delay > 0")], windows=[Window("1h")])
    (found,) = plans(database, picked)
    assert {one.feature: (one.kind, one.what) for one in found.changes} == {
        "delay_mean_1h": ("change", ("condition none -> delay > 0",)),
        "delay_count_1h": ("change", ("condition none -> delay > 0",)),
        "delay_mean_7d": ("remove", ()),
        "delay_count_7d": ("remove", ()),
    }
    service.apply_features(database, SYSTEM, [FeatureSet("late", [picked])], root)
    (back,) = plans(database, DELAYS)
    assert (back.before, back.number, back.rows) == (2, 1, 0)


def test_a_served_model_s_view_goes_on_from_its_rows_whatever_folder_it_is_applied_from(
    database: Database, root: Path, tmp_path: Path, stand_at: Stand
) -> None:
    stand_at(at(3))
    weather = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set.views[0]
    moved, other = tmp_path / "moved", tmp_path / "other"
    for folder in (moved, other):
        folder.mkdir()
        shutil.copy(root / "flights.parquet", folder)
    write_weather(moved, 9)  # the same past, and more since
    write_weather(other, 6, wind=0.7)
    service.apply_features(database, SYSTEM, [LATE], other)  # nothing served reads it yet
    read_by(database, "late v1", weather)
    with pytest.raises(SourceMoved, match="late v1 reads of view weather"):
        service.apply_features(database, SYSTEM, [LATE], root)
    write_weather(other, 6)
    assert service.apply_features(database, SYSTEM, [LATE], moved).views[0].root == str(moved)
    assert service.apply_features(database, SYSTEM, [FeatureSet("late", [replace(WEATHER, ttl="1h")])], root).views[0].number == 2

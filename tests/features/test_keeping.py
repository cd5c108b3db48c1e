from pathlib import Path

import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM
from modelyard.core.clock import SECOND, FixedClock
from modelyard.features import service
from modelyard.features.domain import FeatureSet, FeatureView, ViewReader
from modelyard.features.service.keeping import PUSHED_EVERY_MS
from modelyard.features.stored import Histories
from modelyard.features.stored.histories import source_of
from modelyard.features.stored.upkeep import FOLDER, forgotten
from modelyard.server.beside import Beside
from modelyard.storage.database import Database
from modelyard.storage.table_leases import take_lease
from modelyard.storage.tables import Tables
from tests.features.conftest import AIRPORT, LATE, WEATHER, write_weather
from tests.features.shop import Shop, click

SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
WINDS = FeatureView("weather", AIRPORT, WEATHER.source, features=["wind_speed"])


@pytest.fixture
def histories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Histories:
    monkeypatch.setattr("modelyard.features.offline.HISTORY_BYTES", 1)
    return Histories(Tables.open(f"file://{tmp_path}/tables"))


@SQLITE
def test_large_sources_of_the_views_that_stand_are_laid_out_and_brought_up_to_date(
    database: Database, root: Path, histories: Histories
) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    assert service.keep_histories(database, histories, "w1") == 2
    assert service.keep_histories(database, histories, "w1") == 0
    write_weather(root, 9)
    assert service.keep_histories(database, histories, "w1") == 1
    found = histories.standing(source_of(service.resolved_view(WEATHER, root), root))
    assert found is not None
    assert found.laid.rows == 9


@SQLITE
def test_small_sources_are_not_laid_out(database: Database, root: Path, tmp_path: Path) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    tables = Tables.open(f"file://{tmp_path}/tables")
    assert service.keep_histories(database, Histories(tables), "w1") == 0
    assert tables.names(FOLDER) == []


@SQLITE
def test_one_process_at_a_time_looks_after_histories(database: Database, root: Path, histories: Histories) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    assert database.write(lambda tx: take_lease(tx, FOLDER, "w2", 60.0))
    assert service.keep_histories(database, histories, "w1") == 0


@SQLITE
def test_a_source_that_is_gone_keeps_no_other_from_being_laid_out(database: Database, root: Path, histories: Histories) -> None:
    service.apply_features(database, SYSTEM, [LATE], root)
    (root / "weather.parquet").unlink()
    assert service.keep_histories(database, histories, "w1") == 1


def test_the_tables_of_versions_that_nobody_uses_are_removed_once_they_are_old_enough(root: Path, histories: Histories) -> None:
    old, new = (service.resolved_view(view, root) for view in (WEATHER, WINDS))
    unused, used = histories.ready(old, root).table, histories.ready(new, root).table
    written = max(one.written_ms for one in histories.tables.contents(unused).files)
    assert forgotten(histories, {used}, written) == []
    assert forgotten(histories, {used}, written + 1) == [unused]
    assert histories.tables.names(FOLDER) == [used]


@SQLITE
def test_the_old_version_stays_used_while_a_consumer_reads_it(database: Database, root: Path, histories: Histories) -> None:
    applied = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set
    database.write(lambda tx: service.put_consumer(tx, "late", "/models/late", applied, DEFAULT_TEAM))
    service.apply_features(database, SYSTEM, [FeatureSet("late", [WINDS])], root)
    assert service.keep_histories(database, histories, "w1") == 3


@SQLITE
def test_the_old_version_stays_used_while_something_served_reads_it(database: Database, root: Path, histories: Histories) -> None:
    view = service.apply_features(database, SYSTEM, [LATE], root).sets[0].set.views[0]
    service.apply_features(database, SYSTEM, [FeatureSet("late", [WINDS])], root)
    reader = ViewReader(reader="late v1", view=view.name, digest=view.digest, is_answering=False)
    database.write(lambda tx: service.put_readers(tx, "endpoint:late", DEFAULT_TEAM, [reader]))
    assert service.keep_histories(database, histories, "w1") == 3


@SQLITE
def test_a_history_of_pushed_events_is_laid_out_anew_each_hour_and_not_each_minute(
    shop: Shop, histories: Histories, clock: FixedClock
) -> None:
    shop.push(click())
    # The first push brought all rows online, and so from their history.
    assert service.keep_histories(shop.database, histories, "w1") == 0
    written = max(one.written_ms for name in histories.tables.names(FOLDER) for one in histories.tables.contents(name).files)
    shop.push(click("bob"))
    for at_ms, changed in ((written + PUSHED_EVERY_MS - 1000, 0), (written + PUSHED_EVERY_MS, 3)):
        clock.advance(at_ms / 1000 - clock.wall() / SECOND)
        assert service.keep_histories(shop.database, histories, "w1") == changed


def test_work_beside_the_loop_runs_once_at_a_time_and_again_after_a_failure() -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        raise RuntimeError

    beside = Beside("work", work)
    for _ in range(2):
        assert beside.turn() is False
        assert beside._thread is not None
        beside._thread.join()
    assert calls == [1, 1]

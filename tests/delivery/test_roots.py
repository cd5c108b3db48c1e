"""Who may have the server read which files: contributors below the folders that an admin named, the owner any."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, LOCAL, LOCAL_COMMANDS, SYSTEM, Principal, PrincipalId, Role
from modelyard.core.settings import FeaturesSettings, Settings, StorageSettings
from modelyard.delivery.declaration import DeclaredModel
from modelyard.delivery.roots import SourceOutside, check_sources, declare_model
from modelyard.features.domain import Delta, Entity, FeatureSet, FeatureView, SourceUnreadable, Sql
from modelyard.features.sources.reach import open_reach
from modelyard.storage.database import Database
from tests.delivery.declaring import WEATHER, declared, write_sources

CONTRIBUTOR = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
ADMIN_OF_A_TEAM = Principal(id=PrincipalId("usr_ben"), name="ben", kind="person", roles={DEFAULT_TEAM: Role.ADMIN})
ADMIN = Principal(id=PrincipalId("usr_cy"), name="cy", kind="person", roles={EVERY_TEAM: Role.ADMIN})
COMMANDS = Principal(id=PrincipalId("svc_1"), name=LOCAL_COMMANDS, kind="service", roles={EVERY_TEAM: Role.CONTRIBUTOR})
PRETENDER = Principal(id=PrincipalId("usr_eve"), name=LOCAL_COMMANDS, kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
NONE = Settings()


def bound_to(*folders: Path) -> Settings:
    return Settings(features=FeaturesSettings(roots=tuple(map(str, folders))))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with sources."""
    write_sources(tmp_path / "data")
    return tmp_path / "data"


@pytest.mark.parametrize("owner", [COMMANDS, ADMIN, LOCAL, SYSTEM], ids=lambda one: one.name)
def test_who_owns_the_installation_may_declare_sources_anywhere(database: Database, data: Path, owner: Principal) -> None:
    assert declare_model(database, owner, NONE, declared(data)).declared.root == str(data)


@pytest.mark.parametrize("other", [CONTRIBUTOR, ADMIN_OF_A_TEAM, PRETENDER], ids=lambda one: one.id)
def test_others_may_declare_no_source_until_a_folder_is_named(database: Database, data: Path, other: Principal) -> None:
    with pytest.raises(SourceOutside, match=r"weather\.parquet|flights\.parquet") as refused:
        declare_model(database, other, NONE, declared(data))
    assert "features.roots" in refused.value.hint
    declare_model(database, other, bound_to(data), declared(data))


@pytest.mark.parametrize(
    "path", ["../other/weather.parquet", "/etc/passwd", "*/../../other/weather.parquet", "link/weather.parquet", "l*/*.parquet"]
)
def test_no_path_or_link_leads_out_of_the_named_folders(database: Database, data: Path, path: str) -> None:
    write_sources(data.parent / "other")
    (data / "link").symlink_to(data.parent / "other")
    with pytest.raises(SourceOutside):
        declare_model(database, CONTRIBUTOR, bound_to(data), declared(data, weather=path))
    with pytest.raises(SourceOutside):
        declare_model(database, CONTRIBUTOR, bound_to(data), declared(data, flights=path))


def test_a_link_to_itself_is_no_file(database: Database, data: Path) -> None:
    (data / "loop.parquet").symlink_to("loop.parquet")
    with pytest.raises(SourceUnreadable, match=r"loop\.parquet cannot be read"):
        declare_model(database, CONTRIBUTOR, bound_to(data), declared(data, weather="loop.parquet"))


def test_a_root_that_leads_elsewhere_is_refused_and_a_linked_one_that_is_named_is_not(database: Database, data: Path) -> None:
    with pytest.raises(SourceOutside):
        declare_model(database, CONTRIBUTOR, bound_to(data), declared(data.parent, weather=WEATHER))
    linked = data.parent / "linked"
    linked.symlink_to(data)
    declare_model(database, CONTRIBUTOR, bound_to(linked), declared(linked))


def test_an_object_store_is_read_below_the_named_addresses_alone(database: Database, data: Path) -> None:
    allowed = Settings(
        features=FeaturesSettings(roots=(str(data),), addresses=("s3://lake/open",)), storage=StorageSettings(tables="s3://lake/open/own")
    )
    for path in (
        "s3://lake/other/x",
        "s3://lake/opened/x",
        "s3://lake/o*/x",
        "s3://lake/open*/x",
        "gs://lake/open/x",
        "s3://lake/open/own/x",
    ):
        with pytest.raises(SourceOutside, match="outside of the addresses") as refused:
            declare_model(database, CONTRIBUTOR, allowed, declared(data, weather=path))
        assert "features.addresses" in refused.value.hint
    check_sources(declared(data, weather="s3://lake/open/2026/*.parquet").declaration, data, allowed)


def test_the_data_folder_is_nobodys_source_but_an_admins(database: Database, data: Path) -> None:
    settings = msgspec.structs.replace(bound_to(data), data=str(data / "state"))
    write_sources(data / "state" / "tables")
    for path in ("state/tables/weather.parquet", "**/weather.parquet", "."):
        with pytest.raises(SourceOutside):
            declare_model(database, CONTRIBUTOR, settings, declared(data, weather=path))
    declare_model(database, ADMIN, settings, declared(data, weather="state/tables/weather.parquet"))


def test_a_delta_table_lies_below_the_named_folders_with_all_its_files(database: Database, data: Path) -> None:
    pl.read_parquet(data / "weather.parquet").write_delta(str(data / "weather"))
    body = declared(data)
    view = FeatureView("weather", Entity("origin"), Delta("weather", "at"), features=["wind"])
    body = msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, features=FeatureSet("late", [view])))
    declare_model(database, CONTRIBUTOR, bound_to(data), body)
    (data / "weather" / "more.parquet").symlink_to("/etc/passwd")
    with pytest.raises(SourceOutside):
        declare_model(database, CONTRIBUTOR, bound_to(data), body)


def test_a_database_that_no_setting_names_is_nobodys_source(database: Database, data: Path) -> None:
    body = declared(data)
    view = FeatureView("weather", Entity("origin"), Sql("warehouse", table="weather", timestamp="at"), features=["wind"])
    body = msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, features=FeatureSet("late", [view])))
    for who in (CONTRIBUTOR, ADMIN):
        with pytest.raises(SourceUnreadable, match="no connection 'warehouse'"):
            declare_model(database, who, bound_to(data), body)


@pytest.fixture
def over_a_database(data: Path) -> Iterator[DeclaredModel]:
    """A model whose weather lies in a database."""
    with sqlite3.connect(data / "warehouse.db") as connection:
        connection.execute("CREATE TABLE weather (origin text, at text, wind real)")
        connection.execute("INSERT INTO weather VALUES ('JFK', '2025-12-01T00:00:00Z', 1.5)")
    connection.close()
    open_reach(FeaturesSettings(connections={"warehouse": f"sqlite:///{data / 'warehouse.db'}"}))
    body = declared(data)
    view = FeatureView("weather", Entity("origin"), Sql("warehouse", table="weather", timestamp="at"), features=["wind"])
    yield msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, features=FeatureSet("late", [view])))
    open_reach(FeaturesSettings())


def test_a_database_is_read_for_the_teams_that_a_setting_names(database: Database, data: Path, over_a_database: DeclaredModel) -> None:
    def of(*teams: str) -> Settings:
        return Settings(features=FeaturesSettings(roots=(str(data),), connection_teams={"warehouse": teams}))

    for teams in ((), ("fraud",)):
        with pytest.raises(SourceOutside, match="warehouse is not read for models of the team default") as refused:
            declare_model(database, CONTRIBUTOR, of(*teams), over_a_database)
        assert "features.connection_teams" in refused.value.hint
    for who, settings in ((CONTRIBUTOR, bound_to(data)), (CONTRIBUTOR, of("fraud", DEFAULT_TEAM)), (ADMIN, of("fraud"))):
        assert declare_model(database, who, settings, over_a_database).declared.root == str(data)


def test_nothing_outside_is_so_much_as_looked_at(database: Database, data: Path) -> None:
    errors = set()
    for name in ("weather.parquet", "nothing.parquet"):
        with pytest.raises(SourceOutside) as refused:
            declare_model(database, CONTRIBUTOR, bound_to(data / "inner"), declared(data, weather=name, flights=name))
        errors.add(refused.value.message.replace(name, "FILE"))
    assert len(errors) == 1

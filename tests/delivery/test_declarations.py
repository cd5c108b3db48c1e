"""Who is told of a declaration: the viewers of its team; to others it is missing. What a plan says of on-demand features."""

from pathlib import Path

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import Instant
from modelyard.delivery.declaration import DeclaredModel
from modelyard.delivery.domain import ModelNotDeclared, NewDelivery
from modelyard.delivery.service import declare_model, get_declared, plan_model, start_delivery
from modelyard.delivery.stages.data import learnable
from modelyard.features.domain import Feature, FeatureSet, OnDemand, OnDemandNotFound, ViewReader
from modelyard.features.service import list_on_demand_versions, put_readers
from modelyard.storage.database import Database
from tests.delivery.declaring import declared, write_sources

VIEWER = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
OTHER = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={TeamId("other"): Role.APPROVER})


@pytest.fixture
def folder(database: Database, tmp_path: Path) -> Path:
    """Where the sources of the declared model lie."""
    write_sources(tmp_path)
    declare_model(database, SYSTEM, declared(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_declaration_is_missing_for_other_teams(database: Database) -> None:
    with database.read() as snapshot:
        assert get_declared(snapshot, VIEWER, "late").declared.declaration.name == "late"
        for name in ("late", "lat"):
            with pytest.raises(ModelNotDeclared) as refused:
                get_declared(snapshot, OTHER, name)
            assert "late" not in refused.value.hint
    with pytest.raises(ModelNotDeclared):
        database.write(lambda tx: start_delivery(tx, OTHER, NewDelivery(model="late")))


def test_a_plan_tells_other_teams_nothing_of_what_is_declared(database: Database, folder: Path) -> None:
    changed = declared(folder)
    changed = msgspec.structs.replace(changed, declaration=msgspec.structs.replace(changed.declaration, owner="somebody"))
    with database.read() as snapshot:
        assert "owner" in plan_model(snapshot, VIEWER, changed).changes[0].detail
        planned = plan_model(snapshot, OTHER, changed).changes
    assert {one.kind for one in planned} == {"add"}


def test_a_plan_tells_a_view_that_is_new_with_its_features_from_one_that_is_there(database: Database, folder: Path) -> None:
    body = declared(folder)
    second = msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, name="second"))

    def said(principal: Principal) -> list[tuple[str, str, str]]:
        with database.read() as snapshot:
            return [(one.kind, one.what, one.name) for one in plan_model(snapshot, principal, second).changes]

    assert said(VIEWER) == [("add", "model", "second"), ("read", "view", "weather")]
    assert said(OTHER) == [("add", "model", "second"), ("add", "view", "weather"), ("add", "feature", "weather: wind")]


def felt(source: str = "return wind / distance", *, name: str = "felt") -> OnDemand:
    inputs = (Feature("wind", "float64"), Feature("distance", "int64"))
    return OnDemand(name, inputs, "float64", f"def {name}(wind, distance): {source}")


def computing(folder: Path, *functions: OnDemand) -> DeclaredModel:
    """The declaration, with on-demand features behind what it reads."""
    body = declared(folder)
    assert body.declaration.features is not None
    features = FeatureSet("late", [*body.declaration.features.features, *functions])
    return msgspec.structs.replace(body, declaration=msgspec.structs.replace(body.declaration, features=features))


def test_a_plan_says_which_functions_are_new_changed_and_gone(database: Database, folder: Path) -> None:
    def changes(*functions: OnDemand) -> list[tuple[str, str]]:
        with database.read() as snapshot:
            planned = plan_model(snapshot, VIEWER, computing(folder, *functions)).changes
        return [(one.kind, one.name) for one in planned if one.what == "on-demand feature"]

    assert changes(felt()) == [("add", "felt")]
    declare_model(database, SYSTEM, computing(folder, felt()))
    assert changes(felt()) == []
    assert changes(felt("return distance / wind"), felt(name="other")) == [("change", "felt"), ("add", "other")]
    assert changes() == [("remove", "felt")]
    declare_model(database, SYSTEM, computing(folder, felt("return distance / wind")))
    with database.read() as snapshot:
        assert [one.number for one in list_on_demand_versions(snapshot, VIEWER, "felt")] == [2, 1]
        with pytest.raises(OnDemandNotFound):
            list_on_demand_versions(snapshot, OTHER, "felt")


def test_training_rows_have_what_is_computed_on_demand(folder: Path) -> None:
    body = computing(folder, felt("return np.where(distance == 2, np.nan, wind / distance)"))
    found = learnable(body.declaration, folder, Instant(2**62))
    assert found.frame["felt"].to_list() == [1.0, None, 1.0]
    assert found.digest != learnable(computing(folder, felt()).declaration, folder, Instant(2**62)).digest


def test_a_plan_says_what_a_changed_view_does_to_features_and_served_models(database: Database, folder: Path) -> None:
    with database.read() as snapshot:
        assert plan_model(snapshot, VIEWER, declared(folder)).changes == ()
        features = get_declared(snapshot, SYSTEM, "late").declared.declaration.features
    assert features is not None
    (view,) = features.views
    reader = ViewReader(reader="late v1", view=view.name, digest=view.digest, is_answering=True)
    database.write(lambda tx: put_readers(tx, "endpoint:late", DEFAULT_TEAM, [reader]))
    changed = declared(folder)
    other = FeatureSet("late", [msgspec.structs.replace(changed.declaration.views[0], ttl="1h")])
    changed = msgspec.structs.replace(changed, declaration=msgspec.structs.replace(changed.declaration, features=other))
    with database.read() as snapshot:
        found = plan_model(snapshot, VIEWER, changed)
    lines = {(one.kind, one.name): one.detail for one in found.changes if one.what != "view" or one.kind == "recompute"}
    assert lines["change", "weather: wind"] == "ttl 3h -> 1h"
    assert "its values do not change" in lines["keep", "late v1"]
    assert lines["recompute", "weather"].startswith("version 2 of weather is brought online from all rows")
    declare_model(database, SYSTEM, changed)
    with database.read() as snapshot:
        assert plan_model(snapshot, VIEWER, changed).changes == ()

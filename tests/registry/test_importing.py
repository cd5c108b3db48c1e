"""Registered models that are brought in: what is told of them after they were deleted here."""

from pathlib import Path

import pytest

from modelyard.access.domain import DEFAULT_TEAM, Principal, PrincipalId, Role
from modelyard.core.clock import Instant
from modelyard.registry import service
from modelyard.registry.domain import ModelName, NewModel
from modelyard.registry.imports import ImportedRegisteredModel, ModelImport
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.imports import SourceName, TakenHere

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
LATE = ModelName("late")
THEIRS = ImportedRegisteredModel(
    name=LATE, created_at=Instant(1), updated_at=Instant(2), fingerprint="f", description="theirs", tags={"team": "x"}
)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """An empty store."""
    return Blobs.open(f"file://{tmp_path / 'blobs'}")


def bring(database: Database, blobs: Blobs) -> None:
    service.import_model(database, blobs, ADA, ModelImport(source=SourceName("https://mlflow.example.com"), model=THEIRS))


def test_a_model_that_was_deleted_here_comes_again_in_full(database: Database, blobs: Blobs) -> None:
    for _ in range(2):
        bring(database, blobs)
        with database.read() as snapshot:
            held = service.get_model_record(snapshot, ADA, LATE)
        assert (held.detail.model.purpose, held.tags["team"]) == ("theirs", "x")
        database.write(lambda tx: service.delete_model(tx, ADA, LATE, service.Bonds()))


def test_a_model_that_was_made_here_under_the_name_of_a_deleted_one_is_not_touched(database: Database, blobs: Blobs) -> None:
    bring(database, blobs)
    database.write(lambda tx: service.delete_model(tx, ADA, LATE, service.Bonds()))
    database.write(lambda tx: service.create_model(tx, ADA, NewModel(name=LATE, purpose="ours")))
    with pytest.raises(TakenHere):
        bring(database, blobs)

"""Registered models that are brought in: what becomes of them once they were deleted or renamed here, and of their numbers."""

from pathlib import Path

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, Principal, PrincipalId, Role
from modelyard.core.clock import Instant
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.registry import service
from modelyard.registry.domain import ModelName, NewModel
from modelyard.registry.imports import ImportedRegisteredModel, ImportedVersion, ModelHere, ModelImport
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking import service as tracking
from modelyard.tracking.imports import SourceName, TakenHere

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
LATE = ModelName("late")
SOURCE = SourceName("https://mlflow.example.com")
THEIRS = ImportedRegisteredModel(
    name=LATE, created_at=Instant(1), updated_at=Instant(2), fingerprint="f", description="theirs", tags={"team": "x"}
)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """An empty store."""
    return Blobs.open(f"file://{tmp_path / 'blobs'}")


def theirs(number: int = 1, made_at: int = 3) -> ImportedVersion:
    """A version as it is there, its files elsewhere."""
    at = Instant(made_at)
    return ImportedVersion(
        number=number, uri="s3://b/m", created_at=at, updated_at=at, fingerprint="v", description="d", stage="Staging", tags={"t": "v"}
    )


def bring(database: Database, blobs: Blobs, *versions: ImportedVersion) -> ModelHere:
    """Brings the model with those versions, the alias pointing to the first."""
    aliases = {"champion": versions[0].number} if versions else {}
    body = ModelImport(source=SOURCE, model=msgspec.structs.replace(THEIRS, aliases=aliases), versions=versions)
    return service.import_model(database, blobs, ADA, body)


def rename(database: Database, name: str, new: str) -> None:
    database.write(lambda tx: service.rename_model(tx, ADA, ModelName(name), ModelName(new), service.Bonds()))


def test_a_model_that_was_deleted_here_comes_again_in_full(database: Database, blobs: Blobs) -> None:
    for _ in range(2):
        found = bring(database, blobs, theirs())
        assert ([one.became for one in found.versions], found.refused) == (["made"], {})
        with database.read() as snapshot:
            held = service.get_model_record(snapshot, ADA, LATE)
        (version,) = held.versions
        assert (held.detail.model.purpose, held.tags["team"], held.detail.aliases[0].version) == ("theirs", "x", 1)
        assert (version.notes.stage, version.tags["t"], version.detail.version.created_at) == ("Staging", "v", 3)
        database.write(lambda tx: service.delete_model(tx, ADA, LATE, service.Bonds()))
        with database.read() as snapshot:
            marks = tracking.list_marks(snapshot, ADA, SOURCE, "version", ("late/1",))
        assert [one.fingerprint for one in marks] == ["gone:3"], "whoever brings it again must not take it for there"


def test_a_number_that_a_model_before_had_under_the_name_means_no_other_version(database: Database, blobs: Blobs) -> None:
    bring(database, blobs, theirs())
    database.write(lambda tx: service.delete_model(tx, ADA, LATE, service.Bonds()))
    (other, fresh) = bring(database, blobs, theirs(made_at=4), theirs(2)).versions
    assert (other.became, "had this name before" in other.message, fresh.became) == ("refused", True, "made")


def test_a_model_that_was_renamed_here_does_not_come_again_under_its_old_name(database: Database, blobs: Blobs) -> None:
    bring(database, blobs, theirs())
    rename(database, "late", "later")
    with pytest.raises(TakenHere, match="has another name here"):
        bring(database, blobs, theirs(), theirs(2))
    rename(database, "later", "late")
    assert [one.became for one in bring(database, blobs, theirs(), theirs(2)).versions] == ["known", "made"]


def test_a_number_that_leaves_no_room_is_refused_and_the_ledger_says_when_a_version_was_made_there(
    database: Database, blobs: Blobs
) -> None:
    (huge, fine) = bring(database, blobs, theirs(2**31 - 1), theirs()).versions
    assert (huge.became, fine.became) == ("refused", "made")
    sequence_pending(database, "test")
    with database.read() as snapshot:
        (entry,) = list_entries(snapshot, type="registry.version_imported").entries
    assert (entry.subject, entry.data["made_there_at"]) == ("model:late/1", "3")


def test_a_model_that_was_made_here_under_the_name_of_a_deleted_one_is_not_touched(database: Database, blobs: Blobs) -> None:
    bring(database, blobs)
    database.write(lambda tx: service.delete_model(tx, ADA, LATE, service.Bonds()))
    database.write(lambda tx: service.create_model(tx, ADA, NewModel(name=LATE, purpose="ours")))
    with pytest.raises(TakenHere):
        bring(database, blobs)

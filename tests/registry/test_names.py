"""A model that only the registry knows may be renamed and removed: nothing it had is lost, and no number ever means two things."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry import service
from modelyard.registry.domain import (
    AliasName,
    Format,
    LoggedSource,
    ModelExists,
    ModelIsBound,
    ModelName,
    NameWasUsed,
    NewModel,
    NewVersion,
    NoSuchModel,
    StoredArtifact,
)
from modelyard.registry.rules.names import checked_model_name
from modelyard.registry.service.artifacts import note_artifact
from modelyard.registry.service.models import create_registered_model
from modelyard.registry.store import notes
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.storage.schema import METADATA
from tests.tracking.conftest import WRITER

FREE = service.Bonds()
KEPT = StoredArtifact(digest=digest_bytes(b"artifact"), format=Format.LIGHTGBM, size_bytes=1)
Do = Callable[..., Any]


@pytest.fixture
def do(database: Database) -> Do:
    """Runs a use case of the registry in a transaction of its own, as the writer: `do(service.set_alias, "a", "champion", 1)`."""
    database.write(lambda tx: note_artifact(tx, KEPT))
    return lambda function, *arguments: database.write(lambda tx: function(tx, WRITER, *arguments))


def made(do: Do, name: str, count: int) -> ModelName:
    """A model with so many versions."""
    do(create_registered_model, NewModel(name=ModelName(name), purpose="Warn."))
    for _ in range(count):
        do(service.register_version, ModelName(name), NewVersion(artifact=KEPT.digest))
    return ModelName(name)


def rows_naming(database: Database, name: str) -> dict[str, int]:
    """How many rows of each of the registry's tables name a model."""
    columns = [table.c.model for table in METADATA.tables.values() if table.name.startswith("registry_") and "model" in table.c]
    found = {}
    with database.read() as snapshot:
        for column in [*columns, METADATA.tables["registry_model"].c.name]:
            query = sa.select(sa.func.count()).where(column == name)
            found[column.table.name] = snapshot.connection.scalar(query) or 0
    return found


def decorated(do: Do, database: Database) -> ModelName:
    """A model with a row in every table that a version's or model's row may stand in."""
    name = made(do, "churn", 2)
    do(service.set_alias, name, AliasName("champion"), 1)
    do(service.set_tags, name, 0, {"k": "v"})
    do(service.set_tags, name, 2, {"k": "v"})
    do(service.describe_version, name, 1, "first")
    do(service.deprecate_version, name, 1, "the second is better", 2)
    database.write(lambda tx: notes.insert_source(tx, name, 1, LoggedSource(uri="s3://b/x", owner="", folder="", location="s3://b/x")))
    return name


def test_a_renamed_model_takes_every_row_along(do: Do, database: Database) -> None:
    name, new = decorated(do, database), ModelName("Abwanderung (neu), 3 %")
    before = rows_naming(database, name)
    assert {table for table, count in before.items() if not count} == {"registry_hold"}
    renamed = do(service.rename_model, name, new, FREE)
    assert rows_naming(database, new) == before
    assert not any(rows_naming(database, name).values())
    with database.read() as snapshot:
        found = service.get_model(snapshot, WRITER, new)
        assert (found.model, found.model.id, found.versions) == (renamed, renamed.id, 2)
        assert service.show_version(snapshot, WRITER, new, 1).aliases == ("champion",)
        with pytest.raises(NoSuchModel):
            service.get_model(snapshot, WRITER, name)
    assert do(service.register_version, new, NewVersion(artifact=KEPT.digest)).number == 3


def test_a_removed_model_leaves_its_entries_and_nothing_else(do: Do, database: Database) -> None:
    name = decorated(do, database)
    do(service.rename_model, name, ModelName("gone"), FREE)
    do(service.delete_model, ModelName("gone"), FREE)
    assert not any(rows_naming(database, name).values()) and not any(rows_naming(database, "gone").values())
    sequence_pending(database, "test")
    with database.read() as snapshot:
        told = [(one.type, one.subject, one.data.get("to") or one.data.get("from"), one.data.get("versions"))
                for one in list_events(snapshot, -1, None, 100) if one.type.startswith("registry.model_")]  # fmt: skip
    assert told[-3:] == [
        ("registry.model_renamed", "model:churn", "gone", 2),
        ("registry.model_renamed", "model:gone", "churn", 2),
        ("registry.model_deleted", "model:gone", None, 2),
    ]


def test_a_number_never_means_two_versions_of_one_name(do: Do, database: Database) -> None:
    made(do, "a", 2)
    do(service.delete_model, ModelName("a"), FREE)
    made(do, "a", 0)
    assert do(service.register_version, ModelName("a"), NewVersion(artifact=KEPT.digest)).number == 3
    made(do, "b", 1)
    do(service.delete_model, ModelName("a"), FREE)
    with pytest.raises(NameWasUsed):
        do(service.rename_model, ModelName("b"), ModelName("a"), FREE)
    made(do, "empty", 0)
    do(service.rename_model, ModelName("empty"), ModelName("a"), FREE)
    assert do(service.register_version, ModelName("a"), NewVersion(artifact=KEPT.digest)).number == 4


def test_a_model_gets_its_own_old_name_back(do: Do, database: Database) -> None:
    made(do, "a", 2)
    do(service.rename_model, ModelName("a"), ModelName("b"), FREE)
    assert do(service.register_version, ModelName("b"), NewVersion(artifact=KEPT.digest)).number == 3
    do(service.rename_model, ModelName("b"), ModelName("a"), FREE)
    assert do(service.register_version, ModelName("a"), NewVersion(artifact=KEPT.digest)).number == 4


def test_a_model_that_others_know_keeps_its_name(do: Do, database: Database) -> None:
    name, bound = made(do, "a", 1), service.Bonds(functions=(lambda snapshot, model: "it is declared" if model == "a" else "",))
    made(do, "b", 0)
    with pytest.raises(ModelIsBound, match="it is declared"):
        do(service.delete_model, name, bound)
    with pytest.raises(ModelIsBound, match="it is declared"):
        do(service.rename_model, name, ModelName("c"), bound)
    database.write(lambda tx: service.put_hold(tx, name, 1, "endpoint:a", "it answers"))
    with pytest.raises(ModelIsBound, match="held"):
        do(service.delete_model, name, FREE)
    with pytest.raises(ModelExists):
        do(service.rename_model, name, ModelName("b"), FREE)
    assert rows_naming(database, "a")["registry_version"] == 1


def test_only_a_plain_name_is_deployed_or_declared(do: Do, database: Database) -> None:
    name = made(do, "Abwanderung (neu)", 1)
    with pytest.raises(InvalidInput, match="not deployed"):
        database.write(lambda tx: service.put_hold(tx, name, 1, "endpoint:x", "it answers"))
    for make in (service.create_model, service.ensure_model):
        with pytest.raises(InvalidInput, match="no name for a model"):
            do(make, NewModel(name=ModelName("mine (new)")))


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a:b", "..", ".", "../x", "..x", "a\0b", "a\ud800", "a\nb", "a\u202eb", "x" * 257])
def test_no_name_is_a_path_or_cannot_be_told(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_model_name(name)


def test_a_key_of_a_delivery_is_nobodys_to_register_under(database: Database, tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path}")
    with pytest.raises(InvalidInput, match="those of deliveries"):
        service.register_artifact(database, blobs, WRITER, ModelName("a"), NewVersion(artifact=KEPT.digest, key="dlv_1"))

"""What MLflow's interface answers about models and versions, beyond what its client asks: rights, errors, pages."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.registry import service
from modelyard.registry.domain import Format, ModelName, NewModel, NewVersion, NoSuchVersion, StoredArtifact, VersionIsRetired
from modelyard.registry.service.artifacts import note_artifact
from modelyard.registry.wire.app import registry_routes
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database
from modelyard.tracking.service import store_file
from modelyard.tracking.wire.app import mlflow_app
from tests.tracking.conftest import WRITER, authenticate, served

Call = Callable[..., httpx.Response]
LATE = ModelName("late")
FILE = "/model-versions/get-artifact"


@pytest.fixture
def call(database: Database, tmp_path: Path) -> Iterator[Call]:
    """Calls MLflow's interface: `call("POST", "registered-models/create", {...}, by="reader")`."""
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    app = mlflow_app(database, blobs, authenticate, registry_routes(database, blobs))
    with served(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:

        def called(method: str, path: str, body: Any = None, *, by: str = "") -> httpx.Response:
            headers = {"x-principal": by} if by else {}
            if method == "GET":
                return client.get(path if path.startswith("/") else f"/api/2.0/mlflow/{path}", params=body, headers=headers)
            return client.request(method, f"/api/2.0/mlflow/{path}", json=body, headers=headers)

        yield called
    app.close()


@pytest.fixture
def three(database: Database) -> None:
    """A model with three versions that no MLflow client logged."""
    kept = StoredArtifact(digest=digest_bytes(b"artifact"), format=Format.LIGHTGBM, size_bytes=1)
    database.write(lambda tx: note_artifact(tx, kept))
    database.write(lambda tx: service.create_model(tx, WRITER, NewModel(name=LATE, purpose="Warn.")))
    for _ in range(3):
        database.write(lambda tx: service.register_version(tx, WRITER, LATE, NewVersion(artifact=kept.digest, description="own")))


def test_a_deprecated_version_says_so_in_its_tags(call: Call, three: None, database: Database) -> None:
    database.write(lambda tx: service.set_tags(tx, WRITER, LATE, 2, {"t": "v"}))
    database.write(lambda tx: service.deprecate_version(tx, WRITER, LATE, 2, "wrong labels", 3))
    listed = call("GET", "model-versions/search", {"filter": "name = 'late'"}).json()["model_versions"]
    told = {one["version"]: {tag["key"]: tag["value"] for tag in one.get("tags", [])} for one in listed}
    assert told == {"1": {}, "2": {"t": "v", "modelyard.deprecated": "wrong labels", "modelyard.successor": "3"}, "3": {}}


def test_a_version_of_mlflows_folder_says_why_it_is_not_served(three: None, database: Database) -> None:
    kept = StoredArtifact(digest=digest_bytes(b"folder"), format=Format.MLFLOW, size_bytes=1)
    database.write(lambda tx: note_artifact(tx, kept))
    made = database.write(lambda tx: service.register_version(tx, WRITER, LATE, NewVersion(artifact=kept.digest)))
    with database.read() as snapshot:
        assert "pickles" in service.show_version(snapshot, WRITER, LATE, made.number).why_not_served
        assert service.show_version(snapshot, WRITER, LATE, 1).why_not_served == ""


def test_what_cannot_be_deprecated(three: None, database: Database) -> None:
    database.write(lambda tx: service.retire_version(tx, WRITER, LATE, 3, "over"))
    cases = ((1, " ", None, InvalidInput), (1, "x\0", None, InvalidInput), (1, "x", 1, InvalidInput), (1, "x", 9, NoSuchVersion))
    for version, why, successor, error in (*cases, (1, "x", 3, VersionIsRetired), (3, "x", None, VersionIsRetired)):
        with pytest.raises(error):
            database.write(partial(service.deprecate_version, principal=WRITER, model=LATE, version=version, why=why, successor=successor))


def test_a_version_of_ours_is_told_in_mlflows_words(call: Call, three: None) -> None:
    found = call("GET", "model-versions/get", {"name": "late", "version": "1"}).json()["model_version"]
    assert found["version"] == "1"
    assert found["current_stage"] == "None"
    assert found["description"] == "own"
    assert found["source"].startswith("modelyard-artifact:sha256:")
    missing = call("GET", "model-versions/get-download-uri", {"name": "late", "version": "1"})
    assert (missing.status_code, missing.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


READS = [
    ("registered-models/get", {"name": "late"}),
    ("registered-models/get-latest-versions", {"name": "late"}),
    ("registered-models/alias", {"name": "late", "alias": "champion"}),
    ("model-versions/get", {"name": "late", "version": "1"}),
    ("model-versions/get-download-uri", {"name": "late", "version": "1"}),
]
WRITES = [
    ("PATCH", "registered-models/update", {"name": "late", "description": "mine"}),
    ("POST", "registered-models/rename", {"name": "late", "new_name": "mine"}),
    ("DELETE", "registered-models/delete", {"name": "late"}),
    ("POST", "registered-models/set-tag", {"name": "late", "key": "k", "value": "v"}),
    ("DELETE", "registered-models/delete-tag", {"name": "late", "key": "k"}),
    ("POST", "registered-models/alias", {"name": "late", "alias": "champion", "version": "1"}),
    ("DELETE", "registered-models/alias", {"name": "late", "alias": "champion"}),
    ("POST", "model-versions/create", {"name": "late", "source": "s3://bucket/model"}),
    ("PATCH", "model-versions/update", {"name": "late", "version": "1", "description": "mine"}),
    ("POST", "model-versions/transition-stage", {"name": "late", "version": "1", "stage": "Production"}),
    ("POST", "model-versions/set-tag", {"name": "late", "version": "1", "key": "k", "value": "v"}),
    ("DELETE", "model-versions/delete-tag", {"name": "late", "version": "1", "key": "k"}),
    ("DELETE", "model-versions/delete", {"name": "late", "version": "1"}),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_of_a_version_is_answered_as_it_was_registered(call: Call, database: Database, tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    run_id = call("POST", "runs/create", {"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    store_file(database, blobs, WRITER, (run_id, "m/d/a.txt"), b"first")
    call("POST", "registered-models/create", {"name": "kept"})
    call("POST", "model-versions/create", {"name": "kept", "source": f"runs:/{run_id}/m", "run_id": run_id})
    call("POST", "model-versions/create", {"name": "kept", "source": "s3://b/m"})
    store_file(database, blobs, WRITER, (run_id, "m/d/a.txt"), b"changed")
    asked = {"name": "kept", "version": "1", "path": "d/a.txt"}
    found = call("GET", FILE, asked)
    assert (found.text, found.headers["content-disposition"]) == ("first", "attachment; filename=a.txt")
    for change, status, told in (
        ({"path": "../a"}, 400, "Invalid path"),
        ({"path": "../a", "name": "lost"}, 400, "Invalid path"),
        ({"path": "d"}, 400, "refers to a directory, not a file: 'd'"),
        ({"path": "a.txt"}, 404, "No such artifact: 'a.txt'"),
        ({"version": "3"}, 404, "Model Version (name=kept, version=3) not found"),
        ({"version": "2"}, 404, "only where they lie"),
        ({"path": ""}, 400, "parameter 'path'"),
    ):
        answer = call("GET", FILE, asked | change)
        assert (answer.status_code, told in answer.json()["message"]) == (status, True), answer.text
    assert call("GET", FILE, asked, by="reader").status_code == 200
    assert call("GET", FILE, asked, by="stranger").status_code == 404


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_foreign_teams_find_nothing_and_viewers_change_nothing(call: Call, three: None) -> None:
    assert call("POST", "registered-models/alias", {"name": "late", "alias": "champion", "version": "2"}).status_code == 200
    for path, body in READS:
        assert call("GET", path, body, by="stranger").status_code == 404
        assert call("GET", path, body, by="reader").status_code == (404 if "download" in path else 200)
    for method, path, body in WRITES:
        assert call(method, path, body, by="stranger").status_code == 404
        if "rename" not in path:
            assert call(method, path, body, by="reader").status_code == 403, path
    for path in ("registered-models/search", "model-versions/search"):
        assert call("GET", path, {}, by="stranger").json() == {}
    assert call("GET", "registered-models/get", {"name": "late"}).json()["registered_model"]["description"] == "Warn."


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "registered-models/create", {}, "INVALID_PARAMETER_VALUE"),
        ("POST", "registered-models/create", {"name": "a/b"}, "INVALID_PARAMETER_VALUE"),
        ("POST", "registered-models/create", {"name": "late"}, "RESOURCE_ALREADY_EXISTS"),
        ("GET", "registered-models/get", {"name": "lost\x00"}, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "registered-models/get", {"name": "lost"}, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "model-versions/get", {"name": "late", "version": "x"}, "INVALID_PARAMETER_VALUE"),
        ("GET", "model-versions/get", {"name": "late", "version": "4"}, "RESOURCE_DOES_NOT_EXIST"),
        ("GET", "model-versions/get", {"name": "late", "version": "999999999999"}, "RESOURCE_DOES_NOT_EXIST"),
        ("POST", "model-versions/transition-stage", {"name": "late", "version": "1", "stage": "Moon"}, "INVALID_PARAMETER_VALUE"),
        ("POST", "registered-models/alias", {"name": "late", "alias": "v1", "version": "1"}, "INVALID_PARAMETER_VALUE"),
        ("POST", "registered-models/set-tag", {"name": "late", "key": "a\x00b", "value": "v"}, "INVALID_PARAMETER_VALUE"),
        ("GET", "model-versions/search", {"filter": "nonsense = 'x'"}, "INVALID_PARAMETER_VALUE"),
        ("GET", "model-versions/search", {"max_results": "0"}, "INVALID_PARAMETER_VALUE"),
        ("GET", "registered-models/search", {"page_token": "x"}, "INVALID_PARAMETER_VALUE"),
        ("GET", "registered-models/search", {"max_results": "1001"}, "INVALID_PARAMETER_VALUE"),
    ],
)
def test_what_is_wrong_is_told_by_mlflows_codes(call: Call, three: None, method: str, path: str, body: Any, code: str) -> None:
    assert call(method, path, body).json()["error_code"] == code


def test_versions_are_paged_in_one_order_on_both_databases(call: Call, three: None) -> None:
    seen, token = [], None
    while True:
        body = {
            "filter": "version_number >= 1",
            "max_results": "2",
            "order_by": "version_number DESC",
            **({"page_token": token} if token else {}),
        }
        page = call("GET", "model-versions/search", body).json()
        seen += [one["version"] for one in page["model_versions"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert seen == ["3", "2", "1"]


def test_a_held_version_is_not_deleted(call: Call, three: None, database: Database) -> None:
    database.write(lambda tx: service.put_hold(tx, LATE, 1, "endpoint:late", "it answers 100% of production traffic"))
    refused = call("DELETE", "model-versions/delete", {"name": "late", "version": "1"})
    assert (refused.status_code, refused.json()["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert "100% of production traffic" in refused.json()["message"]

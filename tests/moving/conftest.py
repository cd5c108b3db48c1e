"""An MLflow that really was used, as a database and as a running server, and an empty installation of ours to move to."""

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, SYSTEM, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token, first_start
from modelyard.core.settings import read_settings
from modelyard.moving.accounts import Unwatched
from modelyard.moving.domain import Asked, ImportReport
from modelyard.moving.importing import Import
from modelyard.moving.sources import Address, opened_source, source_name
from modelyard.sdk.client import Client
from modelyard.server.app import control_plane
from modelyard.server.installation import Installation, opened
from modelyard.server.listening import server
from modelyard.server.sockets import bound_socket

EXPERIMENT = "Flüge ✈"
BIN = "given up"
ODD_NAME = "sub/ä & b (1).txt"


class TheirWorld(msgspec.Struct, frozen=True, kw_only=True):
    """An MLflow: its folder, its database, its client, and the ids of what is in it."""

    folder: Path
    url: str
    client: Any
    experiment: str
    outer: str
    inner: str
    gone: str
    model: str

    def put_file(self, path: str, content: bytes, owner: str = "") -> None:
        """Has a run, or the logged model, hold a file, as MLflow's artifact store keeps it."""
        place = owner or f"{self.experiment}/{self.outer}"
        found = self.folder / "mlartifacts" / place / "artifacts" / path
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(content)


@pytest.fixture(scope="module")
def their_template(tmp_path_factory: pytest.TempPathFactory) -> TheirWorld:
    """The MLflow that `theirs` copies."""
    mlflow: Any = pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("mlflow")
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment(EXPERIMENT, artifact_location="mlflow-artifacts:/1", tags={"für": "wen"})
    gone = client.create_experiment(BIN, artifact_location="mlflow-artifacts:/2")
    outer = client.create_run(experiment, 1_700_000_000_000, {"mlflow.user": "ann", "ö": "Wert"}, "äußerer").info.run_id
    inner = client.create_run(experiment, 1_700_000_000_001, {"mlflow.parentRunId": outer}).info.run_id
    in_bin = client.create_run(gone, 1_700_000_000_002, {}).info.run_id
    model = _logged(mlflow, client, (experiment, outer))
    world = TheirWorld(
        folder=folder, url=f"sqlite:///{folder}/mlflow.db", client=client,
        experiment=experiment, outer=outer, inner=inner, gone=in_bin, model=model,
    )  # fmt: skip
    world.put_file("model/MLmodel", b"flavors: {}\n")
    world.put_file("model/weights.bin", bytes(range(256)) * 40)
    world.put_file(ODD_NAME, "über".encode())
    world.put_file("MLmodel", b"flavors: {}\n", f"{experiment}/models/{model}")
    _registered(client, world)
    client.delete_run(inner)
    client.delete_experiment(gone)
    mlflow.set_tracking_uri(None)
    return world


def _logged(mlflow: Any, client: Any, at: tuple[str, str]) -> str:
    experiment, run = at
    metric = mlflow.entities.Metric
    losses = [metric("loss", 1.0 / (step + 1), 1_700_000_000_000 + step, step) for step in range(300)]
    odd = [metric("auc", value, 7, 0) for value in (0.5, math.inf, -math.inf, math.nan)] + [metric("loss", 9.0, 5, 3)]
    client.log_batch(run, losses + odd, [mlflow.entities.Param("rate", "0.1"), mlflow.entities.Param("lang", "ü" * 500)])
    dataset = mlflow.entities.Dataset("rows", "abc", "local", "{}", schema="{}", profile=None)
    client.log_inputs(run, [mlflow.entities.DatasetInput(dataset, [mlflow.entities.InputTag("mlflow.data.context", "training")])])
    made = client.create_logged_model(experiment, "clf", run, {"kind": "tree"}, {"depth": "3"}, "classifier")
    client.log_metric(run, "acc", 0.9, 8, 1, dataset_name="rows", dataset_digest="abc", model_id=made.model_id)
    client.finalize_logged_model(made.model_id, "READY")
    client.log_outputs(run, [mlflow.entities.LoggedModelOutput(made.model_id, 1)])
    client.set_terminated(run, end_time=1_700_000_009_999)
    return str(made.model_id)


def _registered(client: Any, world: TheirWorld) -> None:
    """The model `late`: version 2 is gone, 1 is a run's folder, 3 a logged model's, 4 lies where nobody can read it."""
    client.create_registered_model("late", {"team": "x"}, "is it läte?")
    home = f"mlflow-artifacts:/1/{world.outer}/artifacts/model"
    client.create_model_version("late", home, world.outer, {"a": "1"}, description="first")
    client.create_model_version("late", home, world.outer)
    client.create_model_version("late", f"models:/{world.model}", world.outer, model_id=world.model)
    client.create_model_version("late", "s3://far/away/model", None, run_link="https://ci/1")
    client.delete_model_version("late", "2")
    client.transition_model_version_stage("late", "1", "Production")
    client.set_registered_model_alias("late", "champion", "3")


@contextlib.contextmanager
def their_server(world: TheirWorld) -> Iterator[str]:
    """The address of an MLflow server over a world while the block runs: MLflow's own app, in a thread."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("_MLFLOW_SERVER_FILE_STORE", world.url)
        patch.setenv("_MLFLOW_SERVER_REGISTRY_STORE", world.url)
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
        patch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        patch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(world.folder / "mlartifacts"))
        from mlflow.server import app  # the app reads its settings from the environment
        from werkzeug.serving import make_server

        made = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=made.serve_forever, name="mlflow-server")
        thread.start()
        try:
            yield f"http://127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()
            thread.join()
            made.server_close()


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """An installation of ours that is empty at first."""

    url: str
    installation: Installation
    token: str

    def client(self) -> Client:
        """A client with the rights of a contributor."""
        return Client(self.url, self.token)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty installation that listens."""
    with new_home(tmp_path / "home") as made:
        yield made


@contextlib.contextmanager
def new_home(folder: Path) -> Iterator[Home]:
    """An empty installation in `folder` that listens while the block runs."""
    bound = bound_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    settings = read_settings(None, {}, {"data": str(folder), "server.port": bound.getsockname()[1]})
    with opened(settings) as installation, ThreadPoolExecutor(8) as pool:
        plane = control_plane(installation, pool)
        running = server(plane.app, plane.close)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
        thread.start()
        with httpx.Client(transport=httpx.HTTPTransport(retries=20), trust_env=False) as client:
            client.get(f"{url}/readyz")
        installation.database.write(first_start)
        yield Home(url=url, installation=installation, token=token_of(installation, Role.CONTRIBUTOR))
        running.should_exit = True
        thread.join()


def token_of(installation: Installation, role: Role) -> str:
    """The token of a new account that has a role."""
    team, name = EVERY_TEAM if role is Role.ADMIN else DEFAULT_TEAM, f"test-{role}"
    installation.database.write(lambda tx: create_service_account(tx, SYSTEM, name, team, role))
    order = TokenOrder(name="test", scopes=(Scope.ALL,), owner=name)
    return installation.database.write(lambda tx: create_token(tx, SYSTEM, order)).secret


Bring = Callable[..., ImportReport]


@pytest.fixture
def bring(home: Home) -> Bring:
    """Imports from an address: `bring(url, is_full=True)`."""

    def brought(url: str, *, artifacts: str = "", client: Client | None = None, **asked: Any) -> ImportReport:
        wanted = Asked(source=asked.pop("source", source_name(url)), **asked)
        with opened_source(Address(url=url, artifacts=artifacts)) as source, client or home.client() as ours:
            return Import(source, ours, wanted, Unwatched()).ran()

    return brought

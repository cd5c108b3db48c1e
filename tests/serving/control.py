"""A control plane for tests: a database with a registered model, and its heartbeat over HTTP."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, SYSTEM, Principal, PrincipalId, Role
from modelyard.core.clock import Instant
from modelyard.features import service as features
from modelyard.features.domain import FeatureView
from modelyard.registry import service as registry
from modelyard.registry.domain import Format, ModelName, NewModel, NewVersion
from modelyard.serving import service
from modelyard.serving.domain import Assignment, Deployment, Heartbeat, Held, OwnRevision
from modelyard.storage.database import Database
from tests.serving.world import LATE, SET, World

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
BEN = Principal(id=PrincipalId("usr_ben"), name="ben", kind="person", roles={DEFAULT_TEAM: Role.CONTRIBUTOR})
ROOT = Principal(id=PrincipalId("usr_root"), name="root", kind="person", roles={EVERY_TEAM: Role.ADMIN})
GATE = Principal(id=PrincipalId("svc_gate"), name="gateway", kind="service", roles={EVERY_TEAM: Role.CONTRIBUTOR})


def registered(database: Database, world: World) -> None:
    """Registers the world's model with its three versions, and the features that they read."""
    database.write(lambda tx: registry.ensure_model(tx, SYSTEM, NewModel(name=LATE)))

    def apply(view: FeatureView) -> None:
        database.write(lambda tx: features.apply_view(tx, SYSTEM, view, "/nowhere"))

    for view in SET.views:
        apply(view)
    database.write(lambda tx: features.apply_set(tx, SYSTEM, SET))
    for number in world.versions:
        kept = registry.keep_artifact(database, world.blobs, world.folder / "trained" / str(number))
        new = NewVersion(format=Format.LIGHTGBM, artifact=kept.digest, signature=world.versions[number].signature, feature_set=SET.digest)
        database.write(lambda tx, new=new: registry.register_version(tx, SYSTEM, LATE, new))  # type: ignore[misc]  # mypy cannot infer it


class Pretender:
    """A gateway as the control plane sees it: prepares and activates what it is told, by the database alone."""

    def __init__(self, database: Database, name: str, *, fails: str = "") -> None:
        self.name = name
        self.held: dict[tuple[ModelName, int], Held] = {}
        self.known: dict[tuple[ModelName, int], Deployment] = {}
        self._database = database
        self._fails = fails

    def hold(self, own: OwnRevision) -> None:
        """Serves under a revision that it made by itself."""
        name, at = (own.revision.model, own.revision.number), self._database.clock.wall()
        self.held[name] = Held(model=name[0], revision=name[1], prepared_at=at, active_at=at)

    def beat(self, **changes: object) -> Assignment:
        """One heartbeat, and what it was told done."""
        body = msgspec.structs.replace(Heartbeat(started_at=Instant(1), held=tuple(self.held.values())), **changes)
        told = self._database.write(lambda tx: service.heartbeat(tx, GATE, self.name, body))
        now = self._database.clock.wall()
        for deployment in told.deployments:
            revision = deployment.revision
            self.known[revision.model, revision.number] = deployment
            error = self._fails if revision.number > 1 else ""
            at = None if error else now
            self.held[revision.model, revision.number] = Held(model=revision.model, revision=revision.number, prepared_at=at, error=error)
        for name in told.active:
            if self.held[name].active_at is None:
                self.held[name] = msgspec.structs.replace(self.held[name], active_at=now)
        for name in set(self.held) - set(told.active) - set(told.prepare):
            self.held.pop(name)
        return told


@contextlib.contextmanager
def listening(database: Database) -> Iterator[str]:
    """The address at which `POST /api/v1/gateways/{gateway}/heartbeat` is answered."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gateway = self.path.split("/")[-2]
            body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])), type=Heartbeat)
            answer = msgspec.json.encode(database.write(lambda tx: service.heartbeat(tx, GATE, gateway, body)))
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

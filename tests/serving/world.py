"""A small world for gateways: two versions of a model of late flights, their features online, and gateways as processes."""

import contextlib
import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import msgspec
import numpy as np

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.features.domain import Entity, FeatureSet, FeatureView, Parquet
from modelyard.registry.artifacts import put_folder
from modelyard.registry.domain import Column, Format, ModelName, Signature
from modelyard.registry.encoding import matrix
from modelyard.registry.formats import load, save
from modelyard.serving.domain import Assignment, Deployment, GatewayToken, Revision, ServedVersion, Traffic
from modelyard.serving.log.frames import Frame
from modelyard.serving.log.segments import frames
from modelyard.storage.blobs import Blobs
from modelyard.storage.durable import write_whole
from tests.serving.gateway_main import Options

LATE = ModelName("late")
TEAM = TeamId("default")
WEATHER = FeatureView("weather", Entity("origin"), Parquet("w.parquet", "at"), features={"wind": "float64", "rain": "float64"}, ttl="3h")
SET = FeatureSet("late_features", [WEATHER])
SIGNATURE = Signature(
    inputs=(
        Column(name="wind", dtype="float64"),
        Column(name="rain", dtype="float64"),
        Column(name="origin", dtype="string", categories=("EWR", "JFK", "LGA")),
        Column(name="hour", dtype="int64"),
        Column(name="distance", dtype="float64"),
    )
)
FOREVER = Instant(2**62)
ROW = {"origin": "JFK", "hour": 7, "distance": 1089.0}
SECRET = "ab" * 24
TOKEN = f"yard_0123456789ab_{SECRET}"


def token(**changes: Any) -> GatewayToken:
    """The token that `TOKEN` is."""
    given = {"id": "0123456789ab", "digest": hashlib.sha256(SECRET.encode()).hexdigest(), "principal": PrincipalId("svc_1")}
    return GatewayToken(**{**given, "expires_at": FOREVER, "teams": (TEAM,), **changes})


class World:
    """A data folder with blobs, and the assignment that its gateways follow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs.open(f"file://{folder}/blobs")
        self.predictors = {number: load(self._trained(number)) for number in (1, 2, 3)}
        self.versions = {number: self._version(number) for number in self.predictors}

    def _trained(self, number: int) -> Path:
        path = self.folder / "trained" / str(number)
        generator = np.random.default_rng(number)
        rows = generator.normal(size=(400, 5))
        rows[:, 2] = generator.integers(0, 3, 400)
        data = lightgbm.Dataset(rows, (rows[:, 3] + number * rows[:, 2] > 1).astype(float), params={"verbose": -1})
        booster = lightgbm.train({"objective": "binary", "num_leaves": 8, "verbose": -1, "num_threads": 1}, data, 10)
        save(booster, path, SIGNATURE)
        return path

    def _version(self, number: int) -> ServedVersion:
        artifact, _ = put_folder(self.blobs, self.folder / "trained" / str(number))
        return ServedVersion(number=number, format=Format.LIGHTGBM, artifact=artifact, signature=SIGNATURE, feature_set=SET)

    def expected(self, version: int, row: dict[str, Any], **features: float | None) -> float:
        """What a version answers to a row with those features."""
        columns: dict[str, Any] = {"wind": None, "rain": None, **row, **features}
        return float(self.predictors[version].predict(matrix({name: [cell] for name, cell in columns.items()}, SIGNATURE))[0])

    def deployment(self, number: int, traffic: Traffic, model: ModelName = LATE, team: TeamId = TEAM) -> Deployment:
        """A revision of the model."""
        revision = Revision(
            model=model, number=number, team_id=team, traffic=traffic, cause="test", actor=PrincipalId("usr_1"), proposed_at=Instant(1)
        )
        return Deployment(revision=revision, versions=tuple(self.versions[version] for version in traffic.versions))

    def assign(self, *deployments: Deployment, **changes: Any) -> None:
        """Has the gateways serve under these revisions from their next look on."""
        active = tuple((one.revision.model, one.revision.number) for one in deployments)
        given: dict[str, Any] = {
            "active": active,
            "deployments": deployments,
            "tokens": (token(),),
            "tokens_until": FOREVER,
            "again_s": 0.05,
        }
        write_whole(self.folder / "assignment.json", msgspec.json.encode(Assignment(**{**given, **changes})))

    def serve(self, **traffic: Any) -> None:
        """Has revision 1 of the model served."""
        self.assign(self.deployment(1, Traffic(**{"champion": 1, **traffic})))

    def logged(self, gateway: str = "g1") -> list[Frame]:
        """Everything in a gateway's log, segment by segment."""
        paths = sorted((self.folder / "gateways" / gateway / "log").glob("seg_*.[os]*"))
        return [frame for path in paths for frame in frames(path.read_bytes())]


class Gateway:
    """A gateway that runs as a process."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.port = port
        self.stranger = httpx.Client(base_url=self.url, timeout=20, trust_env=False)
        self.client = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=20, trust_env=False)

    def predict(self, *rows: dict[str, Any], **headers: str) -> dict[str, Any]:
        """The answer to rows."""
        answer = self.client.post("/predict/late", json={"rows": list(rows or (ROW,))}, headers=headers)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result

    def until(self, revision: int, within_s: float = 20) -> None:
        """Waits until it answers under a revision."""
        until(lambda: self.predict()["revision"] == revision, within_s)

    def kill(self) -> None:
        """Kills it with signal 9."""
        self.process.kill()
        self.process.wait(20)


def until(is_done: Any, within_s: float = 20) -> None:
    """Waits for something that another process does."""
    end = time.monotonic() + within_s
    while not is_done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@contextlib.contextmanager
def running(world: World, name: str = "g1", *, control_url: str = "", ready_within_s: float = 20, **options: Any) -> Iterator[Gateway]:
    """A gateway process that is ready, stopped afterwards."""
    given = msgspec.json.encode(
        Options(name=name, data=str(world.folder), options={"port": 0, **options}, control_url=control_url)
    ).decode()
    process = subprocess.Popen([sys.executable, "-m", "tests.serving.gateway_main", given], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with contextlib.ExitStack() as stack:
        stack.callback(_ended, process)
        gateway = Gateway(process, int(process.stdout.readline()))
        stack.callback(gateway.client.close)
        stack.callback(gateway.stranger.close)
        until(lambda: is_ready(gateway), ready_within_s)
        yield gateway


def _ended(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.terminate()
    process.wait(20)
    if process.stdout is not None:
        process.stdout.close()


def is_ready(gateway: Gateway) -> bool:
    """Whether it answers that it is."""
    with contextlib.suppress(httpx.TransportError):
        return gateway.client.get("/readyz").status_code == 200
    return False

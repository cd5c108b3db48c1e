"""A rollback at the gateway while the control plane is away: who may, restarts, reports, and what becomes of it afterwards."""

import contextlib
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa

from modelyard.ledger.domain import Event
from modelyard.serving.domain import OWN_NUMBERS, RevisionState, Route
from modelyard.serving.gateway.door import DOOR, LONGEST_PATH, reached
from modelyard.serving.store.gateways import NUMBERS
from tests.live import Live, live
from tests.serving.load import Load
from tests.serving.test_gateway_life import ROWS
from tests.serving.world import Gateway, until

pytestmark = pytest.mark.xdist_group("cut off")


class Cut(msgspec.Struct, frozen=True):
    """An installation that has served versions 1 and 2, the latter under `base`, whose server was killed; `own` is the gateway's next."""

    live: Live
    base: int
    own: int


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The installation that all tests here share."""
    with live(tmp_path_factory.mktemp("cut")) as made:
        yield made


@pytest.fixture
def cut(installation: Live) -> Cut:
    """The installation, whole first and then cut off."""
    missing = [role for role in ("server", "gateway") if role not in installation.running]
    installation.start(*missing)
    installation.serve(1)
    base = installation.serve(2)
    installation.end("server")
    return Cut(installation, base, OWN_NUMBERS + made_so_far(installation))


def made_so_far(installation: Live) -> int:
    """How many revisions the gateway has made by itself."""
    with installation.database.read() as snapshot:
        found = snapshot.connection.execute(sa.select(NUMBERS.c.next - NUMBERS.c.first)).scalar()
    return int(found or 0)


def rolled_back(cut: Cut, *words: str, code: int = 0) -> Any:
    """The JSON answer of `yard rollback late --local`."""
    done = cut.live.yard("rollback", "late", "--local", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def told(cut: Cut, count: int) -> list[Event]:
    """The ledger's newest entries about own revisions of this test, in the order of the log."""

    def mine() -> list[Event]:
        return [one for one in cut.live.events("serving.rolled_back_locally") if one.data["revision"] >= cut.own]

    until(lambda: len(mine()) == count)
    return mine()


def test_it_is_at_once_survives_a_restart_and_becomes_the_next_revision_when_the_control_plane_is_back(cut: Cut) -> None:
    yard, own = cut.live, cut.own
    made = rolled_back(cut, "--why", "nonsense since noon")
    assert (made["state"], made["revision"]["number"], made["revision"]["traffic"]["champion"]) == ("local", own, 1)
    assert (yard.predict()["version"], yard.predict()["revision"]) == (1, own)
    yard.end("gateway")
    yard.start("gateway")
    assert (yard.predict()["version"], yard.predict()["revision"]) == (1, own)
    yard.start("server")
    seen: list[int] = []
    until(lambda: seen.append(yard.predict()["revision"]) or seen[-1] == cut.base + 1)  # type: ignore[func-returns-value]  # to note each
    assert set(seen) <= {own, cut.base + 1}
    endpoint = yard.endpoint()
    assert endpoint.live is not None
    assert (endpoint.live.revision.traffic.champion, endpoint.live.revision.number, endpoint.local) == (1, cut.base + 1, ())
    assert endpoint.live.revision.cause.endswith("while it was cut off: nonsense since noon")
    with yard.client() as client:
        detail = client.get_revision(endpoint.model, own)
    assert (detail.state, detail.revision.cause, len(detail.switches)) == (RevisionState.SUPERSEDED, "nonsense since noon", 1)
    (entry,) = told(cut, 1)
    assert (entry.data["revision"], entry.data["base"], entry.data["away"], entry.data["outcome"]) == (own, cut.base, [2], "stands")
    assert entry.data["decided_wall_at"] < entry.recorded_at
    assert entry.data["decided_at"] <= entry.occurred_at
    assert entry.commitment is not None


def test_no_request_fails_and_each_is_answered_by_the_version_of_its_revision(cut: Cut) -> None:
    gateway = Gateway(None, int(cut.live.gateway_url.rpartition(":")[2]))  # type: ignore[arg-type]  # it is only asked
    with Load(gateway, ROWS[:3], token=cut.live.token) as answered:
        until(lambda: len(answered.answers) > 20)
        for words in (["--to", "1"], ["--to", "2"], []):
            rolled_back(cut, *words)
        cut.live.start("server")
        until(lambda: answered.answers[-1]["revision"] == cut.base + 1)
    assert (answered.refused, answered.broken) == ([], 0)
    champions = {cut.base: 2, cut.own: 1, cut.own + 1: 2, cut.own + 2: 1, cut.base + 1: 1}
    assert {(answer["revision"], answer["version"]) for answer in answered.answers} == set(champions.items())
    found = [entry.data for entry in told(cut, 3)]
    assert [(one["outcome"], one["away"]) for one in found] == [("followed", [2]), ("followed", [1]), ("stands", [2])]


def test_what_was_never_loaded_here_is_refused_and_nothing_is_changed(cut: Cut) -> None:
    error = rolled_back(cut, "--to", "3", code=1)["error"]
    assert error["code"] == "version_not_here"
    assert "nothing is changed" in error["message"]
    assert "1, 2" in error["hint"]
    assert rolled_back(cut, "--to", "2", code=1)["error"]["code"] == "nothing_to_roll_back_to"
    assert code_of(cut.live, "lat") == "no_such_endpoint"
    assert cut.live.predict()["revision"] == cut.base


def test_what_only_was_a_canary_here_is_refused_and_its_canary_is_taken_back(cut: Cut) -> None:
    cut.live.start("server")
    number = cut.live.serve(2, canary=Route(version=3, share=0.5))
    cut.live.end("server")
    assert rolled_back(cut, "--to", "3", code=1)["error"]["code"] == "version_not_here"
    assert rolled_back(cut, "--to", "2")["revision"]["traffic"] == {"champion": 2, "canary": None, "shadows": [], "fallback": None}
    assert cut.live.predict()["revision"] == cut.own > number


def test_only_while_the_control_plane_is_away_and_by_the_door_of_the_folder(cut: Cut, tmp_path: Path) -> None:
    door = cut.live.data / "gateway" / DOOR
    assert [stat.S_IMODE(path.stat().st_mode) for path in (door, cut.live.data)] == [0o600, 0o700]
    cut.live.start("server")
    until(lambda: httpx.get(f"{cut.live.gateway_url}/readyz", trust_env=False).json()["control_plane_age_s"] < 1)
    assert code_of(cut.live, "late") == "control_plane_answers"
    assert cut.live.predict()["revision"] == cut.base
    cut.live.end("gateway")
    assert rolled_back(cut, code=4)["error"]["code"] == "no_gateway_here"
    assert rolled_back(cut, "--data", str(tmp_path), code=4)["error"]["code"] == "no_gateway_here"


def code_of(yard: Live, model: str) -> str:
    """The error's code."""
    return str(json.loads(yard.yard("rollback", model, "--local", "--json").stdout)["error"]["code"])


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """What the block does, it does as another account."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def asked_by_nobody(door: Path) -> bytes:
    """What the door answers another account."""
    with as_nobody(), socket.socket(socket.AF_UNIX) as met:
        met.settimeout(10)
        met.connect(str(door))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            met.sendall(b'{"model": "late"}\n')
            return met.recv(99)
    return b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another account")
def test_another_account_of_the_machine_is_not_let_in_also_where_the_folder_is_open(cut: Cut) -> None:
    folder = cut.live.data / "gateway"
    door = folder / DOOR
    with pytest.raises(PermissionError):
        asked_by_nobody(door)
    with contextlib.ExitStack() as stack:
        closed = [path for path in (*folder.parents, folder) if stat.S_IMODE(path.stat().st_mode) == 0o700]
        for path in (*closed, door):
            stack.callback(path.chmod, stat.S_IMODE(path.stat().st_mode))
            path.chmod(0o777)
        assert asked_by_nobody(door) == b""
    assert cut.live.predict()["revision"] == cut.base


def test_the_door_has_a_short_path_where_that_of_the_folder_is_too_long_for_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True)
    with reached(folder) as path, socket.socket(socket.AF_UNIX) as door:
        door.bind(path)
        assert (folder / DOOR).is_socket()
    assert len(str(folder)) > LONGEST_PATH

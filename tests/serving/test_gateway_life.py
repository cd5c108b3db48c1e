"""A gateway through its life: cut-overs and kills under load, restarts without a control plane, canaries, shadows, fallbacks."""

import uuid
from typing import Any

import httpx
import pytest

from modelyard.core.clock import Instant
from modelyard.serving.domain import Fallback, Route, Traffic
from modelyard.serving.log.frames import LabelFrame, Layout, PredictionFrame
from modelyard.serving.rules import canary_rows
from modelyard.storage.online import LmdbStore
from tests.serving.load import Load
from tests.serving.world import ROW, SET, TOKEN, Gateway, World, running, until

ROWS: list[dict[str, Any]] = [{**ROW, "origin": f"A{n}", "hour": n % 24} for n in range(40)]
FULL = Fallback(value=0.25, views=("weather",), stale=("weather",))


def logged_ids(world: World, gateway: str = "g1", *, arm: str | None = None) -> list[str]:
    """The ids of the predictions in a gateway's log, as often as they stand there."""
    frames = [one for one in world.logged(gateway) if isinstance(one, PredictionFrame) and arm in (None, one.arm)]
    return [str(uuid.UUID(bytes=one.ids[n : n + 16])) for one in frames for n in range(0, len(one.ids), 16)]


def test_a_kill_under_load_loses_no_answered_prediction(world: World) -> None:
    seen: set[str] = set()
    for _ in range(3):
        with running(world) as gateway, Load(gateway, ROWS[:3]) as answered:
            until(lambda: len(answered.answers) > 150)
            gateway.kill()
        seen |= answered.ids
    with running(world):
        pass
    logged = logged_ids(world)
    assert seen <= set(logged)
    assert len(logged) == len(set(logged))


def test_cutovers_and_rollbacks_under_load_drop_no_request_and_each_answer_has_one_revision(world: World, gateway: Gateway) -> None:
    champions = {1: 1}
    with Load(gateway, ROWS[:5]) as answered:
        until(lambda: len(answered.answers) > 5)
        for number in range(2, 8):
            champions[number] = 1 + number % 2
            world.assign(world.deployment(number, Traffic(champion=champions[number])))
            gateway.until(number)
    assert (answered.refused, answered.broken) == ([], 0)
    assert {answer["revision"] for answer in answered.answers} == set(champions)
    for answer in answered.answers:
        assert answer["version"] == champions[answer["revision"]]
        expected = [world.expected(answer["version"], row) for row in ROWS[:5]]
        assert [one["value"] for one in answer["predictions"]] == expected
    logged = {one.revision for one in world.logged() if isinstance(one, PredictionFrame)}
    assert logged == set(champions)


def test_it_goes_on_under_its_last_revision_without_a_control_plane_also_after_a_restart(world: World) -> None:
    world.assign(world.deployment(7, Traffic(champion=2)))
    with running(world) as gateway:
        gateway.until(7)
        (world.folder / "assignment.json").unlink()
        until(lambda: gateway.client.get("/readyz").json()["control_plane_age_s"] > 0.3)
        assert gateway.predict()["revision"] == 7
    for path in (world.folder / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    with running(world) as gateway:
        assert (gateway.predict()["version"], gateway.predict()["revision"]) == (2, 7)


def test_a_gateway_that_never_heard_from_a_control_plane_is_alive_but_not_ready(world: World) -> None:
    (world.folder / "assignment.json").unlink()
    with pytest.raises(AssertionError, match="in time"), running(world, ready_within_s=1.5) as gateway:
        assert gateway.client.get("/healthz").status_code == 200


def test_a_canary_answers_the_same_entities_on_every_gateway_and_after_a_restart(world: World) -> None:
    canary = Route(version=2, share=0.3)
    world.assign(world.deployment(2, Traffic(champion=1, canary=canary)))
    expected = canary_rows("late", canary, [(row["origin"],) for row in ROWS])
    assert 3 < sum(expected) < 25
    for name in ("g1", "g2", "g1"):
        with running(world, name) as gateway:
            answer = gateway.predict(*ROWS)
            assert (answer["version"], answer["revision"]) == (1, 2)
            assert [one.get("version") == 2 for one in answer["predictions"]] == expected
            for row, one in zip(ROWS, answer["predictions"], strict=True):
                assert one["value"] == world.expected(one.get("version", 1), row)
    arms = [(one.arm, len(one.values)) for one in world.logged("g2") if isinstance(one, PredictionFrame)]
    assert arms == [("champion", 40 - sum(expected)), ("canary", sum(expected))]


def test_a_canary_may_be_asked_by_its_version_and_a_shadow_may_not(world: World) -> None:
    world.assign(world.deployment(2, Traffic(champion=1, canary=Route(version=2, share=0.0), shadows=(3,))))
    inputs = [{"name": name, "shape": [1], "datatype": kind, "data": [ROW[name]]} for name, kind in FIELDS.items()]
    with running(world) as gateway:
        for version, status in ((1, 200), (2, 200), (3, 404)):
            answer = gateway.client.post(f"/v2/models/late/versions/{version}/infer", json={"inputs": inputs})
            assert answer.status_code == status
            if status == 200:
                outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
                assert (outputs["version"], outputs["value"]) == ([version], [world.expected(version, ROW)])


FIELDS = {"origin": "BYTES", "hour": "INT64", "distance": "FP64"}


def test_shadows_answer_nobody_and_are_logged_under_the_ids_of_the_answers(world: World) -> None:
    world.assign(world.deployment(2, Traffic(champion=1, shadows=(2, 3))))
    with running(world) as gateway:
        answer = gateway.predict(*ROWS[:5])
        assert [one["value"] for one in answer["predictions"]] == [world.expected(1, row) for row in ROWS[:5]]
    frames = [one for one in world.logged() if isinstance(one, PredictionFrame)]
    versions = {one.key: one.version for one in world.logged() if isinstance(one, Layout)}
    assert [(one.arm, versions[one.layout]) for one in frames] == [("champion", 1), ("shadow", 2), ("shadow", 3)]
    assert frames[0].ids == frames[1].ids == frames[2].ids
    assert frames[2].values == [world.expected(3, row) for row in ROWS[:5]]


def test_the_declared_fallback_serves_while_a_view_is_stale(world: World) -> None:
    world.assign(world.deployment(2, Traffic(champion=1, fallback=FULL)))
    with running(world) as gateway:
        answer = gateway.predict()
        (one,) = answer["predictions"]
        assert (one["value"], one["fallback"], one["reason"]) == (0.25, True, "view weather is stale")
        assert 'fallbacks_total{model="late",version="1"} 1.0' in gateway.client.get("/metrics").text
        world.assign(world.deployment(3, Traffic(champion=1, fallback=Fallback(value=0.25, views=("weather",)))))
        gateway.until(3)
        assert "fallback" not in gateway.predict()["predictions"][0]
    frames = [one for one in world.logged() if isinstance(one, PredictionFrame)]
    assert (frames[0].arm, frames[0].values, frames[0].reasons) == ("fallback", [0.25], ["view weather is stale"])
    assert frames[-1].arm == "champion"


def test_a_revision_that_cannot_be_loaded_changes_nothing(world: World, gateway: Gateway) -> None:
    broken = world.deployment(2, Traffic(champion=2))
    missing = [version.artifact for version in broken.versions]
    for path in (world.folder / "blobs").rglob(missing[0].removeprefix("sha256:")[-20:] + "*"):
        path.unlink()
    world.blobs.delete(missing[0])
    world.assign(broken)
    before = gateway.client.get("/readyz").json()["control_plane_age_s"]
    until(lambda: gateway.client.get("/readyz").json()["control_plane_age_s"] != before)
    assert gateway.predict()["revision"] == 1


def test_a_model_that_is_no_longer_assigned_is_no_longer_answered(world: World, gateway: Gateway) -> None:
    world.assign()
    until(lambda: gateway.client.post("/predict/late", json={"rows": [ROW]}).status_code == 404)


def test_overload_is_shed_with_a_time_to_come_back_and_what_was_answered_is_logged(world: World) -> None:
    with running(world, max_in_flight=2) as gateway:
        with Load(gateway, ROWS, threads=12) as answered:
            until(lambda: len(answered.refused) > 20 and len(answered.answers) > 50)
        assert set(answered.refused) <= {429, 503}
        assert answered.broken == 0
        assert answered.ids <= set(logged_ids(world))
        assert "shed_total" in gateway.client.get("/metrics").text


def test_a_slow_body_holds_a_place_no_longer_than_allowed(world: World) -> None:
    with running(world, max_in_flight=1, login=False) as gateway:

        def body() -> Any:
            yield b'{"rows":'
            answer = httpx.post(f"{gateway.url}/predict/late", json={"rows": [ROW]}, trust_env=False)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            yield b"[]}"

        assert gateway.client.post("/predict/late", content=body()).status_code == 400
        assert gateway.predict()["revision"] == 1


def test_labels_are_durable_once_they_are_accepted(world: World, gateway: Gateway) -> None:
    name = gateway.predict()["predictions"][0]["id"]
    body = {"labels": [{"id": name.upper(), "value": True}, {"keys": {"origin": "JFK"}, "value": 0.5, "at": 5}]}
    answer = gateway.client.post("/labels/late", json=body)
    assert answer.json() == {"model": "late", "accepted": 2}
    (frame,) = [one for one in world.logged() if isinstance(one, LabelFrame)]
    assert (frame.model, frame.ids, frame.keys, frame.values) == ("late", [name, None], [None, '["JFK"]'], [1.0, 0.5])
    assert frame.at[1] == 5


@pytest.mark.parametrize(
    "label",
    [
        {"value": 1},
        {"id": "x", "value": 1},
        {"id": "x" * 36, "value": 1},
        {"id": str(uuid.uuid4())},
        {"id": str(uuid.uuid4()), "keys": {"origin": "JFK"}, "value": 1},
        {"keys": {"dest": "JFK"}, "value": 1},
        {"keys": {"origin": 5}, "value": 1},
        {"keys": {"origin": "JFK"}, "value": "late"},
        {"keys": {"origin": "JFK"}, "value": None},
    ],
)
def test_labels_that_name_nothing_are_refused(shared: Gateway, label: dict[str, Any]) -> None:
    answer = shared.client.post("/labels/late", json={"labels": [label]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_rows")


def test_in_a_replay_a_request_says_its_time_and_the_clock_follows(world: World) -> None:
    world.assign(world.deployment(1, Traffic(champion=1)), replay_at=Instant(1000))
    with running(world) as gateway:
        gateway.predict()
        gateway.predict(**{"modelyard-at": "5000"})
        gateway.predict(**{"modelyard-at": "4000"})
        gateway.predict()
        bad = gateway.client.post(
            "/predict/late", json={"rows": [ROW]}, headers={"modelyard-at": "soon", "authorization": f"Bearer {TOKEN}"}
        )
        assert bad.status_code == 400
    assert [one.at for one in world.logged() if isinstance(one, PredictionFrame)] == [1000, 5000, 4000, 5000]


def test_a_second_gateway_of_the_same_name_does_not_start(world: World, gateway: Gateway) -> None:
    with pytest.raises(ValueError, match="invalid literal"), running(world):
        pass
    assert gateway.predict()["revision"] == 1


def test_the_set_of_features_is_known_by_name(world: World, gateway: Gateway) -> None:
    LmdbStore.open(world.folder / "online").close()
    assert gateway.client.post(f"/features/{SET.name}", json={"rows": [{"origin": "JFK"}]}).json()["digest"] == SET.digest

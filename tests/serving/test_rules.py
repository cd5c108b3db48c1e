"""The rules of traffic: sticky splits, two phases, rollout steps, rollbacks, fallbacks, how far the log is complete."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import SECOND, Instant
from modelyard.core.digests import Digest
from modelyard.registry.domain import Column, Format, Signature
from modelyard.serving import rules
from modelyard.serving.domain import (
    BadTraffic,
    Cell,
    Fallback,
    GatewayLease,
    Held,
    NeverChampion,
    NothingToRollBackTo,
    Revision,
    RevisionDetail,
    RevisionState,
    Route,
    ServedVersion,
    Traffic,
)
from tests.serving.world import LATE, SET, SIGNATURE

keys = st.lists(st.tuples(st.one_of(st.none(), st.text(max_size=8), st.integers(-(2**63), 2**63 - 1))), min_size=1, max_size=30)
shares = st.floats(0, 1)
VERSION = ServedVersion(number=1, format=Format.LIGHTGBM, artifact=Digest("sha256:0"), signature=SIGNATURE, feature_set=SET)


@given(keys, shares)
def test_the_same_entity_always_gets_the_same_arm(entities: list[tuple[object]], share: float) -> None:
    route = Route(version=2, share=share)
    one = rules.canary_rows("m", route, entities)  # type: ignore[arg-type]  # cells
    assert one == rules.canary_rows("m", route, list(entities))  # type: ignore[arg-type]  # cells
    assert one == [rules.canary_rows("m", route, [key])[0] for key in entities]  # type: ignore[list-item]  # cells


@given(keys, shares, shares)
def test_a_larger_share_keeps_everyone_whom_a_smaller_one_had(entities: list[tuple[object]], one: float, other: float) -> None:
    small, large = sorted((one, other))
    few = rules.canary_rows("m", Route(version=2, share=small), entities)  # type: ignore[arg-type]  # cells
    many = rules.canary_rows("m", Route(version=2, share=large), entities)  # type: ignore[arg-type]  # cells
    assert all(b for a, b in zip(few, many, strict=True) if a)


def test_the_shares_are_kept_and_each_candidate_draws_anew() -> None:
    entities = [("JFK", number) for number in range(20_000)]
    for share in (0.0, 0.01, 0.1, 0.5, 1.0):
        found = sum(rules.canary_rows("m", Route(version=2, share=share), entities)) / len(entities)
        assert abs(found - share) < 0.01
    two, three = (rules.canary_rows("m", Route(version=number, share=0.5), entities) for number in (2, 3))
    assert 0.2 < sum(a and b for a, b in zip(two, three, strict=True)) / len(entities) < 0.3


def test_a_split_does_not_change_between_releases_of_the_product() -> None:
    entities: list[list[Cell]] = [["JFK"], ["LGA", 7, None], []]
    salt = rules.split_salt("late", 2)
    assert [rules.place(salt, key) >> 48 for key in entities] == [369, 14299, 16085]
    assert [rules.place(salt, tuple(key)) >> 48 for key in entities] == [369, 14299, 16085]


PREPARED = Held(model=LATE, revision=2, prepared_at=Instant(5))
BROKEN = Held(model=LATE, revision=2, error="no such blob")


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({}, RevisionState.PROPOSED),
        ({"a": None}, RevisionState.PROPOSED),
        ({"a": PREPARED, "b": None}, RevisionState.PROPOSED),
        ({"a": PREPARED, "b": PREPARED}, RevisionState.PREPARED),
        ({"a": PREPARED, "b": BROKEN}, RevisionState.FAILED),
    ],
)
def test_a_revision_goes_on_only_when_every_live_gateway_is_ready(held: dict[str, Held | None], expected: RevisionState) -> None:
    assert rules.next_state(RevisionState.PROPOSED, held) is expected
    for settled in (RevisionState.ACTIVE, RevisionState.SUPERSEDED, RevisionState.FAILED):
        assert rules.next_state(settled, held) is settled


def test_a_rollout_goes_up_by_steps_to_a_new_champion() -> None:
    live = Traffic(champion=1, shadows=(2, 3))
    steps = list(itertools.accumulate((0.01, 0.1, 0.5, 1.0), lambda now, share: rules.rollout_step(now, 2, share), initial=live))
    assert [one.canary.share if one.canary else None for one in steps] == [None, 0.01, 0.1, 0.5, None]
    assert steps[-1] == Traffic(champion=2, shadows=(3,))


def test_two_candidates_at_once_are_refused() -> None:
    with pytest.raises(BadTraffic, match="in canary"):
        rules.rollout_step(Traffic(champion=1, canary=Route(version=2, share=0.1)), 3, 0.1)
    with pytest.raises(BadTraffic, match="is the champion"):
        rules.rollout_step(Traffic(champion=1), 1, 0.1)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_zero_and_one_is_refused(share: float) -> None:
    with pytest.raises(BadTraffic):
        Route(version=1, share=share)


def test_a_version_has_one_part_in_the_traffic() -> None:
    with pytest.raises(BadTraffic, match="twice"):
        Traffic(champion=1, canary=Route(version=1, share=0.5))
    with pytest.raises(BadTraffic, match="twice"):
        Traffic(champion=1, shadows=(2, 2))


def detail(number: int, champion: int, *, was_active: bool = True) -> RevisionDetail:
    """An earlier revision."""
    revision = Revision(
        model=LATE, number=number, team_id=TeamId("default"), traffic=Traffic(champion=champion), cause="", actor=PrincipalId("u"),
        proposed_at=Instant(number),
    )  # fmt: skip
    state = RevisionState.SUPERSEDED if was_active else RevisionState.FAILED
    return RevisionDetail(revision=revision, state=state, active_at=Instant(number) if was_active else None)


def test_a_rollback_takes_the_canary_away_first_and_then_goes_to_the_champion_before() -> None:
    earlier = [detail(5, 3), detail(3, 4, was_active=False), detail(2, 2), detail(1, 1)]
    assert rules.rolled_back(Traffic(champion=3, canary=Route(version=4, share=0.5)), earlier, None) == Traffic(champion=3)
    assert rules.rolled_back(Traffic(champion=3), earlier, None) == Traffic(champion=2)
    assert rules.rolled_back(Traffic(champion=3, shadows=(1,)), earlier, 1) == Traffic(champion=1)
    with pytest.raises(NothingToRollBackTo):
        rules.rolled_back(Traffic(champion=1), [detail(1, 1)], None)


def test_a_rollback_brings_back_no_version_that_never_was_champion() -> None:
    canary = Route(version=4, share=0.5)
    earlier = [detail(3, 2), detail(2, 4, was_active=False), detail(1, 1)]
    for live in (Traffic(champion=2), Traffic(champion=2, canary=canary), Traffic(champion=2, shadows=(4,))):
        with pytest.raises(NeverChampion, match="version 4 was never champion"):
            rules.rolled_back(live, earlier, 4)
    assert rules.rolled_back(Traffic(champion=2, canary=canary), earlier, 2) == Traffic(champion=2)


def test_the_fallback_serves_while_a_view_that_it_names_and_the_version_reads_is_stale() -> None:
    fallback = Fallback(value=0.25, views=("weather", "planes"))
    traffic = rules.with_stale(Traffic(champion=1, fallback=fallback), {"weather", "other"})
    assert traffic.fallback == Fallback(value=0.25, views=("weather", "planes"), stale=("weather",))
    assert rules.fallback_reason(traffic.fallback, VERSION) == "view weather is stale"
    assert rules.fallback_reason(fallback, VERSION) is None
    assert rules.stale_said(["weather", "inbound"]) == "views weather and inbound are stale"
    assert rules.fallback_reason(Fallback(value=0.25, views=("planes",), stale=("planes",)), VERSION) is None
    assert rules.with_declared(traffic, Fallback(value=0.3, views=("weather",))).fallback == Fallback(
        value=0.3, views=("weather",), stale=("weather",)
    )
    with pytest.raises(BadTraffic, match="no fallback"):
        rules.with_stale(Traffic(champion=1), ["weather"])


def test_fields_of_two_versions_must_agree_and_those_of_a_candidate_alone_may_be_left_out() -> None:
    more = Signature(inputs=(*SIGNATURE.inputs, Column(name="seats", dtype="int64")))
    other = ServedVersion(number=2, format=Format.LIGHTGBM, artifact=Digest("sha256:1"), signature=more, feature_set=SET)
    assert rules.merged_fields(VERSION, [VERSION, other]) == (
        {"origin": "string", "hour": "int64", "distance": "float64"},
        {"seats": "int64"},
    )
    changed = Signature(inputs=(*SIGNATURE.inputs[:3], Column(name="hour", dtype="float64"), SIGNATURE.inputs[4]))
    clash = ServedVersion(number=3, format=Format.LIGHTGBM, artifact=Digest("sha256:2"), signature=changed, feature_set=SET)
    with pytest.raises(BadTraffic, match="'hour' is int64 to version 1 and float64 to version 3"):
        rules.merged_fields(VERSION, [VERSION, clash])


def test_the_log_is_complete_up_to_what_every_gateway_sealed_and_nothing_waits() -> None:
    def lease(name: str, at: int) -> GatewayLease:
        return GatewayLease(gateway=name, started_at=Instant(0), seen_at=Instant(at), sealed_through_at=Instant(at))

    now = Instant(100)
    assert rules.complete_through([], [], now) == now
    assert rules.complete_through([lease("a", 50), lease("b", 70)], [], now) == 50
    assert rules.complete_through([lease("a", 50)], [Instant(30), Instant(40)], now) == 30


def test_a_gateway_is_alive_for_its_lease() -> None:
    lease = GatewayLease(gateway="a", started_at=Instant(0), seen_at=Instant(0))
    assert rules.alive([lease], Instant(15 * SECOND)) == (lease,)
    assert rules.alive([lease], Instant(15 * SECOND + 1)) == ()

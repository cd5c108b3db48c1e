"""Traces: from an id to all that it was made from and what was made from it, and nothing of it for other teams."""

import pytest

from modelyard.access.domain import SYSTEM, Principal
from modelyard.fleet.domain import NothingToTrace, Trace
from modelyard.fleet.service import get_trace, trace_version
from modelyard.registry.domain import CHAMPION
from modelyard.registry.service import delete_alias, get_version
from modelyard.serving.service import tick
from tests.fleet.world import BOB, EVE, LATE, MAX, SOURCE, Fleet, texts
from tests.monitoring.world import SET


def traced(fleet: Fleet, asked: str, principal: Principal = EVE) -> Trace:
    """The trace of an id."""
    with fleet.database.read() as snapshot:
        return get_trace(snapshot, principal, *fleet.stores, asked)


def kinds(trace: Trace) -> list[str]:
    """What the links upstream are."""
    return [node.kind for node in trace.up]


def test_a_prediction_leads_to_its_revision_version_approval_and_snapshot_before_and_after_compaction(fleet: Fleet) -> None:
    name = fleet.predict()
    before = traced(fleet, name)
    assert kinds(before) == ["revision", "version", "approval", "delivery"]
    assert before.sentence == "late v1 answered 0.31 under revision 1, approved by policy."
    assert "in a sealed segment" in before.itself.said
    assert before.took_ms < 1000
    assert tick(fleet.database, fleet.blobs, fleet.world.tables, "w") == 1
    after = traced(fleet, name.upper())
    assert "in the prediction log's table" in after.itself.said
    assert kinds(after) == kinds(before)


def test_a_version_says_who_approved_it_which_gates_passed_and_where_it_is_live(fleet: Fleet) -> None:
    trace = traced(fleet, "late@1")
    approval, delivered = trace.up[:2]
    assert (approval.title, approval.said) == ("Approved by policy", "limited risk: every gate passed (2)")
    assert [entry.type for entry in approval.entries] == ["delivery.approval_asked", "delivery.approved"]
    assert [(fact.term, fact.value) for fact in delivered.facts] == [("Gate passed", "metrics.roc_auc >= 0.65")]
    assert trace.down[0].said == "100% as champion, live now"
    with fleet.database.read() as snapshot:
        assert trace_version(snapshot, EVE, LATE, 1).itself == trace.itself


@pytest.mark.parametrize("asked", ["late/1", "late:1", "models:/late/1", " late@v1 "])
def test_a_version_may_be_written_in_any_usual_way(fleet: Fleet, asked: str) -> None:
    assert traced(fleet, asked).itself.id == "late/1"


def test_a_models_name_means_its_champion_and_its_latest_version_while_none_is(fleet: Fleet) -> None:
    assert traced(fleet, "late").itself.id == "late/1"
    fleet.database.write(lambda tx: delete_alias(tx, SYSTEM, LATE, CHAMPION))
    assert traced(fleet, "late").itself.id == "late/3"


def test_a_delivery_and_its_approval_lead_to_the_same_chain(registered: Fleet) -> None:
    name = registered.deliver(2, by=BOB)
    trace = traced(registered, name)
    assert [node.kind for node in trace.down] == ["approval", "version"]
    assert trace.down[0].title.startswith("Approved by usr_bob")
    assert traced(registered, trace.down[0].id).itself == trace.itself


def test_a_digest_and_a_view_lead_to_the_versions_that_hold_them(fleet: Fleet) -> None:
    found = traced(fleet, SET.digest)
    assert {node.id for node in found.down} == {"late/1", "late/2", "late/3"}
    assert "a feature set" in found.sentence
    with fleet.database.read() as snapshot:
        artifact = get_version(snapshot, LATE, 2).artifact
    assert [node.id for node in traced(fleet, artifact.removeprefix("sha256:")).down] == ["late/2"]
    view = traced(fleet, "weather")
    assert (view.itself.title, view.up[0].said) == ("weather v1", "Parquet, w.parquet")


@pytest.mark.parametrize(
    "asked", ["", "nothing", "late/99", "dlv_0", "apr_0", "0" * 32, "sha256:" + "0" * 64, "01a20b4b-d888-7000-8779-a27279f90000", "..", "%"]
)
def test_an_id_that_names_nothing_is_told_so(fleet: Fleet, asked: str) -> None:
    with pytest.raises(NothingToTrace, match="nothing has the id"):
        traced(fleet, asked)


def test_other_teams_find_nothing_and_learn_nothing(fleet: Fleet) -> None:
    name = fleet.deliver(2)
    for asked in (fleet.predict(), "late/1", "late", "weather", name, SET.digest):
        with pytest.raises(NothingToTrace) as refused:
            traced(fleet, asked, MAX)
        assert "late_features" not in texts(refused.value.message)
        assert SOURCE not in refused.value.hint

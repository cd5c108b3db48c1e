"""Delivery's pages: what they say of each delivery and approval, and what their forms do, and for whom."""

import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from litestar import Litestar, Request, Response
from litestar.testing import TestClient

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import SECOND, FixedClock, Instant
from modelyard.core.digests import digest_bytes
from modelyard.delivery import service, store
from modelyard.delivery.domain import (
    STAGES,
    ApprovalId,
    Cause,
    CauseKind,
    Delivery,
    DeliveryId,
    DeliveryState,
    Facts,
    StageName,
)
from modelyard.delivery.machine import Done, Outcome, Stopped, Waits, begun, claimed, detail_of, ended, new_delivery_id
from modelyard.delivery.pages import ACTIONS, PAGES
from modelyard.monitoring.domain import METRICS
from modelyard.storage.database import Database, Transaction
from modelyard.web.assets import load_assets
from modelyard.web.binding import Resources
from modelyard.web.frame import Shell
from modelyard.web.http import described, error_response
from modelyard.web.rendering import templates
from modelyard.web.routes import Site, page_routes

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
BEN = Principal(id=PrincipalId("usr_ben"), name="ben", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
EVE = Principal(id=PrincipalId("usr_eve"), name="eve", kind="person", roles={DEFAULT_TEAM: Role.VIEWER})
MAX = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={TeamId("other"): Role.ADMIN})
PEOPLE = {one.name: one for one in (ADA, BEN, EVE, MAX)}
TOKEN = "t" * 64
HOSTILE = "<script>alert('x')</script>"
DIGESTS = {name: digest_bytes(name.encode()) for name in ("snapshot", "features", "source", "environment", "artifact")}
Client = TestClient[Litestar]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def found_out(*, version: int = 7, p_worse: float = 0.004, low: float = 0.0031) -> dict[StageName, Facts]:
    """What the stages of a sound delivery find out, in the shapes in which they write it."""
    return {
        StageName.SNAPSHOT: {
            "rows": 281_406,
            "digest": DIGESTS["snapshot"],
            "feature_set": DIGESTS["features"],
            "as_of": 1_767_000_000_000_000,
            "sources": [{"view": "airport_load", "view_digest": "x", "source": "y", "rows": 52_000}],
        },
        StageName.CHECK: {
            "ok": True,
            "checks": [
                {"name": "enough rows", "got": 281_406, "expected": "at least 200", "passed": True},
                {"name": "both outcomes in the test rows", "got": [0.0, 1.0], "expected": "0 and 1", "passed": True},
            ],
        },
        StageName.TRAIN: {
            "rows": 225_125,
            "source": DIGESTS["source"],
            "environment": DIGESTS["environment"],
            "artifact": DIGESTS["artifact"],
            "python": "3.12.4",
            "seed": 20130101,
            "threads": 2,
            "size_bytes": 1_482_113,
            "format": "lightgbm",
            "run": "f" * 32,
        },
        **measured(version, p_worse, low),
    }


def measured(version: int, p_worse: float, low: float) -> dict[StageName, Facts]:
    """What the later stages find out."""
    slices = [("origin", "LGA", 0.6981, 8113), ("origin", "JFK", 0.7302, 20_410), ("carrier", HOSTILE, 0.7188, 9001)]
    return {
        StageName.EVALUATE: {
            "rows": 56_281,
            "from": 1_761_000_000_000_000,
            "to": 1_766_900_000_000_000,
            "metrics": {"roc_auc": 0.7214, "log_loss": 0.4802, "brier": 0.1561, "accuracy": None},
            "standard_errors": {"roc_auc": 0.0023, "log_loss": 0.0021, "brier": 0.0008, "accuracy": None},
            "slices": [
                {"column": column, "value": value, "metric": "roc_auc", "is": found, "error": 0.006, "rows": rows}
                for column, value, found, rows in slices
            ],
        },
        StageName.CHALLENGE: {
            "champion": {"version": version - 1},
            "challenge": {
                "metric": "roc_auc",
                "a": 0.7143,
                "b": 0.7214,
                "difference": 0.0071,
                "standard_error": 0.002,
                "low": low,
                "high": 0.0111,
                "confidence": 0.95,
                "p_worse": p_worse,
                "rows": 56_281,
                "groups": None,
            },
            "gates": [
                {"expression": "metrics.roc_auc >= 0.65", "passed": True, "reason": ""},
                {"expression": "challenge == null || challenge.p_worse < 0.05", "passed": p_worse < 0.05, "reason": ""},
            ],
        },
        StageName.REGISTER: {"version": version, "content": "x"},
        StageName.STAGE: {"rows": 500, "different": 0, "us_a_row": 4.31, "largest": 0.0},
        StageName.ROLL_OUT: {"step": 2, "revision": 12},
    }


def begin(database: Database, model: str, actor: Principal = ADA, detail: str = "", kind: CauseKind = CauseKind.PERSON) -> DeliveryId:
    """A delivery of the model, begun through the machine."""

    def work(tx: Transaction) -> Delivery:
        delivery = Delivery(
            id=new_delivery_id(),
            team_id=DEFAULT_TEAM,
            model=model,
            cause=Cause(kind=kind, actor=actor.id, detail=detail),
            declaration=digest_bytes(b"declared"),
            state=DeliveryState.RUNNING,
            created_at=tx.now(),
            created_wall_at=tx.wall(),
            parameters={"learning_rate": 0.05},
        )
        return begun(tx, delivery, delivery.id)

    return database.write(work).id


def step(database: Database, clock: FixedClock, outcome: Callable[[StageName], Outcome], seconds: float = 41.0) -> StageName:
    """Takes the next stage up, and ends it after so many seconds."""
    taken = database.write(lambda tx: claimed(tx, "w1", 60.0))
    assert taken is not None
    clock.advance(seconds)
    database.write(lambda tx: ended(tx, taken[0], outcome(taken[0].stage)))
    return taken[0].stage


def go_through(database: Database, clock: FixedClock, delivery: DeliveryId, last: StageName, facts: dict[StageName, Facts]) -> None:
    """Brings a delivery through its stages up to `last`, with those facts."""
    for name in STAGES[: STAGES.index(last) + 1]:
        assert step(database, clock, lambda at: Done(facts=facts.get(at, {}))) is name
        if name is StageName.REGISTER:
            database.write(partial(put_version, delivery=delivery, version=facts[name]["version"]))


def put_version(tx: Transaction, delivery: DeliveryId, version: int) -> None:
    """Notes the version that the delivery registered."""
    found = detail_of(tx, delivery).delivery
    store.update_delivery(tx, Delivery(**{name: getattr(found, name) for name in found.__struct_fields__} | {"version": version}))


def ask(database: Database, clock: FixedClock, model: str, actor: Principal = ADA, detail: str = "", version: int = 7) -> ApprovalId:
    """An approval that a delivery of the model waits for."""
    delivery = begin(database, model, actor, detail)
    go_through(database, clock, delivery, StageName.STAGE, found_out(version=version))
    why = "high risk needs a person"

    def outcome(_: StageName) -> Outcome:
        return Waits(wake_at=None, facts={}, reason=why, apply=apply)

    def apply(tx: Transaction) -> Facts:
        return {"approval": service.ask_approval(tx, detail_of(tx, delivery).delivery, version, why).id}

    step(database, clock, outcome, 1.0)
    with database.read() as snapshot:
        found = service.find_approval(snapshot, delivery)
    assert found is not None
    return found.id


def application(database: Database, pool: ThreadPoolExecutor, offered: tuple[Any, Any] = (PAGES, ACTIONS)) -> Litestar:
    """Pages and actions, delivery's unless others are given, for whom the header `x-as` names; Ben without one."""

    def principal_of(request: Request[Any, Any, Any]) -> Mapping[type, Any]:
        return {Principal: PEOPLE[request.headers.get("x-as", "ben")]}

    def answered(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return error_response(*described(error))

    shell = Shell(clock=database.clock, version="0", pages=offered[0], viewer=lambda _: None, csrf=lambda _: TOKEN)
    site = Site(
        shell=shell,
        templates=templates(load_assets(), offered[0]),
        resources=Resources(database=database, values={}, pool=pool),
        injectable=frozenset({Principal}),
        request_values=principal_of,
    )
    return Litestar(page_routes(site, *offered), exception_handlers={Exception: answered})


@pytest.fixture
def client(database: Database) -> Iterator[Client]:
    """A browser in front of delivery's pages."""
    with ThreadPoolExecutor(2) as pool, TestClient(application(database, pool)) as opened:
        opened.follow_redirects = False
        yield opened


def html(client: Client, path: str, who: str = "ben") -> str:
    """What a page shows, its white space evened out."""
    answer = client.get(path, headers={"accept": "text/html", "x-as": who})
    assert answer.status_code == 200, answer.text
    return re.sub(r"\s+", " ", answer.text)


def post(client: Client, path: str, who: str = "ben", **fields: str) -> str:
    """What is said after a form was sent."""
    headers = {"accept": "text/html", "x-as": who, "referer": "http://testserver.local/approvals"}
    answer = client.post(path, data={"csrf": TOKEN, **fields}, headers=headers)
    assert answer.status_code == 303, answer.text
    said = html(client, answer.headers["location"], who)
    return said.partition('class="notes"')[2].partition("</div></div>")[0]


def state_of(database: Database, delivery: str) -> DeliveryState:
    """Where the delivery stands."""
    with database.read() as snapshot:
        return detail_of(snapshot, DeliveryId(delivery)).delivery.state


def test_the_list_says_what_is_under_way_and_what_waits(client: Client, database: Database, clock: FixedClock) -> None:
    assert "No delivery yet" in html(client, "/deliveries")
    ask(database, clock, "late")
    begin(database, "fare")
    page = html(client, "/deliveries")
    assert "<strong>2 deliveries</strong> are under way; <strong>1</strong> waits" in page
    assert "To approve" in page
    assert "late v7" in page
    only = html(client, "/deliveries?model=fare")
    assert ">late</strong>" not in only
    assert "No delivery fits" in html(client, "/deliveries?state=refused")


def test_the_list_goes_on_by_id_and_keeps_its_filter(client: Client, database: Database) -> None:
    for number in range(45):
        begin(database, f"m{number:02}")
    first = html(client, "/deliveries?state=running")
    assert "m44" in first
    assert ">m04</strong>" not in first
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found is not None
    following = html(client, found[1].replace("&amp;", "&"))
    assert ">m04</strong>" in following
    assert ">m05</strong>" not in following
    assert 'rel="next"' not in following


def test_a_deliverys_page_shows_what_each_stage_found_out(client: Client, database: Database, clock: FixedClock) -> None:
    delivery = begin(database, "late")
    go_through(database, clock, delivery, StageName.WATCH, found_out())
    page = html(client, f"/deliveries/{delivery}")
    for words in (
        "v7 passed every stage",
        "281,406 rows, 41 s",
        "roc_auc 0.721",
        "p_worse 0.004",
        "0 of 500 differ",
        "against the champion v6, on the same 56,281 rows",
        "+0.0031 to +0.0111",
        "metrics.roc_auc &gt;= 0.65",
        "0.7169 to 0.7259",
        "LGA",
        "0 and 1",
        DIGESTS["environment"],
        "learning_rate",
        'data-live="model:late"',
    ):
        assert words in page, words
    context = client.get(f"/deliveries/{delivery}", headers={"accept": "application/json"}).json()
    assert context["evidence"]["verdict"] == ["good", "Better"]
    assert [one["value"] for one in context["evidence"]["slices"]] == ["LGA", HOSTILE, "JFK"]
    assert context["evidence"]["measures"][3]["name"] in METRICS


def test_a_delivery_without_champion_or_with_older_facts_still_has_a_page(client: Client, database: Database, clock: FixedClock) -> None:
    delivery = begin(database, "late")
    odd: dict[StageName, Facts] = found_out() | {StageName.CHALLENGE: {"champion": None, "gates": []}, StageName.TRAIN: {"rows": "many"}}
    go_through(database, clock, delivery, StageName.CHALLENGE, odd)
    page = html(client, f"/deliveries/{delivery}")
    assert "no champion yet" in page
    assert "nothing to compare this version with" in page


def test_a_refusal_says_where_and_why_and_hostile_text_stays_text(client: Client, database: Database, clock: FixedClock) -> None:
    delivery = begin(database, "late", detail=HOSTILE)
    reason = f"gate {HOSTILE}: it is false"
    step(database, clock, lambda _: Stopped(state=DeliveryState.REFUSED, reason=reason, facts={"rows": 3}))
    for path in (f"/deliveries/{delivery}", "/deliveries"):
        page = html(client, path)
        assert HOSTILE not in page
        assert "&lt;script&gt;alert" in page
    assert "Refused at the stage snapshot" in html(client, f"/deliveries/{delivery}")
    assert "/cancel" not in page


def test_a_contributor_cancels_with_a_reason_and_a_viewer_cannot(client: Client, database: Database) -> None:
    delivery = begin(database, "late")
    assert "/cancel" not in html(client, f"/deliveries/{delivery}", "eve")
    assert "Not done" in post(client, f"/deliveries/{delivery}/cancel", "eve", reason="no")
    assert "reason" in post(client, f"/deliveries/{delivery}/cancel", reason="   ")
    assert state_of(database, delivery) is DeliveryState.RUNNING
    assert "is cancelled" in post(client, f"/deliveries/{delivery}/cancel", reason=HOSTILE)
    assert state_of(database, delivery) is DeliveryState.CANCELLED
    assert "had ended before" in post(client, f"/deliveries/{delivery}/cancel", reason="again")
    page = html(client, f"/deliveries/{delivery}")
    assert HOSTILE not in page
    assert "Cancelled at the stage snapshot" in page


def test_other_teams_see_nothing(client: Client, database: Database, clock: FixedClock) -> None:
    approval = ask(database, clock, "late")
    with database.read() as snapshot:
        delivery = service.list_approvals(snapshot, ADA)[0].delivery
    assert client.get(f"/deliveries/{delivery}", headers={"accept": "application/json", "x-as": "max"}).status_code == 404
    assert "No delivery yet" in html(client, "/deliveries", "max")
    assert "Nothing waits" in html(client, "/approvals", "max")
    assert "there is no approval" in post(client, f"/approvals/{approval}/approve", "max")


def test_what_waits_is_shown_with_its_evidence_and_approved(client: Client, database: Database, clock: FixedClock) -> None:
    approval = ask(database, clock, "late", detail=HOSTILE)
    page = html(client, "/approvals")
    for words in (
        "late v7",
        "high risk needs a person",
        "0.7214",
        "Against champion v6",
        "+0.0071",
        "origin = LGA, -0.0233",
        f"/approvals/{approval}/approve",
    ):
        assert words in page, words
    assert "<strong>1</strong> is yours to decide" in page
    assert HOSTILE not in page
    assert "late v7 is approved" in post(client, f"/approvals/{approval}/approve", reason=HOSTILE)
    after = html(client, "/approvals")
    assert "Nothing waits for an approver" in after
    assert HOSTILE not in after
    assert "usr_ben" in after
    assert "was approved by" in post(client, f"/approvals/{approval}/approve")


def test_the_author_may_reject_but_not_approve(client: Client, database: Database, clock: FixedClock) -> None:
    approval = ask(database, clock, "late", actor=ADA)
    page = html(client, "/approvals", "ada")
    assert "started this delivery of" in page
    assert "ask another approver of the team" in page
    assert f"/approvals/{approval}/approve" not in page
    assert "Not done" in post(client, f"/approvals/{approval}/approve", "ada")
    with database.read() as snapshot:
        assert service.list_approvals(snapshot, ADA)[0].decided_at is None
    assert "late v7 is rejected" in post(client, f"/approvals/{approval}/reject", "ada", reason="the labels were late")
    assert "the labels were late" in html(client, "/approvals")


def test_a_rejection_needs_a_reason_and_an_approvers_role(client: Client, database: Database, clock: FixedClock) -> None:
    approval = ask(database, clock, "late")
    assert "reject" not in html(client, "/approvals", "eve").partition('id="waiting"')[2].partition('id="decided"')[0]
    assert "Not done" in post(client, f"/approvals/{approval}/reject", "eve", reason="no")
    assert "Not done" in post(client, f"/approvals/{approval}/reject", reason=" ")
    assert "is yours to decide" not in html(client, "/approvals", "eve")
    assert client.post(f"/approvals/{approval}/reject", data={"reason": "x"}).status_code in (303, 403)
    with database.read() as snapshot:
        assert service.list_approvals(snapshot, ADA)[0].decided_at is None


def test_a_policys_decision_is_said_to_be_the_policys(client: Client, database: Database, clock: FixedClock) -> None:
    delivery = begin(database, "late", SYSTEM, kind=CauseKind.SCHEDULE)
    go_through(database, clock, delivery, StageName.STAGE, found_out())
    reason = "limited risk: every gate passed (2)"

    def apply(tx: Transaction) -> Facts:
        return {"approval": service.approve_by_policy(tx, detail_of(tx, delivery).delivery, 7, reason).id, "by_policy": True}

    step(database, clock, lambda _: Done(facts={"reason": reason}, apply=apply))
    later = Instant(clock.now() + 600 * SECOND)
    step(database, clock, lambda _: Waits(wake_at=later, facts={"step": 0, "revision": 3}, reason="canary at 10% bakes"))
    assert "policy" in html(client, "/approvals").partition('id="decided"')[2]
    page = html(client, f"/deliveries/{delivery}")
    assert "Approved by policy" in page
    assert re.search("Roll out waits</strong> since .*: canary at 10% bakes", page)
    assert "It goes on" in page

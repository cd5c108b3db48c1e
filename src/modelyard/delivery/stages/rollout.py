"""The stages under traffic: canary steps that bake, cutover, and the watch afterwards. Revisions themselves are serving's."""

import time

import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant
from modelyard.delivery.domain import DeliveryState, Facts, StageName
from modelyard.delivery.machine import Apply, Done, Outcome, Stopped, Waits
from modelyard.delivery.slowness import slowdown
from modelyard.delivery.stages.gates import waits_for_the_log
from modelyard.delivery.stages.yard import Job, Yard
from modelyard.registry.domain import CHALLENGER, ModelName
from modelyard.registry.service import delete_alias, find_alias
from modelyard.serving.domain import Arm, Fallback, PredictionQuery, RevisionDetail, RevisionState, RolloutStep, Route, Traffic
from modelyard.serving.rules import arm_of
from modelyard.serving.service.log import read_predictions
from modelyard.serving.service.revisions import get_endpoint, get_revision, rollback, step_rollout
from modelyard.storage.database import Transaction

POLL_S = 0.05
PATIENCE_S = 2.0
SLOWER = 4.0
"""So many times as long as others for as much is too slow."""


def roll_out(yard: Yard, job: Job) -> Outcome:
    """One move of the rollout: propose the next share, wait until the gateways serve it, let it bake, judge it.

    The first share is proposed once the log proves the decisions that let the version come this far.
    """
    facts = dict(job.facts(StageName.ROLL_OUT))
    shares = [share / 100 for share in job.declaration.rollout.shares] + [1.0]
    if "revision" not in facts:
        first = Waits(wake_at=Instant(0), facts={"step": 0}, reason=_said(shares[0]), apply=_proposed(job, shares[0]))
        return waits_for_the_log(yard, job, facts) or first
    with yard.database.read() as state:
        now = state.now()
    detail = _settled(yard, job, int(facts["revision"]))
    if detail.state is RevisionState.FAILED:
        return _taken_back(job, facts, f"a gateway could not load it: {detail.why_failed}")
    if detail.state is RevisionState.SUPERSEDED:
        return _overtaken(yard, job, facts, detail)
    step = int(facts["step"])
    if detail.state is not RevisionState.ACTIVE:
        return Waits(wake_at=now, facts=facts, reason=f"waits for the gateways to load revision {facts['revision']}")
    if (
        detail.revision.traffic.champion == job.facts(StageName.REGISTER)["version"]
    ):  # all traffic: the last step, or the first version ever
        return Done(facts=facts | {"active_at": now}, apply=_challenges_nobody(job))
    since = Instant(int(facts.get("since", now)))
    due = Instant(since + round(job.declaration.rollout.bake_s * SECOND))
    wrong = _what_is_wrong(yard, job, since, now)
    if wrong:
        return _taken_back(job, facts, wrong)
    if now < due:
        return Waits(wake_at=due, facts=facts | {"since": since}, reason=f"{_said(shares[step])} bakes")
    nothing_new = {name: value for name, value in facts.items() if name != "since"}
    return Waits(
        wake_at=now, facts=nothing_new | {"step": step + 1}, reason=_said(shares[step + 1]), apply=_proposed(job, shares[step + 1])
    )


def _overtaken(yard: Yard, job: Job, facts: Facts, detail: RevisionDetail) -> Outcome:
    """Another revision came instead: the rollout goes on under it where it splits traffic alike, as when a view becomes stale."""
    with yard.database.read() as state:
        now = state.now()
        endpoint = get_endpoint(state, SYSTEM, ModelName(job.delivery.model))
    newest, mine = endpoint.coming or endpoint.live, detail.revision
    if newest is None or _split(newest.revision.traffic) != _split(mine.traffic):
        return Stopped(state=DeliveryState.ROLLED_BACK, reason=f"revision {mine.number} was superseded from outside", facts=facts)
    number = newest.revision.number
    return Waits(wake_at=now, facts=facts | {"revision": number}, reason=f"goes on under revision {number}: {newest.revision.cause}")


def _split(traffic: Traffic) -> tuple[int, Route | None]:
    return traffic.champion, traffic.canary


def watch(yard: Yard, job: Job) -> Outcome:
    """Judges the version under all traffic for one more bake time; what it finds wrong rolls it back."""
    facts = dict(job.facts(StageName.WATCH))
    with yard.database.read() as state:
        now = state.now()
    since = Instant(int(facts.get("since", now)))
    wrong = _what_is_wrong(yard, job, since, now)
    if wrong:
        return _taken_back(job, facts, wrong)
    due = Instant(since + round(job.declaration.rollout.bake_s * SECOND))
    if now < due:
        return Waits(wake_at=due, facts={"since": since}, reason="watches it under all traffic")
    return Done(facts={"since": since, "until": now})


def _proposed(job: Job, share: float) -> Apply:
    """Proposes the step in the transaction that ends this claim; at the last one serving moves the alias champion."""
    version = job.facts(StageName.REGISTER)["version"]
    declared = job.declaration.fallback
    views = tuple(view.name for view in job.declaration.views)
    fallback = None if declared is None else Fallback(value=declared.value, views=views)
    step = RolloutStep(version=version, share=share, fallback=fallback, cause=f"delivery {job.delivery.id}: {_said(share)}")
    name = ModelName(job.delivery.model)

    def apply(tx: Transaction) -> Facts:
        return {"revision": step_rollout(tx, SYSTEM, name, step).revision.number}

    return apply


def _challenges_nobody(job: Job) -> Apply:
    """Takes the alias challenger away from the version that is the champion now; where it points elsewhere, it stays."""
    name, version = ModelName(job.delivery.model), job.facts(StageName.REGISTER)["version"]

    def apply(tx: Transaction) -> Facts:
        alias = find_alias(tx, name, CHALLENGER)
        if alias is not None and alias.version == version:
            delete_alias(tx, SYSTEM, name, CHALLENGER)
        return {}

    return apply


def _taken_back(job: Job, facts: Facts, reason: str) -> Outcome:
    """Takes away whatever traffic the version has; one that a gateway could not load has none, and a first version nothing before it."""
    name, version = ModelName(job.delivery.model), job.facts(StageName.REGISTER)["version"]
    is_first = job.facts(StageName.CHALLENGE)["champion"] is None

    def apply(tx: Transaction) -> Facts:
        endpoint = get_endpoint(tx, SYSTEM, name)
        newest = endpoint.coming or endpoint.live
        if newest is None:
            return {}
        stands = newest.revision
        if arm_of(stands.traffic, version) is not None:
            stands = rollback(tx, SYSTEM, name, cause=f"delivery {job.delivery.id}: {reason}").revision
        return {"revision": stands.number}

    if is_first:
        return Stopped(state=DeliveryState.FAILED, reason=f"{reason}; there is no version before it to go back to", facts=facts)
    return Stopped(state=DeliveryState.ROLLED_BACK, reason=reason, facts=facts, apply=apply)


def _settled(yard: Yard, job: Job, number: int) -> RevisionDetail:
    """The revision, after waiting a moment for the gateways to take it up."""
    until = time.monotonic() + PATIENCE_S
    while True:
        with yard.database.read() as state:
            detail = get_revision(state, SYSTEM, ModelName(job.delivery.model), number)
        if detail.state is not RevisionState.PROPOSED or time.monotonic() > until:
            return detail
        yard.beat()
        time.sleep(POLL_S)


def _what_is_wrong(yard: Yard, job: Job, since: Instant, now: Instant) -> str:
    """What the prediction log says against the version since then: answers that are no numbers, or far slower than the others'.

    The others' answers count from one bake time earlier on: under all traffic there are none any more.
    """
    version = job.facts(StageName.REGISTER)["version"]
    before = Instant(since - round(job.declaration.rollout.bake_s * SECOND))
    query = PredictionQuery(model=ModelName(job.delivery.model), since=before, until=Instant(now + 1), arms=(Arm.CHAMPION, Arm.CANARY))
    logged = read_predictions(yard.tables, query)
    if logged.is_empty():
        return ""
    mine, others = logged.filter(pl.col("version") == version, pl.col("at") >= since), logged.filter(pl.col("version") != version)
    broken = mine.filter(pl.col("value").is_null() | ~pl.col("value").is_finite()).height
    if broken:
        return f"{broken} of {mine.height} answers were no numbers"
    parts = [_parts(one) for one in (mine, others)]
    found = slowdown(*(part[name].to_numpy() for part in parts for name in ("rows", "latency_us")))
    if found is None or found.times <= SLOWER:
        return ""
    usual = f"{found.median_us / 1000:.1f} ms where the others answer as much in {found.others_us / 1000:.1f} ms"
    return f"it takes {found.times:.1f} times as long: in the middle {usual}"


def _parts(logged: pl.DataFrame) -> pl.DataFrame:
    """What was answered of each request together: how many rows, and how long they took."""
    return logged.group_by("wall", "at", "version", "latency_us").agg(rows=pl.len())


def _said(share: float) -> str:
    return "all traffic" if share == 1.0 else f"canary at {share:.0%}"

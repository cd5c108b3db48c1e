"""The six questions, answered live from records, each timed on its own. Owns the sentences; no figure is kept or assumed."""

import time
from collections.abc import Callable, Sequence

import msgspec

from modelyard.access.domain import Principal
from modelyard.core.clock import SECOND, iso
from modelyard.core.names import listed
from modelyard.core.settings import Settings
from modelyard.fleet.domain import Answer, Figure, Proof, Questions, Tone
from modelyard.fleet.service.built import answer_audit, answer_reproducible
from modelyard.fleet.service.manual import Steps, list_steps
from modelyard.fleet.service.sight import Sight, entries_about
from modelyard.fleet.service.trace import get_trace
from modelyard.monitoring import service as monitoring
from modelyard.monitoring.domain import DegradationEvidence, SkewCause, ViewSkew
from modelyard.serving import service as serving
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.tables import Tables

SAME = "Do two models that use the same feature get identical values?"
WHICH = "If a model causes an incident tomorrow, how long to find the version?"
MANUAL = "How many manual steps to deploy an update?"
DROP = "How would you know that accuracy fell 10% this week?"
MOST_PROOFS = 8


def get_questions(snapshot: Snapshot, principal: Principal, blobs: Blobs, tables: Tables, settings: Settings) -> Questions:
    """The six questions, answered now from the records that the caller may see."""
    sight = Sight(snapshot, principal)
    asked: tuple[Callable[[], Answer], ...] = (
        lambda: answer_same(sight),
        lambda: answer_which(sight, blobs, tables, settings),
        lambda: answer_reproducible(sight),
        lambda: answer_manual(sight),
        lambda: answer_drop(sight),
        lambda: answer_audit(sight),
    )
    started = time.perf_counter()
    answers = tuple(_timed(one) for one in asked)
    return Questions(at=snapshot.now(), answers=answers, took_ms=(time.perf_counter() - started) * 1000)


def _timed(read: Callable[[], Answer]) -> Answer:
    started = time.perf_counter()
    answer = read()
    return msgspec.structs.replace(answer, took_ms=(time.perf_counter() - started) * 1000)


def answer_same(sight: Sight) -> Answer:
    """Whether features are equal offline, online and as logged, by what was compared bit for bit."""
    answer = Answer(
        number=1,
        component="features",
        question=SAME,
        is_answered=False,
        tone="idle",
        sentence="No logged vector has been held against its recomputation yet.",
        next="ask a watched model through the gateway: when the day is over, a worker recomputes what was read (docs/monitoring.md)",
        source="GET /api/v1/skew",
    )
    views = monitoring.list_skew(sight.snapshot, sight.principal)
    if not views:
        return answer
    compared, different, unverifiable = (sum(getattr(one, name) for one in views) for name in ("compared", "different", "unverifiable"))
    late = sum(one.late for one in views)
    unproven = monitoring.list_unproven(sight.snapshot, sight.principal)
    tone, sentence = _sameness(compared, different, len({one.view for one in views}))
    sentence += _lateness(late) + (f"; {unverifiable:,} more cannot be judged." if unverifiable else ".")
    if unproven:
        tone, sentence = "bad", f"{sentence} {_unproven(unproven)}"
    figures = (("compared", compared), ("different", different), ("unverifiable", unverifiable), ("late", late))
    return msgspec.structs.replace(
        answer,
        is_answered=True,
        tone=tone,
        sentence=sentence,
        figures=tuple(Figure(name=name, value=value, unit="vectors") for name, value in figures),
        proofs=tuple(_skew_proof(one) for one in sorted(views, key=lambda one: (-one.different, -one.unverifiable))[:MOST_PROOFS]),
        next=f"see why: /features/{unproven[0].view}" if unproven else "",
    )


def _sameness(compared: int, different: int, views: int) -> tuple[Tone, str]:
    checked = (
        f"{compared:,} logged vectors of {views} {'view' if views == 1 else 'views'} were compared bit for bit with their recomputation"
    )
    if different:
        return "bad", f"No: {checked} from source, and {different:,} differ"
    return ("good" if compared else "idle"), f"{'Yes: ' if compared else ''}{checked} from source, and none differs"


def _lateness(late: int) -> str:
    """What is said of vectors that are what had been brought online: training would see newer rows, but they are no difference."""
    return f"; {late:,} of the equal ones were read late, from a view that newer rows had not yet reached" if late else ""


def _unproven(views: Sequence[ViewSkew]) -> str:
    worst = max(views, key=lambda one: one.unverifiable_share)
    more = f" and {len(views) - 1} more" if len(views) > 1 else ""
    return f"Not proven for {worst.view}{more}: {worst.unverifiable_share:.1%} of a month's vectors cannot be judged, at most 1% may be."


def _skew_proof(one: ViewSkew) -> Proof:
    text = f"{one.view}, read by {one.model}: {one.compared:,} compared, {one.different:,} differ, {one.unverifiable:,} unverifiable"
    if one.causes:
        text += f" ({listed([_cause_said(cause, count) for cause, count in one.causes.items()])})"
    return Proof(text=text, href=f"/features/{one.view}")


def _cause_said(cause: SkewCause, count: int) -> str:
    return f"{cause.value.replace('_', ' ')} {count:,}"


def answer_which(sight: Sight, blobs: Blobs, tables: Tables, settings: Settings) -> Answer:
    """How long it takes to find the version behind a prediction: the newest one is traced now."""
    answer = Answer(
        number=2,
        component="registry",
        question=WHICH,
        is_answered=False,
        tone="idle",
        sentence="No prediction has been logged yet.",
        next="yard ship MODEL, then ask it: POST /predict/MODEL at the gateway",
        source="GET /api/v1/traces/{id}",
    )
    newest = serving.newest_prediction(sight.snapshot, sight.principal, blobs, settings)
    if newest is None:
        return answer
    trace = get_trace(sight.snapshot, sight.principal, blobs, tables, settings, newest.id)
    links = [node for node in trace.up if node.kind in ("version", "approval", "run", "snapshot")]
    entries = [Proof(text=one.type, entry=one.index) for node in links for one in node.entries[:1]]
    return msgspec.structs.replace(
        answer,
        is_answered=True,
        tone="good",
        sentence=f"{trace.took_ms:.0f} ms, just measured on the newest prediction: {trace.sentence}",
        figures=(
            Figure(name="trace", value=round(trace.took_ms, 2), unit="ms"),
            Figure(name="prediction", value=newest.id),
            Figure(name="model", value=newest.model),
            Figure(name="version", value=newest.version),
        ),
        proofs=(Proof(text=f"trace of {newest.id}", href=f"/trace/{newest.id}"), *entries),
        next="",
    )


def answer_manual(sight: Sight) -> Answer:
    """How many things people did for a delivery, approvals included, and how many policies and triggers did."""
    answer = Answer(
        number=4,
        component="delivery",
        question=MANUAL,
        is_answered=False,
        tone="idle",
        sentence="No delivery has reached production yet.",
        next="yard ship MODEL",
        source="GET /api/v1/deliveries?state=done, and the entries delivery.started, delivery.approved, delivery.rejected",
    )
    found = list_steps(sight)
    if not found:
        return answer
    human, rules = (sum(map(len, parts)) for parts in ([one.by_people for one in found], [one.by_rules for one in found]))
    last = found[0]
    return msgspec.structs.replace(
        answer,
        is_answered=True,
        tone="good",
        sentence=_steps_said(found, human, rules),
        figures=(
            Figure(name="human_last", value=len(last.by_people)),
            Figure(name="human_average", value=round(human / len(found), 2)),
            Figure(name="human", value=human),
            Figure(name="automatic", value=rules),
            Figure(name="deliveries", value=len(found)),
        ),
        proofs=_step_proofs(last),
        next="",
    )


def _steps_said(found: Sequence[Steps], human: int, rules: int) -> str:
    last = found[0]
    said = f"{_count(len(last.by_people))} by people for the last one, {last.delivery.model} v{last.delivery.version}"
    if len(found) > 1:
        most = max(len(one.by_people) for one in found)
        said += f"; {human / len(found):.1f} on average over the {len(found)} that reached production, {most} at most"
    return f"{said}. Policies and triggers took {_count(rules)} more."


def _count(steps: int) -> str:
    return f"{steps} {'step' if steps == 1 else 'steps'}"


def _step_proofs(last: Steps) -> tuple[Proof, ...]:
    words = [(entry, "by a person") for entry in last.by_people] + [(entry, "by policy or a trigger") for entry in last.by_rules]
    entries = [Proof(text=f"{entry.type} {who}", entry=entry.index) for entry, who in sorted(words, key=lambda one: one[0].index)]
    return (Proof(text=f"delivery of {last.delivery.model} v{last.delivery.version}", href=f"/deliveries/{last.delivery.id}"), *entries)


def answer_drop(sight: Sight) -> Answer:
    """When the newest loss was told, after how many outcomes, how long after its probable onset, and how often it was nothing."""
    found = monitoring.list_losses(sight.snapshot, sight.principal)
    watched = [one for one in monitoring.list_health(sight.snapshot, sight.principal).values() if one.watched.performances]
    answer = Answer(
        number=5,
        component="monitoring",
        question=DROP,
        is_answered=bool(watched),
        tone="good" if watched else "idle",
        sentence=_quiet(len(watched)),
        figures=(Figure(name="watched", value=len(watched), unit="models"), Figure(name="alarms", value=0)) if watched else (),
        proofs=tuple(Proof(text=one.watched.model, href=f"/monitoring/{one.watched.model}") for one in watched[:MOST_PROOFS]),
        source="GET /api/v1/alerts",
        next="" if watched else 'declare monitors=[performance("roc_auc", drop=0.03)] with the model, then yard apply',
    )
    evidence = found[0].alert.evidence if found else None
    if not isinstance(evidence, DegradationEvidence):
        return answer
    return msgspec.structs.replace(answer, is_answered=True, **_told(sight, found, evidence))


def _quiet(watched: int) -> str:
    if not watched:
        return "No model is watched for a loss of performance."
    return f"By an alert: {watched} {'model is' if watched == 1 else 'models are'} watched for a loss, and none has been found."


def _told(sight: Sight, found: Sequence[monitoring.Loss], evidence: DegradationEvidence) -> dict[str, object]:
    alert, false = found[0].alert, sum(one.is_false for one in found)
    opened = entries_about(sight, f"alert:{alert.id}", types=("monitoring.alert_opened",))
    rows = _rows_at_opening(opened[0].data if opened else {}, evidence)
    days = (alert.opened_at - alert.since_at) / SECOND / 86400
    said = f"By an alert on {iso(alert.opened_at)[:10]}: {alert.model}'s {alert.title}"
    said += f"; it came after {rows:,} outcomes, {days:.1f} days after the probable onset"
    kinds = f"{len(found)} such {'alarm' if len(found) == 1 else 'alarms'} so far"
    were = "none false" if not false else f"{false} false: over before a later day's outcomes had confirmed the loss"
    return {
        "tone": "warn" if alert.is_open else "good",
        "sentence": f"{said}. {kinds}, {were}.",
        "figures": (
            Figure(name="opened_at", value=alert.opened_at),
            Figure(name="outcomes", value=rows),
            Figure(name="delay", value=round(days, 2), unit="days"),
            Figure(name="alarms", value=len(found)),
            Figure(name="false_alarms", value=false),
        ),
        "proofs": (
            *(Proof(text=f"{one.alert.model}: {one.alert.title}", href=f"/alerts/{one.alert.id}") for one in found[:MOST_PROOFS]),
            *(Proof(text=entry.type, entry=entry.index) for entry in opened[:1]),
        ),
    }


def _rows_at_opening(data: dict[str, object], evidence: DegradationEvidence) -> int:
    """After how many outcomes the alarm came, as its entry says: the alert's own evidence grows while it goes on."""
    recorded = data.get("evidence")
    found = recorded.get("found") if isinstance(recorded, dict) else None
    rows = found.get("rows") if isinstance(found, dict) else None
    return rows if isinstance(rows, int) else evidence.found.rows

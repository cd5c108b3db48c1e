"""The summary: printed, and written to summary.json with where each figure comes from. What has no source is "not available"."""

import time
from typing import Any

import msgspec

from demo import evidence
from demo.installation import Place, Records, yard
from demo.replay import Replay
from demo.story import BEGINS, FAULT, MODELS
from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant, iso
from modelyard.delivery.domain import ApprovalState, DeliveryDetail, DeliveryState, StageName
from modelyard.delivery.service import list_approvals
from modelyard.fleet.domain import Answer
from modelyard.sdk.client import Client

MISSING = "not available"
Figures = dict[str, Any]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What the summary is about: the installation, its records, the replay, and when it all began."""

    place: Place
    records: Records
    replay: Replay
    began: float
    installed_s: float


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the summary: its head, what it says, its figures, and the operations, queries or entries behind them."""

    head: str
    text: str
    figures: Figures = {}
    sources: tuple[str, ...] = ()

    @property
    def printed(self) -> str:
        """The line as it is printed."""
        return f"{self.head:<{18 if self.head[:1].isdigit() else 10}}{self.text}" if self.head else self.text


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary as it is written."""

    at: str
    lines: tuple[Line, ...]


def written_summary(run: Run) -> str:
    """The summary's text; it and its figures are written to summary.json."""
    found = evidence.deliveries(run.records)
    told = (refused(found), promoted(run, found), canary(run, found), fault(run))
    audited = audit(run)
    with Client(run.place.url, run.place.token) as client:
        answers = {one.number: one for one in client.get_questions().answers}
    asked = (same(answers[1]), which(answers[2]), reproducible(answers[3]), manual(answers[4]), dropped(answers[5]), audited)
    lines = (replayed(run), *asked, *told, Line(head="Not shown", text="human lead time, savings"), *_next(run))
    summary = Summary(at=iso(run.replay.now), lines=lines)
    (run.place.state / "summary.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2))
    return "\n".join(line.printed for line in lines)


def replayed(run: Run) -> Line:
    """Requests, failures and time; what was served and what was skipped is among the figures."""
    asked = run.replay.asked.values()
    requests, failed = sum(one.wire.requests for one in asked), sum(one.wire.failed for one in asked)
    logged = evidence.answered(run.records)
    total = run.replay.traffic.count
    served = {model: int(logged.filter(model=str(model))["predictions"].sum()) for model in MODELS}
    seconds = time.monotonic() - run.began + run.installed_s
    figures: Figures = {
        "requests": requests,
        "failed": failed,
        "seconds": round(seconds, 1),
        "install_seconds": round(run.installed_s, 1),
        "flights": total,
        "served": served,
        "skipped": dict.fromkeys(MODELS, run.replay.skipped),
        "left": run.replay.left,
        "skipped_why": f"asked about before {iso(BEGINS)}, when the first version was released",
        "by_version": logged.sort("model", "version", "arm").to_dicts(),
        "spent": {name: round(took, 1) for name, took in run.replay.spent.items()},
    }
    text = f"2013 replayed: {requests:,} requests, {failed:,} failed, {seconds:.0f} s (install {run.installed_s:.0f} s)"
    return Line(head="", text=text, figures=figures, sources=("table serving/predictions, by model, version and arm",))


def same(answer: Answer) -> Line:
    """Question 1."""
    return _line("1 Same feature?", answer, "{compared:,} vectors compared, {different:,} different, {unverifiable:,} unverifiable")


def which(answer: Answer) -> Line:
    """Question 2."""
    return _line("2 Which version?", answer, "prediction {prediction} -> {model} v{version}, {trace:.0f} ms", "(asked for: 5 min)")


def reproducible(answer: Answer) -> Line:
    """Question 3."""
    return _line("3 Reproducible?", answer, "{version}: {verdict}, {duration} s")


def manual(answer: Answer) -> Line:
    """Question 4: the steps of the last version that reached production."""
    by_policy = sum("by policy" in proof.text for proof in answer.proofs)
    line = _line("4 Manual steps?", answer, "{human_last} human, " + f"{by_policy} by policy", "(asked for: at most 5)")
    return msgspec.structs.replace(line, figures=line.figures | {"by_policy_last": by_policy})


def dropped(answer: Answer) -> Line:
    """Question 5."""
    figures = {one.name: one.value for one in answer.figures}
    if "opened_at" not in figures:
        return _line("5 Accuracy drop?", answer, "no alarm was raised")
    day = iso(Instant(int(figures["opened_at"] or 0)))[:10]
    return _line("5 Accuracy drop?", answer, f"alarm {day}, after {{outcomes:,}} outcomes; {{false_alarms}} false alarms")


def audit(run: Run) -> Line:
    """Question 6: a dossier of the champion, held by its bundle against what an auditor took before it was made."""
    words = ("--out", str(run.place.state / "trust.json"))
    yard(run.place, "trust", *words)
    folder = run.place.state / "audit"
    began = time.monotonic()
    made = msgspec.json.decode(yard(run.place, "dossier", f"{MODELS[0]}/champion", "--out", str(folder)))["dossier"]
    verified = msgspec.json.decode(yard(run.place, "verify", str(folder), "--trust", words[1], may_end=(0, 1)))
    seconds = time.monotonic() - began
    said = "verified offline" if verified["verified"] else "does not verify"
    text = f"{seconds:.1f} s, {said}; {made['met']} met, {made['waiting']} wait for people, {made['missing']} missing"
    figures = {"dossier": made, "verified": verified["verified"], "checks": len(verified["checks"]), "seconds": round(seconds, 1)}
    sources = (f"GET /api/v1/dossiers/{made['id']}/bundle", "yard verify demo/.yard/audit --trust demo/.yard/trust.json")
    return Line(head="6 Audit trail?", text=f"{text}   (asked for: 1 h)", figures=figures, sources=sources)


def refused(found: list[DeliveryDetail]) -> Line:
    """The release that a gate refused with the largest loss."""
    judged = [one for one in found if one.delivery.state is DeliveryState.REFUSED and one.facts(StageName.CHALLENGE).get("challenge")]
    if not judged:
        return Line(head="Refused", text="none was refused by the challenge")
    worst = min(judged, key=lambda one: float(one.facts(StageName.CHALLENGE)["challenge"]["difference"]))
    text = f"{_named(worst)}: {_difference(worst)}, worst slice {evidence.worst_slice(worst)}"
    return Line(head="Refused", text=text, figures={"all": [_figures(one) for one in judged]}, sources=_sources(judged))


def promoted(run: Run, found: list[DeliveryDetail]) -> Line:
    """The promotions: the one with the largest gain, and those that the month after regretted."""
    judged = evidence.promoted(found)
    if not judged:
        return Line(head="Promoted", text="none took over from another version")
    best = max(judged, key=lambda one: float(one.facts(StageName.CHALLENGE)["challenge"]["difference"]))
    looks = [look for one in judged if (look := evidence.hindsight(run.place, run.records, one)) is not None]
    regretted = [f"{one.model} v{one.version} {_interval(msgspec.to_builtins(one.found))}" for one in looks if one.is_regretted]
    text = f"{_named(best)}: {_difference(best)}" + (f"; regretted a month later: {', '.join(regretted)}" if regretted else "")
    figures = {"all": [_figures(one) for one in judged], "month_after": msgspec.to_builtins(looks)}
    return Line(head="Promoted", text=text, figures=figures, sources=_sources(judged))


def canary(run: Run, found: list[DeliveryDetail]) -> Line:
    """The release that was taken back under traffic, and how many requests it had answered by then."""
    taken = [one for one in found if one.delivery.state is DeliveryState.ROLLED_BACK]
    if not taken:
        return Line(head="Canary", text="none was stopped")
    one = taken[0]
    logged = evidence.answered(run.records).filter(model=one.delivery.model, version=one.delivery.version)
    requests = int(logged["requests"].sum())
    reason = next((stage.reason for stage in one.stages if stage.reason), "")
    text = f"{_named(one)} stopped after {requests:,} requests: {reason}"
    figures = {"requests": requests, "predictions": int(logged["predictions"].sum()), "all": [_figures(each) for each in taken]}
    return Line(head="Canary", text=text, figures=figures, sources=_sources(taken))


def fault(run: Run) -> Line:
    """The stale view, as it was named, and what it cost."""
    found = evidence.fault(run.records, MODELS[0])
    if found is None:
        return Line(head="Fault", text="no stale view was named")
    hours = f"{found.named_in_s / 3600:.0f} h"
    text = f"{found.view} stale, named in {hours}; AUC {_number(found.before)} -> {_number(found.stale)}"
    text += f", fallback {_number(found.fallback)}, restored {_number(found.restored)}"
    figures = msgspec.to_builtins(found) | {"stopped_at": iso(FAULT)}
    return Line(head="Fault", text=text, figures=figures, sources=(f"alert {found.alert}", f"GET /api/v1/alerts/{found.alert}/why"))


def _next(run: Run) -> tuple[Line, ...]:
    with run.records.database.read() as snapshot:
        waiting = list_approvals(snapshot, SYSTEM, ApprovalState.WAITING)
    said = f"one approval waits at {run.place.url}/approvals" if waiting else "no approval waits"
    figures = {"approvals": msgspec.to_builtins(waiting)}
    first = Line(head="Next", text=f"make up: {said}", figures=figures, sources=("GET /api/v1/approvals?state=waiting",))
    return first, Line(head="", text=f"{'':<10}yard init mine && cd mine && yard ship mine")


def _line(head: str, answer: Answer, form: str, asked: str = "") -> Line:
    figures = {one.name: one.value for one in answer.figures}
    try:
        said = form.format(**figures)
    except (KeyError, ValueError, TypeError):
        said = f"{MISSING}: {answer.sentence}"
    text = f"{said:<56} {asked}" if asked else said
    sources = [f"entry {proof.entry}: {proof.text}" if proof.entry is not None else f"{proof.text} {proof.href}" for proof in answer.proofs]
    return Line(head=head, text=text.rstrip(), figures=figures | {"sentence": answer.sentence}, sources=(answer.source, *sources))


def _named(detail: DeliveryDetail) -> str:
    delivery = detail.delivery
    return f"{delivery.model} v{delivery.version}" if delivery.version else f"{delivery.model} candidate of {iso(delivery.created_at)[:10]}"


def _difference(detail: DeliveryDetail) -> str:
    return _interval(detail.facts(StageName.CHALLENGE)["challenge"])


def _interval(found: Figures) -> str:
    return f"{found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:.3f}"


def _figures(detail: DeliveryDetail) -> Figures:
    delivery, challenge = detail.delivery, detail.facts(StageName.CHALLENGE)
    told = {"delivery": delivery.id, "model": delivery.model, "version": delivery.version, "cause": delivery.cause.kind}
    return told | {"at": iso(delivery.created_at), "state": delivery.state, "challenge": challenge.get("challenge")}


def _sources(found: list[DeliveryDetail]) -> tuple[str, ...]:
    return tuple(f"delivery {one.delivery.id}" for one in found)

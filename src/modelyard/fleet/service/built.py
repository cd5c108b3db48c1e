"""Two of the questions, about what reproduction and governance made. Owns their sentences."""

import msgspec

from modelyard.delivery.domain import SAME, Reproduction, Verdict
from modelyard.delivery.reproductions import list_reproductions
from modelyard.fleet.domain import Answer, Figure, Proof
from modelyard.fleet.service.sight import Sight, entries_about
from modelyard.governance.domain import DOSSIER_MADE
from modelyard.governance.service import list_dossiers

REPRODUCIBLE = "If a data scientist leaves, can someone else reproduce their best model?"
AUDIT = "From training data to deployment decision, how long for a complete audit trail?"
MOST_PROOFS = 8


def answer_reproducible(sight: Sight) -> Answer:
    """Whether versions were rebuilt from their records, and with what verdict."""
    answer = Answer(
        number=3,
        component="tracking",
        question=REPRODUCIBLE,
        is_answered=False,
        tone="idle",
        sentence="No version has been rebuilt from its records yet.",
        next="yard reproduce MODEL/VERSION",
    )
    listed = list_reproductions(sight.snapshot, sight.principal)
    found = [one for one in listed if one.is_evidence]
    if not found:
        return answer
    last, same = found[0], sum(one.verdict in SAME for one in found)
    entries = entries_about(sight, last.subject)
    return msgspec.structs.replace(
        answer,
        is_answered=True,
        tone="good" if last.verdict in SAME else "bad",
        sentence=_rebuilt(last) + f" Of {len(found)} {'rebuild' if len(found) == 1 else 'rebuilds'}, {same} came out the same.",
        figures=(
            Figure(name="verdict", value=str(last.verdict)),
            Figure(name="version", value=f"{last.model}/{last.version}" if last.version is not None else last.name),
            Figure(name="duration", value=None if last.duration_s is None else round(last.duration_s, 1), unit="s"),
            Figure(name="rebuilds", value=len(found)),
            Figure(name="same", value=same),
        ),
        proofs=(
            *(Proof(text=f"{one.name}: {_word(one)}", href=_page(one)) for one in found[:MOST_PROOFS]),
            *(Proof(text=entry.type, entry=entry.index) for entry in entries if entry.data.get("reproduction") == last.id),
        ),
        source="GET /api/v1/reproductions",
        next="",
    )


def _rebuilt(last: Reproduction) -> str:
    took = f" in {last.duration_s:.0f} s" if last.duration_s is not None else ""
    name = last.name
    if last.verdict is Verdict.FAILED:
        return f"No: rebuilding {name} from its records failed{took}: {last.reason}."
    return (
        f"{'Yes' if last.verdict in SAME else 'No'}: {name} was rebuilt from its records in a fresh environment{took} and is {_word(last)}."
    )


def _word(one: Reproduction) -> str:
    return str(one.verdict).replace("_", " ")


def _page(one: Reproduction) -> str:
    return f"/reproductions/{one.id}"


def answer_audit(sight: Sight) -> Answer:
    """How long the newest dossier took, and what it answers."""
    answer = Answer(
        number=6,
        component="governance",
        question=AUDIT,
        is_answered=False,
        tone="idle",
        sentence="No dossier has been made yet.",
        next="yard dossier MODEL/VERSION",
    )
    found = list_dossiers(sight.snapshot, sight.principal)
    if not found:
        return answer
    last = found[0]
    entries = entries_about(sight, f"model:{last.model}/{last.version}", types=(DOSSIER_MADE,))
    return msgspec.structs.replace(
        answer,
        is_answered=True,
        tone="good" if last.missing == 0 else "warn",
        sentence=f"{last.duration_s:.1f} s for {last.model} v{last.version}, verified as it was made: {last.met} requirements are met by "
        f"evidence, {last.waiting} wait for people, {last.missing} lack a record, {last.not_applicable} do not apply.",
        figures=(
            Figure(name="version", value=f"{last.model}/{last.version}"),
            Figure(name="duration", value=round(last.duration_s, 1), unit="s"),
            Figure(name="met", value=last.met),
            Figure(name="waiting", value=last.waiting),
            Figure(name="missing", value=last.missing),
            Figure(name="not_applicable", value=last.not_applicable),
            Figure(name="dossiers", value=len(found)),
        ),
        proofs=(
            *(
                Proof(text=f"{one.model} v{one.version}: {one.digest}", href=f"/governance/dossiers/{one.id}")
                for one in found[:MOST_PROOFS]
            ),
            *(Proof(text=entry.type, entry=entry.index) for entry in entries if entry.data.get("dossier") == last.id),
        ),
        source="GET /api/v1/dossiers",
        next="",
    )

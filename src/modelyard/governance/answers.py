"""The dossier's answers to every requirement, out of what was found. Owns the document; when one is met is in the rules."""

from modelyard.core.clock import Instant, iso
from modelyard.governance.domain import Answers
from modelyard.governance.records import Records
from modelyard.governance.requirements import catalogue
from modelyard.governance.rules.catalogue import Found, answered


def answers_of(records: Records, found: Found, at: Instant) -> Answers:
    """Every requirement of the catalogue, answered for a version at that instant."""
    known, tier, said_at = catalogue(), str(records.declaration.risk), iso(at)
    return Answers(
        model=records.version.model,
        version=records.version.number,
        risk_tier=tier,
        made_at=said_at,
        frameworks=known.frameworks,
        requirements=tuple(answered(one, tier, found, said_at) for one in known.requirements),
    )

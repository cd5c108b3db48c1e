"""Two of the questions whose records reproduction and governance make. Owns their sentences."""

from modelyard.fleet.domain import Answer
from modelyard.fleet.service.sight import Sight

REPRODUCIBLE = "If a data scientist leaves, can someone else reproduce their best model?"
AUDIT = "From training data to deployment decision, how long for a complete audit trail?"


def answer_reproducible(sight: Sight) -> Answer:
    """Whether versions were rebuilt from their records, and with what verdict."""
    return Answer(
        number=3,
        component="tracking",
        question=REPRODUCIBLE,
        is_answered=False,
        tone="idle",
        sentence="No version has been rebuilt from its records yet.",
    )


def answer_audit(sight: Sight) -> Answer:
    """How long the newest dossier took, and what it answers."""
    return Answer(
        number=6,
        component="governance",
        question=AUDIT,
        is_answered=False,
        tone="idle",
        sentence="No dossier has been made yet.",
    )

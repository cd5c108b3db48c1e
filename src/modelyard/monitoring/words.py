"""How monitoring's states read: a shape and a word for each kind of alert, and for a model without any. Owns the words."""

from modelyard.monitoring.domain import AlertKind, SkewCause
from modelyard.web.parts import Tone

WORDS: dict[AlertKind, tuple[Tone, str]] = {
    AlertKind.DEGRADATION: ("bad", "Degraded"),
    AlertKind.STALE: ("bad", "Stale view"),
    AlertKind.QUALITY: ("warn", "Bad values"),
    AlertKind.DRIFT: ("warn", "Drift"),
    AlertKind.SKEW: ("warn", "Skew"),
    AlertKind.UNVERIFIED: ("warn", "Unverified"),
}
WELL: tuple[Tone, str] = ("good", "As approved")
UNSERVED: tuple[Tone, str] = ("idle", "Not served")
UNREFERENCED: tuple[Tone, str] = ("idle", "No reference")

CAUSES: dict[SkewCause, str] = {
    SkewCause.LATE_DATA: "Rows came after the view was last brought online, before the read: a shorter every= brings it more often",
    SkewCause.STALE: "The same, but further back than promised: see why nothing was brought",
    SkewCause.DEFINITION: "What another version of the view gives: train the model anew",
    SkewCause.FLOAT: "Equal to a billionth, not in the bits: compare processors and libraries of gateway and worker",
    SkewCause.UNKNOWN: "No other cause explains it: look for what else writes online, or for rows that came late without a creation time",
}
"""What each cause of skew means, and what to do about it."""

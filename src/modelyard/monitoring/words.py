"""How monitoring's states read: a shape and a word for each kind of alert, and for a model without any. Owns the words."""

from modelyard.monitoring.domain import AlertKind
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

"""What the pages of runs share: how a run's state looks, how long it took, addresses."""

from urllib.parse import urlencode

from modelyard.core.clock import SECOND
from modelyard.tracking.domain import RunFacts, RunStatus
from modelyard.web.parts import Tone

TONES: dict[RunStatus, Tone] = {
    RunStatus.RUNNING: "busy",
    RunStatus.SCHEDULED: "idle",
    RunStatus.FINISHED: "good",
    RunStatus.FAILED: "bad",
    RunStatus.KILLED: "warn",
}


def duration_of(facts: RunFacts) -> float | None:
    """The seconds that a run took; None while it is under way."""
    return None if facts.ended_at is None else (facts.ended_at - facts.started_at) / SECOND


def address(path: str, *queries: str, **more: str) -> str:
    """A path with its queries joined, those that are empty left out.

    >>> address("/runs", "", "sort=a", page="x y")
    '/runs?sort=a&page=x+y'
    """
    query = "&".join(one for one in (*queries, urlencode({key: value for key, value in more.items() if value})) if one)
    return f"{path}?{query}" if query else path

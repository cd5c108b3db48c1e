"""Use cases of curves: one metric over several runs as lines that can be drawn, smoothed and thinned out here."""

from collections.abc import Sequence

import msgspec
import numpy as np

from modelyard.access.domain import Principal, Role
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import RunId
from modelyard.tracking.rules.curves import Axis, Line, placed, smoothed, thinned, within
from modelyard.tracking.service.guard import get_facts, no_run
from modelyard.tracking.service.metrics import load_points
from modelyard.tracking.store import runs, series

LEAST_OF_A_LINE = 60
MOST_OF_A_LINE = 2400
POINTS_IN_SMALL = 80
MOST_IN_SMALL = 2_000_000
Course = tuple[list[float], list[float | None]]
"""Places and values of a line; `None` is a gap."""


class CurvesAsked(msgspec.Struct, frozen=True, kw_only=True):
    """How lines are wanted: over which axis, smoothed by which weight, from where to where, and about how many points in all."""

    axis: Axis = "step"
    smoothing: float = 0.0
    first: float | None = None
    last: float | None = None
    most: int = 4000


class DrawnLine(msgspec.Struct, frozen=True, kw_only=True):
    """A run's metric as a line, and as it was before it was smoothed where it was. `points` and `gaps` count what is in range."""

    run_id: RunId
    course: Course
    raw: Course | None
    points: int
    gaps: int


def drawn_lines(snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId], key: str, asked: CurvesAsked) -> list[DrawnLine]:
    """A metric of each run that has it, in their order. Raises NoSuchRun.

    The average runs over all points before any is left out: it is the same whatever is looked at.
    """
    known = runs.find_facts(snapshot, run_ids)
    for run_id in run_ids:
        if run_id not in known or not principal.may(Role.VIEWER, known[run_id].team_id):
            raise no_run(run_id)
    found = load_points(snapshot, list(dict.fromkeys(run_ids)), key)
    there = [run_id for run_id in run_ids if len(found[run_id].at)]
    most = asked.most // (max(len(there), 1) * (2 if asked.smoothing else 1))
    each = msgspec.structs.replace(asked, most=min(max(most, LEAST_OF_A_LINE), MOST_OF_A_LINE))
    return [_drawn(run_id, placed(found[run_id], asked.axis), each) for run_id in there]


def _drawn(run_id: RunId, line: Line, asked: CurvesAsked) -> DrawnLine:
    seen = within(line, asked.first, asked.last)
    course = _course(seen, asked.most)
    points, gaps = len(seen.x), int(np.isnan(seen.y).sum())
    if not asked.smoothing:
        return DrawnLine(run_id=run_id, course=course, raw=None, points=points, gaps=gaps)
    averaged = within(Line(line.x, smoothed(line.y, asked.smoothing)), asked.first, asked.last)
    return DrawnLine(run_id=run_id, course=_course(averaged, asked.most), raw=course, points=points, gaps=gaps)


def _course(line: Line, most: int) -> Course:
    kept = thinned(line, most)
    return kept.x.tolist(), [value if value == value else None for value in kept.y.tolist()]


def courses(snapshot: Snapshot, principal: Principal, run_id: RunId) -> dict[str, tuple[float | None, ...]]:
    """The course of each metric of a run over its steps, in small; of none where they have more points than a page reads."""
    get_facts(snapshot, principal, run_id)
    rows = [row for row in series.list_series(snapshot, run_id) if row.facts.points > 1]
    if not rows or sum(row.facts.points for row in rows) > MOST_IN_SMALL:
        return {}
    found = series.load_points(snapshot, [row.id for row in rows])
    return {row.facts.key: tuple(_course(placed(found[row.id], "step"), POINTS_IN_SMALL)[1]) for row in rows}

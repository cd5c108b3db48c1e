"""What monitoring has recorded of a view's features day by day. Reads summaries of days; owns which model's are shown."""

import msgspec

from modelyard.access.domain import SYSTEM, Principal
from modelyard.core.clock import Instant
from modelyard.features.domain import ViewNotFound
from modelyard.features.service import list_consumers
from modelyard.monitoring import store
from modelyard.monitoring.rules.courses import CoursePoint, course_point, measure_of
from modelyard.monitoring.rules.degradation import DAY_US
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot

DAYS = 30


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """A feature as predictions of a model's version read it, day by day, oldest first; `measure` says what the middle is."""

    model: ModelName
    version: int
    feature: str
    measure: str
    points: tuple[CoursePoint, ...]


def list_courses(snapshot: Snapshot, principal: Principal, view: str, most: int) -> tuple[Course, ...]:
    """The view's first features over 30 days, as the model read them that was asked most of those that the caller may see."""
    try:
        readers = {one.name for one in list_consumers(snapshot, SYSTEM, view)}
    except ViewNotFound:
        return ()
    since = Instant((snapshot.now() // DAY_US - DAYS) * DAY_US)
    watched = [one for one in store.list_watched(snapshot, principal.teams) if one.model in readers and one.live is not None]
    asked = store.count_days(snapshot, since) if len(watched) > 1 else {}
    ranked = sorted(watched, key=lambda one: -sum(rows for (model, _), rows in asked.items() if model == one.model))
    found = (_courses(snapshot, (one.model, one.live or 0), (view, most), since) for one in ranked)
    return next((courses for courses in found if courses), ())


def _courses(snapshot: Snapshot, reader: tuple[ModelName, int], wanted: tuple[str, int], since: Instant) -> tuple[Course, ...]:
    view, most = wanted
    reference = store.find_reference(snapshot, *reader)
    if reference is None:
        return ()
    columns = [one for one in reference.content.reference.columns if reference.content.views.get(one.name) == view][:most]
    days = store.list_days(snapshot, *reader, since, snapshot.now()) if columns else []
    found = []
    for column in columns:
        told = [(day.since_at, day.summary.columns[column.name]) for day in reversed(days) if column.name in day.summary.columns]
        points = tuple(point for at, counts in told if (point := course_point(column, counts, at)) is not None)
        if points:
            found.append(Course(model=reader[0], version=reader[1], feature=column.name, measure=measure_of(column), points=points))
    return tuple(found)

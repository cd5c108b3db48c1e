"""A run's page: what it was made of, what was logged to it, how its metrics went, its files."""

from urllib.parse import urlencode

import msgspec

from modelyard.access.domain import Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.storage.database import Snapshot
from modelyard.tracking import service
from modelyard.tracking.domain import (
    ENVIRONMENT_DIGEST_TAG,
    RUN_NAME_TAG,
    SNAPSHOT_DIGEST_TAG,
    SOURCE_DIGEST_TAG,
    Artifact,
    Experiment,
    Run,
    RunId,
)
from modelyard.tracking.pages.curves import Curves, CurveView, curves_of
from modelyard.tracking.pages.looks import TONES, address, duration_of
from modelyard.tracking.sections import RunCard, RunContributors
from modelyard.web.parts import Link, Tone

MOST_FILES = 500
MOST_CHECKED_POINTS = 50_000

_TOLD_ELSEWHERE = frozenset({RUN_NAME_TAG, SOURCE_DIGEST_TAG, ENVIRONMENT_DIGEST_TAG, SNAPSHOT_DIGEST_TAG})


class MetricRow(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run: its latest value, and its course in small."""

    key: str
    value: float | None
    step: int
    points: int
    course: tuple[float | None, ...]
    is_drawn: bool
    csv: str


class FileRow(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a run and where it is downloaded."""

    file: Artifact
    href: str


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """The context of `tracking/run.html`.

    `tags` leaves out those that other fields tell. `changed` says whether the run was written to since its end, where that
    was looked at. `user` and `author` are the names of who the client said it was and of who was authenticated.
    """

    run: Run
    user: str
    author: str
    experiment: Experiment
    crumbs: tuple[Link, ...]
    tone: Tone
    duration_s: float | None
    metrics: tuple[MetricRow, ...]
    tags: dict[str, str]
    curves: Curves | None
    wide: str
    exports: tuple[Link, ...]
    files: tuple[FileRow, ...]
    file_count: int
    size_bytes: int
    changed: bool | None
    cards: tuple[RunCard, ...]


def show_run(snapshot: Snapshot, principal: Principal, contributors: RunContributors, run_id: RunId, curve: CurveView) -> RunPage:
    """A run: what it was made of, what was logged to it, how its metrics went, its files."""
    run = service.get_run(snapshot, principal, run_id)
    experiment = service.get_experiment(snapshot, principal, run.facts.experiment_id)
    courses = service.courses(snapshot, principal, run_id)
    keys = [one.key for one in sorted(run.metrics, key=lambda one: (-one.points, one.key)) if one.points > 1]
    drawn = curves_of(snapshot, principal, {run_id: run.facts.name}, keys, curve) if keys else None
    shown = {one.metric for one in drawn.charts} if drawn else set()
    files = service.list_all_files(snapshot, principal, run_id)
    can_check = run.facts.content_digest is not None and sum(one.points for one in run.metrics) <= MOST_CHECKED_POINTS
    digest = service.current_digest(snapshot, principal, run_id) if can_check else None
    said, author = PrincipalId(run.facts.user), PrincipalId(run.facts.created_by)
    names = principal_names(snapshot, {said, author})
    rows = [
        MetricRow(
            key=one.key,
            value=one.value,
            step=one.step,
            points=one.points,
            course=courses.get(one.key, ()),
            is_drawn=one.key in shown,
            csv=_export(run_id, "csv", one.key),
        )
        for one in run.metrics
    ]
    return RunPage(
        run=run,
        user=names[said],
        author=names[author],
        experiment=experiment,
        crumbs=(Link("Experiments", "/experiments"), Link(experiment.name, f"/experiments/{experiment.id}")),
        tone=TONES[run.facts.status],
        duration_s=duration_of(run.facts),
        metrics=tuple(rows),
        tags={key: value for key, value in run.tags.items() if key not in _TOLD_ELSEWHERE},
        curves=drawn,
        wide=address(f"/runs/{run_id}", drawn.wide) if drawn and drawn.wide else "",
        exports=(Link("CSV", _export(run_id, "csv")), Link("Parquet", _export(run_id, "parquet"))) if run.metrics else (),
        files=tuple(FileRow(file=one, href=_download(run_id, one.path)) for one in files[:MOST_FILES]),
        file_count=len(files),
        size_bytes=sum(one.size_bytes for one in files),
        changed=digest != run.facts.content_digest if can_check else None,
        cards=tuple(card for one in contributors.functions for card in one(snapshot, principal, run)),
    )


def _export(run_id: RunId, form: str, key: str = "") -> str:
    return address(f"/api/v1/exports/runs/{run_id}/history", key=key, format=form)


def _download(run_id: RunId, path: str) -> str:
    return f"/ajax-api/2.0/mlflow/get-artifact?{urlencode({'run_id': run_id, 'path': path})}"

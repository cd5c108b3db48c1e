"""What a run or logged model consists of, as one digest: the form that the ledger vouches for when it ends."""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelyard.core.digests import Digest, digest_of
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import Artifact, LoggedModel, Run, RunId, SeriesId
from modelyard.tracking.rules.series import content_digest
from modelyard.tracking.store import series

RUN_FORMAT = "modelyard.run/1"
MODEL_FORMAT = "modelyard.logged_model/1"


class SeriesDigest(msgspec.Struct, frozen=True):
    """The digest of a series when it had so many points."""

    points: int
    digest: Digest


def series_digests(
    snapshot: Snapshot, run_id: RunId, known: Mapping[SeriesId, SeriesDigest] | None = None, *, least_points: int = 0
) -> dict[SeriesId, SeriesDigest]:
    """The digest of each series of a run; those `known` that have got no point since are not computed anew."""
    rows = [row for row in series.list_series(snapshot, run_id) if row.facts.points >= least_points]
    stale = [row for row in rows if known is None or row.id not in known or known[row.id].points != row.facts.points]
    points = series.load_points(snapshot, [row.id for row in stale]) if stale else {}
    fresh = {row.id: SeriesDigest(row.facts.points, content_digest(points[row.id])) for row in stale}
    return {row.id: fresh[row.id] if row.id in fresh else (known or {})[row.id] for row in rows}


def run_digest(snapshot: Snapshot, run: Run, files: list[Artifact], known: Mapping[SeriesId, SeriesDigest]) -> Digest:
    """The digest of a run: its facts, params, tags, points, inputs, outputs and artifacts, in canonical JSON."""
    digests = series_digests(snapshot, run.facts.id, known)
    keys = {row.id: row.facts.key for row in series.list_series(snapshot, run.facts.id)}
    facts = run.facts
    return digest_of(
        {
            "format": RUN_FORMAT,
            "run": facts.id,
            "experiment": facts.experiment_id,
            "name": facts.name,
            "user": facts.user,
            "status": facts.status,
            # As texts: the instants that a client sends may be beyond the integers that JSON carries exactly.
            "started_at": str(facts.started_at),
            "ended_at": str(facts.ended_at),
            "params": run.params,
            "tags": run.tags,
            "metrics": {keys[one]: digest.digest for one, digest in digests.items()},
            "datasets": [{"dataset": msgspec.to_builtins(one.dataset), "tags": one.tags} for one in run.datasets],
            "model_inputs": list(run.model_inputs),
            "model_outputs": [[one.model_id, str(one.step)] for one in run.model_outputs],
            "artifacts": _files(files),
        }
    )


def model_digest(model: LoggedModel, files: list[Artifact]) -> Digest:
    """The digest of a logged model: what it is, its params and its files, in canonical JSON."""
    return digest_of(
        {
            "format": MODEL_FORMAT,
            "model": model.id,
            "experiment": model.experiment_id,
            "name": model.name,
            "model_type": model.model_type,
            "source_run": model.source_run_id,
            "params": model.params,
            "artifacts": _files(files),
        }
    )


def _files(files: list[Artifact]) -> dict[str, Any]:
    return {one.path: one.digest for one in files}

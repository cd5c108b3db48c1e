"""Use cases of comparing runs: those runs, what environment each had, and how the sources of two differ."""

import functools
from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import SYSTEM, Principal, Role
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.storage.blobs import BlobMissing, Blobs, BlobsUnavailable
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import Artifact, Run, RunFacts, RunId
from modelyard.tracking.rules.archives import archived_files
from modelyard.tracking.rules.differences import FileChange, file_changes, locked_packages, packages_of
from modelyard.tracking.service.guard import no_run
from modelyard.tracking.store import artifacts, columns, runs

SOURCE_FILE = "modelyard/source.tar"
ENVIRONMENT_FILE = "modelyard/environment.txt"
LOCK = "uv.lock"
MOST_COMPARED = 50
LEAST_SHOWN = 20
MOST_SOURCE_BYTES = 50_000_000
MOST_LIST_BYTES = 4_000_000
KEPT = 64


class SourceChanges(msgspec.Struct, frozen=True, kw_only=True):
    """How two runs' sources differ; `missing` says why that cannot be told where it cannot."""

    files: tuple[FileChange, ...] = ()
    unchanged: int = 0
    missing: str = ""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs to compare: with those of their metrics that are among the first `shown`, all of which are in `metrics`, by key.

    `metrics` says of each how many points a run has of it at most.
    """

    runs: tuple[Run, ...]
    metrics: dict[str, int]
    shown: tuple[str, ...]


def get_runs(snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId]) -> list[Run]:
    """Those runs with what was logged to them, in their order, each once. Raises NoSuchRun, and InvalidInput for too many."""
    return runs.load_runs(snapshot, _facts(snapshot, principal, run_ids))


def get_comparison(snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId], most: int) -> Comparison:
    """The same to compare, with no more values of metrics than `most`, but at least a few of each run. Raises as `get_runs`."""
    facts = _facts(snapshot, principal, run_ids)
    metrics = columns.measured_keys(snapshot, [one.id for one in facts])
    shown = tuple(metrics)[: max(most // max(len(facts), 1), LEAST_SHOWN)]
    return Comparison(runs=tuple(runs.load_runs(snapshot, facts, shown)), metrics=metrics, shown=shown)


def _facts(snapshot: Snapshot, principal: Principal, run_ids: Sequence[RunId]) -> list[RunFacts]:
    ids = list(dict.fromkeys(run_ids))
    if len(ids) > MOST_COMPARED:
        raise InvalidInput(f"{len(ids)} runs are too many to compare, {MOST_COMPARED} the most", hint="narrow them down by a filter")
    found = runs.find_facts(snapshot, ids)
    for run_id in ids:
        if run_id not in found or not principal.may(Role.VIEWER, found[run_id].team_id):
            raise no_run(run_id)
    return [found[run_id] for run_id in ids]


def list_packages(snapshot: Snapshot, blobs: Blobs, compared: Sequence[Run]) -> list[Mapping[str, str] | None]:
    """Each run's packages and their versions: off the list that its client left, or the lock in its source; None where neither is.

    Whoever calls has checked who may see the runs.
    """
    files = artifacts.find_artifacts(snapshot, [run.facts.id for run in compared], (ENVIRONMENT_FILE, SOURCE_FILE))
    return [_packages(blobs, run.facts, files) for run in compared]


Files = Mapping[tuple[str, str], Artifact]
"""What runs have at the two paths, by run and path."""


def _packages(blobs: Blobs, facts: RunFacts, files: Files) -> Mapping[str, str] | None:
    listed = files.get((facts.id, ENVIRONMENT_FILE))
    if listed is not None:
        return _listed(blobs, listed.digest) if listed.size_bytes <= MOST_LIST_BYTES else None
    source = _source_digest(facts, files)
    return None if source is None else _locked(blobs, source)


def _source_digest(facts: RunFacts, files: Files) -> Digest | None:
    """The digest of a run's source archive: the file that its client left, or the archive of the delivery that made the run.

    A tag that a client set names no content here: it could name what belongs to another team.
    """
    kept = files.get((facts.id, SOURCE_FILE))
    if kept is not None:
        return kept.digest if kept.size_bytes <= MOST_SOURCE_BYTES else None
    return facts.source_digest if facts.created_by == SYSTEM.id else None


def source_changes(snapshot: Snapshot, blobs: Blobs, base: Run, other: Run) -> SourceChanges:
    """What it takes to come from the source of one run to that of the other. Whoever calls has checked who may see both."""
    sides, kept = [], artifacts.find_artifacts(snapshot, (base.facts.id, other.facts.id), (SOURCE_FILE,))
    for run in (base, other):
        digest = _source_digest(run.facts, kept)
        files = None if digest is None else _files(blobs, digest)
        if files is None:
            return SourceChanges(missing=f"No source archive of {run.facts.name} can be read.")
        sides.append(files)
    changes = file_changes(*sides)
    return SourceChanges(files=changes, unchanged=len(sides[0].keys() & sides[1].keys()) - sum(one.kind == "changed" for one in changes))


def _content(blobs: Blobs, digest: Digest) -> bytes | None:
    try:
        return blobs.get_bytes(digest) if blobs.size_bytes(digest) <= MOST_SOURCE_BYTES else None
    except (BlobMissing, BlobsUnavailable):
        return None


def _files(blobs: Blobs, digest: Digest) -> dict[str, bytes] | None:
    content = _content(blobs, digest)
    return None if content is None else archived_files(content)


# What has a digest never changes: what was read off it once is kept. A miss is not, it may pass.
class _NotThere(Exception):
    """The content cannot be read now."""


@functools.lru_cache(maxsize=KEPT)
def _read_list(blobs: Blobs, digest: Digest) -> Mapping[str, str]:
    content = _content(blobs, digest)
    if content is None:
        raise _NotThere
    return packages_of(content.decode("utf-8", "replace"))


@functools.lru_cache(maxsize=KEPT)
def _read_lock(blobs: Blobs, digest: Digest) -> Mapping[str, str]:
    files = _files(blobs, digest)
    if files is None or LOCK not in files:
        raise _NotThere
    return locked_packages(files[LOCK].decode("utf-8", "replace"))


def _listed(blobs: Blobs, digest: Digest) -> Mapping[str, str] | None:
    try:
        return _read_list(blobs, digest)
    except _NotThere:
        return None


def _locked(blobs: Blobs, digest: Digest) -> Mapping[str, str] | None:
    try:
        return _read_lock(blobs, digest)
    except _NotThere:
        return None

"""What the records say of a version or a run, and nothing else: the delivery that made it, its declaration, what it was trained with.

Owns reading them and that they agree with the version; builds nothing.
"""

from pathlib import Path

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import NotFound
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.domain import DeliveryDetail, NotReproducible, Reproduction, StageName
from modelyard.delivery.reproductions import delivery_of_run
from modelyard.delivery.service import find_declared
from modelyard.delivery.training import Parameters
from modelyard.registry.domain import ModelName, ModelVersion
from modelyard.registry.service import get_version
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import RunId
from modelyard.tracking.service import get_run


class Original(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made again: the artifact, what it computes, and the metrics that it was measured at, where it came so far."""

    artifact: Digest
    content: str
    metrics: dict[str, float | None] = {}


class RecordedSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source as it was read for the snapshot."""

    view: str
    source: str = ""
    rows: int = 0


class RecordedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The training snapshot: its digest over logical rows, the file that holds it, and the instant that it was taken at."""

    digest: Digest
    file: Digest
    as_of: Instant
    sources: tuple[RecordedSource, ...] = ()


class RecordedTraining(msgspec.Struct, frozen=True, kw_only=True):
    """What it was trained with. An empty `modelyard` or `processor` was not recorded yet when it was made."""

    source: Digest
    environment: Digest
    requirements: Digest
    python: str
    seed: int
    threads: int
    modelyard: Digest | None = None
    processor: str = ""
    reproduce_within: float = 0.0


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reproduction starts from."""

    original: Original
    declaration: ModelDeclaration
    root: Path
    snapshot: RecordedSnapshot
    training: RecordedTraining
    parameters: Parameters


def records_of(state: Snapshot, asked: Reproduction) -> Records:
    """The records of a version or run. Raises NotReproducible where one is missing, or says something else than the version does."""
    version = get_version(state, ModelName(asked.model or ""), asked.version) if asked.version is not None else None
    detail = _delivery_of(state, asked, version.run if version is not None else asked.run)
    found = find_declared(state, detail.delivery.model, detail.delivery.declaration)
    if found is None:
        raise _not_reproducible(asked, f"its declaration {detail.delivery.declaration} is not on record")
    try:
        snapshot = msgspec.convert(detail.facts(StageName.SNAPSHOT), RecordedSnapshot)
        training = msgspec.convert(detail.facts(StageName.TRAIN), RecordedTraining)
        original = _of_version(version) if version is not None else _of_run(detail)
    except msgspec.ValidationError as error:
        raise _not_reproducible(asked, f"the record of {detail.delivery.id} is not complete: {error}") from error
    records = Records(
        original=original,
        declaration=found.declared.declaration,
        root=Path(found.declared.root),
        snapshot=snapshot,
        training=training,
        parameters=detail.delivery.parameters,
    )
    if version is not None:
        _check(asked, version, records)
    return records


def _of_version(version: ModelVersion) -> Original:
    return Original(artifact=version.artifact, content=version.content or "", metrics=dict(version.metrics))


def _of_run(detail: DeliveryDetail) -> Original:
    """What a delivery trained, also where it was refused afterwards and nothing was registered."""
    made = detail.facts(StageName.TRAIN) | {"metrics": detail.facts(StageName.EVALUATE).get("metrics", {})}
    return msgspec.convert(made, Original)


def _check(asked: Reproduction, version: ModelVersion, records: Records) -> None:
    features = records.declaration.features
    pairs = (
        ("source", version.source, records.training.source),
        ("environment", version.environment, records.training.environment),
        ("snapshot", version.snapshot, records.snapshot.digest),
        ("feature set", version.feature_set, None if features is None else features.digest),
    )
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise _not_reproducible(asked, f"its {what} is {ours} in the registry and {theirs} in the delivery's record")


def _delivery_of(state: Snapshot, asked: Reproduction, run: str | None) -> DeliveryDetail:
    if run is None:
        raise _not_reproducible(asked, "no run is recorded")
    try:
        found = get_run(state, SYSTEM, RunId(run))
    except NotFound as error:
        raise _not_reproducible(asked, f"its run {run} is not on record") from error
    detail = delivery_of_run(state, run, found.tags)
    # A version that was registered by hand may name any run: what another team made is no business of who asks.
    if detail is None or detail.delivery.team_id != asked.team_id:
        raise _not_reproducible(asked, f"there is no record of a delivery that made its run {run}")
    return detail


def _not_reproducible(asked: Reproduction, why: str) -> NotReproducible:
    return NotReproducible(f"{asked.name} cannot be made again: {why}", hint="yard ship makes a version with all records")

"""What the records say of a version, and nothing else: the delivery that made it, its declaration, what it was trained with.

Owns reading them and that they agree with the version; builds nothing.
"""

from pathlib import Path

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import NotFound
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.domain import DeliveryDetail, DeliveryId, NotReproducible, Reproduction, StageName
from modelyard.delivery.machine import detail_of
from modelyard.delivery.service import find_declared
from modelyard.delivery.training import Parameters
from modelyard.registry.domain import ModelName, ModelVersion
from modelyard.registry.service import get_version
from modelyard.storage.database import Snapshot
from modelyard.tracking.domain import RunId
from modelyard.tracking.service import get_run

DELIVERY_TAG = "modelyard.delivery"


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
    """What the version was trained with. An empty `modelyard` or `processor` was not recorded yet when it was made."""

    source: Digest
    environment: Digest
    requirements: Digest
    python: str
    seed: int
    threads: int
    modelyard: Digest | None = None
    processor: str = ""


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """All that a reproduction starts from."""

    version: ModelVersion
    declaration: ModelDeclaration
    root: Path
    snapshot: RecordedSnapshot
    training: RecordedTraining
    parameters: Parameters


def records_of(state: Snapshot, asked: Reproduction) -> Records:
    """The records of a version. Raises NotReproducible where one is missing, or says something else than the version does."""
    version = get_version(state, ModelName(asked.model), asked.version)
    detail = _delivery_of(state, version)
    found = find_declared(state, asked.model, detail.delivery.declaration)
    if found is None:
        raise _not_reproducible(version, f"its declaration {detail.delivery.declaration} is not on record")
    try:
        snapshot = msgspec.convert(detail.facts(StageName.SNAPSHOT), RecordedSnapshot)
        training = msgspec.convert(detail.facts(StageName.TRAIN), RecordedTraining)
    except msgspec.ValidationError as error:
        raise _not_reproducible(version, f"the record of {detail.delivery.id} is not complete: {error}") from error
    records = Records(
        version=version,
        declaration=found.declared.declaration,
        root=Path(found.declared.root),
        snapshot=snapshot,
        training=training,
        parameters=detail.delivery.parameters,
    )
    _check(records)
    return records


def _check(records: Records) -> None:
    version, features = records.version, records.declaration.features
    pairs = (
        ("source", version.source, records.training.source),
        ("environment", version.environment, records.training.environment),
        ("snapshot", version.snapshot, records.snapshot.digest),
        ("feature set", version.feature_set, None if features is None else features.digest),
    )
    for what, ours, theirs in pairs:
        if ours != theirs:
            raise _not_reproducible(version, f"its {what} is {ours} in the registry and {theirs} in the delivery's record")


def _delivery_of(state: Snapshot, version: ModelVersion) -> DeliveryDetail:
    if version.run is None:
        raise _not_reproducible(version, "no run is recorded")
    delivery = get_run(state, SYSTEM, RunId(version.run)).tags.get(DELIVERY_TAG)
    if delivery is None:
        raise _not_reproducible(version, f"its run {version.run} was not made by a delivery")
    try:
        return detail_of(state, DeliveryId(delivery))
    except NotFound as error:
        raise _not_reproducible(version, f"the delivery {delivery} is not on record") from error


def _not_reproducible(version: ModelVersion, why: str) -> NotReproducible:
    return NotReproducible(
        f"{version.model} v{version.number} cannot be made again: {why}", hint="yard ship makes a version with all records"
    )

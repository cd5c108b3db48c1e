"""All that is on record about how a version came to be: what attestations, the model card and the dossier are made from.

Owns no word of its own. Reads by the services of other components.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from modelyard.access.domain import SYSTEM, Principal, PrincipalId
from modelyard.access.service import principal_names
from modelyard.core.clock import Instant
from modelyard.core.errors import NotFound
from modelyard.delivery import service as delivery
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.domain import Approval, ApprovalState, Decision, DeliveryDetail, DeliveryId, Facts, Stage, StageName, StageState
from modelyard.features.domain import AppliedOnDemand, FeatureView
from modelyard.features.service import list_trusted, personal_in
from modelyard.governance.domain import NotAttestable
from modelyard.governance.rules.signing import model_digest
from modelyard.governance.rules.statements import Actor, Resource, sha256_of
from modelyard.registry.artifacts import get_manifest
from modelyard.registry.domain import Model, ModelName, ModelVersion
from modelyard.registry.service import find_key, get_model, show_version
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot


class SourceUse(msgspec.Struct, frozen=True, kw_only=True):
    """A view's source as it was read for the training snapshot."""

    view: str
    view_digest: str
    source: str
    rows: int = 0


class Records(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a delivery made, with all that it is made of. `names` is what people call those who acted.

    `personal` are the keys and features that it reads and that say something of a person, `on_demand` the functions that it
    computes features by, with who let them run.
    """

    model: Model
    version: ModelVersion
    detail: DeliveryDetail
    declaration: ModelDeclaration
    approval: Approval | None
    files: dict[str, str]
    names: dict[str, str]
    personal: tuple[str, ...] = ()
    on_demand: tuple[AppliedOnDemand, ...] = ()

    @property
    def name(self) -> str:
        """The version as subjects name it."""
        return f"{self.version.model}/{self.version.number}"

    @property
    def subject(self) -> Resource:
        """The model by its signed digest: the first subject of every attestation."""
        return Resource(name=self.name, digest=sha256_of(model_digest(self.files)))

    @property
    def starter(self) -> Actor:
        """Who or what began the delivery."""
        return self.actor(self.detail.delivery.cause.actor)

    @property
    def sources(self) -> tuple[SourceUse, ...]:
        """The views' sources behind the training snapshot."""
        return msgspec.convert(self.facts(StageName.SNAPSHOT)["sources"], tuple[SourceUse, ...])

    @property
    def gates(self) -> tuple[Decision, ...]:
        """The gates as they were decided."""
        return msgspec.convert(self.facts(StageName.CHALLENGE)["gates"], tuple[Decision, ...])

    def actor(self, principal: str) -> Actor:
        """A principal with its name."""
        return Actor(id=principal, name=self.names.get(principal, ""))

    def facts(self, name: StageName) -> Facts:
        """What a stage found out."""
        return self.detail.facts(name)

    def stage(self, name: StageName) -> Stage:
        """A stage."""
        return next(one for one in self.detail.stages if one.name is name)

    def ended_at(self, name: StageName) -> Instant:
        """When a stage ended. Raises NotAttestable where it has not."""
        stage = self.stage(name)
        if stage.state is not StageState.DONE or stage.ended_at is None:
            raise not_attestable(self.version, f"the stage {name} of {stage.delivery} is not done")
        return stage.ended_at

    def is_done(self, name: StageName) -> bool:
        """Whether a stage has passed."""
        return self.stage(name).state is StageState.DONE

    def view(self, name: str) -> FeatureView:
        """A view of the declaration."""
        return next(one for one in self.declaration.views if one.name == name)


def records_of(snapshot: Snapshot, blobs: Blobs, model: ModelName, number: int, principal: Principal = SYSTEM) -> Records:
    """The records of a version that `principal` may see. Raises NotAttestable where no delivery made it, NoSuchModel, NoSuchVersion."""
    version = show_version(snapshot, principal, model, number).version
    detail = delivery_of(snapshot, version)
    found = delivery.find_declared(snapshot, model, detail.delivery.declaration)
    if found is None:
        raise not_attestable(version, f"its declaration {detail.delivery.declaration} is not on record")
    approval = delivery.find_approval(snapshot, detail.delivery.id)
    features = found.declared.declaration.features
    trusted = () if features is None else tuple(list_trusted(snapshot, features))
    actors = {detail.delivery.cause.actor, *(str(one.applied_by) for one in trusted)}
    actors |= {approval.decided_by} if approval and approval.decided_by else set()
    manifest = get_manifest(blobs, version.artifact)
    return Records(
        model=get_model(snapshot, principal, model).model,
        version=version,
        detail=detail,
        declaration=found.declared.declaration,
        approval=approval if approval is not None and approval.state is ApprovalState.APPROVED else None,
        files={file.path: file.digest.removeprefix("sha256:") for file in manifest.files},
        names=_texts(principal_names(snapshot, {PrincipalId(one) for one in actors})),
        personal=() if features is None else personal_in(snapshot, features),
        on_demand=trusted,
    )


def not_attestable(version: ModelVersion, why: str) -> NotAttestable:
    """The error about a version whose records lack something."""
    return NotAttestable(
        f"nothing can be attested of {version.model} v{version.number}: {why}", hint="yard ship makes a version with all records"
    )


def delivery_of(snapshot: Snapshot, version: ModelVersion) -> DeliveryDetail:
    """The delivery that made the version. Raises NotAttestable where none did, or none is on record.

    That is the one under whose id it was registered and which says so itself: anybody of the team may register a version that
    names a delivery's run, or such a key, and may write and remove a run's tags.
    """
    if version.run is None:
        raise not_attestable(version, "no run is recorded")
    key = find_key(snapshot, version)
    try:
        detail = delivery.get_delivery(snapshot, SYSTEM, DeliveryId(key or ""))
    except NotFound as error:
        raise not_attestable(version, f"its run {version.run} was not made by a delivery") from error
    if (detail.delivery.model, detail.delivery.version) != (version.model, version.number):
        raise not_attestable(version, f"the delivery {key} made another version, or none yet")
    return detail


def _texts(names: Mapping[Any, str]) -> dict[str, str]:
    return {str(one): name for one, name in names.items()}

"""Which versions were let through, each with the newest of its dossiers: what there is to show, and where one lacks.

Owns the list. A version that is live and was let through by nobody stands in it, too, and says so.
"""

import msgspec

from modelyard.access.domain import Principal
from modelyard.delivery.domain import Approval, ApprovalState
from modelyard.delivery.service import find_approval, list_approvals
from modelyard.governance import store
from modelyard.governance.domain import Dossier, NotAttestable
from modelyard.governance.records import delivery_of
from modelyard.registry.domain import CHAMPION, Model, ModelDetail, ModelName, ModelVersion
from modelyard.registry.service import get_version, list_models
from modelyard.storage.database import Snapshot

MOST_MODELS = 1000


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was let through, or that is live although no delivery let it through: then `approval` is None.

    `dossier` is the newest of its `dossiers`.
    """

    version: int
    is_live: bool
    approval: Approval | None
    dossier: Dossier | None
    dossiers: int


class Releases(msgspec.Struct, frozen=True, kw_only=True):
    """A model with its releases, newest first."""

    model: Model
    releases: tuple[Release, ...]


def list_releases(snapshot: Snapshot, principal: Principal) -> list[Releases]:
    """The models that the caller may see, by name, with those of their versions that were let through or are live."""
    approved: dict[ModelName, dict[int, Approval]] = {}
    for approval in list_approvals(snapshot, principal, ApprovalState.APPROVED):
        approved.setdefault(ModelName(approval.model), {}).setdefault(approval.version, approval)
    made: dict[ModelName, dict[int, tuple[Dossier, int]]] = {}
    for dossier, many in store.latest_dossiers(snapshot, principal.teams):
        made.setdefault(dossier.model, {})[dossier.version] = dossier, many
    return [
        Releases(model=one.model, releases=_releases(snapshot, one, approved.get(one.model.name, {}), made.get(one.model.name, {})))
        for one in list_models(snapshot, principal, limit=MOST_MODELS)
    ]


def _releases(
    snapshot: Snapshot, detail: ModelDetail, approved: dict[int, Approval], made: dict[int, tuple[Dossier, int]]
) -> tuple[Release, ...]:
    name = detail.model.name
    live = {alias.version for alias in detail.aliases if alias.name == CHAMPION}
    found = []
    for number in sorted({*approved, *made, *live}, reverse=True):
        dossier, many = made.get(number, (None, 0))
        # The list of approvals ends somewhere; what is live or has a dossier is looked up on its own.
        approval = approved.get(number) or find_release(snapshot, get_version(snapshot, name, number))
        found.append(Release(version=number, is_live=number in live, approval=approval, dossier=dossier, dossiers=many))
    return tuple(found)


def find_release(snapshot: Snapshot, version: ModelVersion) -> Approval | None:
    """The approval by which a version was let through; None where it was not, or where no delivery made it."""
    try:
        approval = find_approval(snapshot, delivery_of(snapshot, version).delivery.id)
    except NotAttestable:
        return None
    return approval if approval is not None and approval.state is ApprovalState.APPROVED else None

"""Model cards: read from the records whenever somebody asks. Owns who may."""

from modelyard.access.domain import Principal
from modelyard.governance.card import card_of
from modelyard.governance.domain import ModelCard
from modelyard.governance.facts import erased_rows, snapshot_profile
from modelyard.governance.records import records_of
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot


def get_card(snapshot: Snapshot, blobs: Blobs, principal: Principal, model: ModelName, version: int) -> ModelCard:
    """The model card of a version that a delivery made. Raises NotAttestable, NoSuchModel and NoSuchVersion."""
    records = records_of(snapshot, blobs, model, version, principal)
    return card_of(records, snapshot_profile(blobs, records), erased_rows(snapshot, blobs, records))

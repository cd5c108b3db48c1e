"""Attesting: what can be said of a version by now is signed by the key of its role, stored, and recorded in the ledger, once.

Owns the order and the idempotence. What is said is in `attestations`.
"""

import contextlib
import logging

import msgspec

from modelyard.access.domain import SYSTEM, Principal
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import Kind, ModelyardError
from modelyard.delivery import service as delivery
from modelyard.delivery.domain import DeliveryId, StageName
from modelyard.governance import store
from modelyard.governance.attestations import Said, approval, evaluation, gate, training
from modelyard.governance.domain import (
    ATTESTATIONS,
    ATTESTED,
    MODEL_SIGNATURE,
    SIGNED_BY,
    Attestation,
    Attested,
    AttestedMeanwhile,
    KeyRole,
)
from modelyard.governance.records import Records, not_attestable, records_of
from modelyard.governance.rules.envelopes import sealed
from modelyard.governance.rules.signing import model_signature
from modelyard.governance.rules.statements import Resource, statement
from modelyard.governance.service.keys import RoleKeys
from modelyard.ledger.domain import Event, NewEntry
from modelyard.ledger.service import advance, cursor, list_events, record
from modelyard.registry.domain import ModelName
from modelyard.registry.service import show_version
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction

LOG = logging.getLogger("modelyard.governance")
CONSUMER = "governance"
REGISTERED, STAGE_DONE = "registry.version_registered", "delivery.stage_done"
AT_ONCE = 20
PASSES = (Kind.OVERLOADED, Kind.UNREACHABLE)
"""What goes away by itself: the event is looked at again."""


def attest(database: Database, blobs: Blobs, keys: RoleKeys, model: ModelName, number: int) -> list[Attestation]:
    """The attestations of a version, with those made now that its records allow by now and that it did not have.

    A registered version has its model's signature, training and evaluation; an approved one approval and gate, too. Raises
    NotAttestable where no delivery made the version.
    """
    with database.read() as snapshot:
        records = records_of(snapshot, blobs, model, number)
        there = {one.path: one for one in store.list_attestations(snapshot, model, number)}
    fresh = _made(records, keys, {path: one.digest.removeprefix("sha256:") for path, one in there.items()})
    digests = {path: blobs.put_bytes(content) for path, content in fresh.items()}
    if digests:
        with contextlib.suppress(AttestedMeanwhile):
            database.write(lambda tx: _noted(tx, records, digests))
    with database.read() as snapshot:
        return store.list_attestations(snapshot, model, number)


def list_attestations(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> list[Attestation]:
    """The attestations of a version, by path. Raises NoSuchModel and NoSuchVersion."""
    show_version(snapshot, principal, model, version)
    return store.list_attestations(snapshot, model, version)


def tick(database: Database, blobs: Blobs, keys: RoleKeys) -> int:
    """Attests the versions that were registered or let through since the last time; how many events were looked at.

    A version of which nothing can be attested is passed over.
    """
    with database.read() as snapshot:
        position = cursor(snapshot, CONSUMER)
        events = list_events(snapshot, position, (REGISTERED, STAGE_DONE), AT_ONCE)
        versions = dict.fromkeys(found for event in events if (found := _version_of(snapshot, event)) is not None)
    for model, number in versions:
        try:
            attest(database, blobs, keys, model, number)
        except ModelyardError as error:
            if error.kind in PASSES:
                raise
            LOG.info("%s v%s is not attested: %s", model, number, error.message)
    if events:
        database.write(lambda tx: advance(tx, CONSUMER, events[-1].index))
    return len(events)


def signed_statement(keys: RoleKeys, subject: tuple[Resource, ...], said: Said) -> bytes:
    """The envelope around what is said, signed by the key of the role that it belongs to."""
    predicate_type, predicate = said
    return sealed(keys.key(SIGNED_BY[predicate_type]), statement(subject, predicate_type, predicate))


def recorded(tx: Transaction, records: Records, path: str, digest: Digest) -> Attestation:
    """Records a signed file in the ledger by its digest."""
    version = records.version
    entry = NewEntry(
        type=ATTESTED, subject=f"model:{records.name}", actor=SYSTEM.id, data={"file": path}, digest=digest, team_id=version.team_id
    )
    return Attestation(model=version.model, version=version.number, path=path, digest=digest, entry=record(tx, entry), made_at=tx.now())


def _noted(tx: Transaction, records: Records, digests: dict[str, Digest]) -> None:
    there = {one.path for one in store.list_attestations(tx, records.version.model, records.version.number)}
    for path, digest in digests.items():
        if path not in there:
            store.insert_attestation(tx, records.version.team_id, recorded(tx, records, path, digest))


def _made(records: Records, keys: RoleKeys, there: dict[str, str]) -> dict[str, bytes]:
    """The files that are not there yet, by path; each attestation names those before it by digest."""
    made: dict[str, bytes] = {}
    if MODEL_SIGNATURE not in there:
        made[MODEL_SIGNATURE] = model_signature(keys.key(KeyRole.MODEL), records.name, records.files)
    digests = dict(there)
    for kind in _attestable(records):
        path = ATTESTATIONS[kind]
        if path not in there:
            try:
                said = _said(kind, records, digests)
            except (KeyError, msgspec.ValidationError) as error:
                raise not_attestable(records.version, f"the record of its delivery lacks {error}") from error
            made[path] = signed_statement(keys, (records.subject,), said)
            digests[path] = digest_bytes(made[path]).removeprefix("sha256:")
    return made


def _attestable(records: Records) -> tuple[Attested, ...]:
    if records.approval is None:
        return Attested.TRAINING, Attested.EVALUATION
    before = (Attested.TRAINING, Attested.EVALUATION, Attested.APPROVAL)
    return (*before, Attested.GATE) if records.is_done(StageName.APPROVE) else before


def _said(kind: Attested, records: Records, digests: dict[str, str]) -> Said:
    verifier = "urn:modelyard:control-plane"
    match kind:
        case Attested.TRAINING:
            return training(records, verifier)
        case Attested.EVALUATION:
            return evaluation(records)
        case Attested.APPROVAL:
            return approval(records, digests)
        case _:
            return gate(records, digests, verifier)


def _version_of(snapshot: Snapshot, event: Event) -> tuple[ModelName, int] | None:
    if event.type == REGISTERED:
        model, _, number = event.subject.removeprefix("model:").rpartition("/")
        return ModelName(model), int(number)
    if event.data.get("stage") != StageName.APPROVE:
        return None
    found = delivery.get_delivery(snapshot, SYSTEM, DeliveryId(str(event.data["delivery"]))).delivery
    return None if found.version is None else (ModelName(found.model), found.version)

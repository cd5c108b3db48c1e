"""Dossiers: put together from records, signed, recorded, proven by the log, packed; and found again.

Owns their order of steps and who may. A dossier that would not verify is not handed out.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from modelyard.access.domain import Principal, Role
from modelyard.access.service import require
from modelyard.core.clock import Instant, iso
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import Corrupted
from modelyard.core.ids import new_id
from modelyard.delivery.domain import StageName
from modelyard.delivery.sources import opened_source
from modelyard.governance import store
from modelyard.governance.answers import answers_of
from modelyard.governance.bom import bill_of
from modelyard.governance.bundling import archive, document, log_files, sha256, write, write_manifest
from modelyard.governance.card import card_of
from modelyard.governance.domain import (
    ANSWERS,
    ATTESTATIONS,
    BOM,
    CONTENTS,
    COVERED,
    DOSSIER_MADE,
    LINEAGE,
    MODEL_FOLDER,
    MODEL_SIGNATURE,
    PDF,
    Answers,
    Attested,
    Dossier,
    DossierId,
    NoSuchDossier,
    NotLetThrough,
    Trust,
)
from modelyard.governance.events import events_of
from modelyard.governance.evidence import found_of
from modelyard.governance.facts import Stores, erased_rows, gathered, snapshot_profile
from modelyard.governance.pdf import Printed, printed
from modelyard.governance.records import Records, records_of
from modelyard.governance.requirements import catalogue
from modelyard.governance.rules.catalogue import counted
from modelyard.governance.rules.lineage import lineage_lines
from modelyard.governance.rules.packages import Package, locked_packages
from modelyard.governance.rules.statements import Contents, Resource
from modelyard.governance.service.attesting import attest, recorded, signed_statement
from modelyard.governance.service.keys import RoleKeys
from modelyard.governance.verification import verify_bundle
from modelyard.ledger.domain import EntryId, NewEntry
from modelyard.ledger.service import LogKey, include_now, record, sequence_pending
from modelyard.registry.artifacts import fetch_folder
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.storage.tables import Tables

GENERATOR = "Modelyard"
LOCK = "uv.lock"
MOST_LISTED = 200
NEEDED = (*(ATTESTATIONS[kind] for kind in Attested if kind is not Attested.DOSSIER), MODEL_SIGNATURE)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a dossier before they are signed: the files by path, the answers among them, and when."""

    records: Records
    files: dict[str, bytes]
    answers: Answers
    at: Instant


def make_dossier(  # noqa: PLR0913 - all but two are injected
    database: Database,
    blobs: Blobs,
    tables: Tables,
    log_key: LogKey,
    keys: RoleKeys,
    principal: Principal,
    model: ModelName,
    version: int,
) -> Dossier:
    """A new dossier of a version that was let through: its bundle is put together, signed, proven by the log and verified.

    Raises NotAttestable, NotLetThrough, NotAllowed, NoSuchModel and NoSuchVersion.
    """
    began = time.perf_counter()
    with database.read() as snapshot:
        records = records_of(snapshot, blobs, model, version, principal)
        require(principal, Role.CONTRIBUTOR, records.version.team_id)
    if records.approval is None or not records.is_done(StageName.APPROVE):
        raise NotLetThrough(f"{model} v{version} was not let through", hint=f"yard status {model} says what waits for whom")
    attested = {one.path: one for one in attest(database, blobs, keys, model, version)}
    holder = new_id("dos")
    sequence_pending(database, holder)
    with database.read() as snapshot:
        stores = Stores(snapshot=snapshot, blobs=blobs, tables=tables)
        made = _made(stores, records, {path: blobs.get_bytes(attested[path].digest) for path in NEEDED})
    path, signature = ATTESTATIONS[Attested.DOSSIER], _signed(keys, made)
    entry = database.write(lambda tx: recorded(tx, records, path, digest_bytes(signature)).entry)
    include_now(database, log_key, holder, entry)
    with database.read() as snapshot:
        logged = log_files(snapshot, [*(attested[path].entry for path in NEEDED), entry])
    with _packed(blobs, made, {path: signature, **logged}, own_trust(log_key, keys)) as packed:
        digest, size = blobs.put_file(packed), packed.stat().st_size
    counts = counted(made.answers.requirements)
    dossier = Dossier(
        id=DossierId(holder),
        team_id=records.version.team_id,
        model=model,
        version=version,
        digest=digest,
        size_bytes=size,
        made_at=made.at,
        made_by=principal.id,
        duration_s=round(time.perf_counter() - began, 3),
        **msgspec.structs.asdict(counts),
    )
    database.write(lambda tx: _noted(tx, principal, dossier, entry))
    return dossier


def get_dossier(snapshot: Snapshot, principal: Principal, dossier: DossierId) -> Dossier:
    """A dossier. Raises NoSuchDossier, also where it is another team's."""
    found = store.find_dossier(snapshot, dossier)
    if found is None or not principal.may(Role.VIEWER, found.team_id):
        raise NoSuchDossier(f"there is no dossier {dossier[:80]}", hint="yard dossier MODEL/VERSION makes one")
    return found


def list_dossiers(snapshot: Snapshot, principal: Principal, model: str | None = None) -> list[Dossier]:
    """Dossiers of the caller's teams, of one model where it is given, newest first, at most 200."""
    return store.list_dossiers(snapshot, principal.teams, model, None, MOST_LISTED)


def list_version_dossiers(snapshot: Snapshot, principal: Principal, model: ModelName, version: int) -> list[Dossier]:
    """The dossiers of one version, newest first, at most 200."""
    return store.list_dossiers(snapshot, principal.teams, model, version, MOST_LISTED)


def open_bundle(database: Database, blobs: Blobs, principal: Principal, dossier: DossierId) -> tuple[Dossier, Iterator[bytes]]:
    """A dossier, and its bundle as a tar archive in chunks. Raises NoSuchDossier and BlobMissing."""
    with database.read() as snapshot:
        found = get_dossier(snapshot, principal, dossier)
    return found, blobs.open_stream(found.digest)


def own_trust(log_key: LogKey, keys: RoleKeys, checkpoint: str = "") -> Trust:
    """What this installation would have an auditor trust."""
    return Trust(log=log_key.verifier.text, keys={role: (pem,) for role, pem in keys.public.items()}, checkpoint=checkpoint)


def _made(stores: Stores, records: Records, files: dict[str, bytes]) -> Made:
    at, profile = stores.snapshot.now(), snapshot_profile(stores.blobs, records)
    packages = _packages(stores.blobs, records)
    bill = bill_of(records, packages, gathered(stores, records, profile), catalogue().facts, at)
    events = events_of(records, profile)
    files = {**files, BOM: bill.content, LINEAGE: lineage_lines(events)}
    digests = {path: sha256(content) for path, content in files.items()}
    answers = answers_of(records, found_of(records, bill, events, digests), at)
    card = card_of(records, profile, erased_rows(stores.snapshot, stores.blobs, records))
    given = Printed(records=records, card=card, answers=answers, digests=digests, packages=len(packages), at=at)
    return Made(records=records, files={**files, ANSWERS: document(answers), PDF: printed(given)}, answers=answers, at=at)


def _packages(blobs: Blobs, records: Records) -> tuple[Package, ...]:
    """The locked packages out of the source archive; none where the version has no source."""
    facts, source = records.facts(StageName.TRAIN), records.version.source
    if source is None:
        return ()
    with opened_source(blobs.get_bytes(source)) as opened:
        found = opened.extractfile(LOCK) if LOCK in opened.getnames() else None
        lock = b"" if found is None else found.read()
    python = str(facts.get("python", ""))
    known = {"python_full_version": python, "python_version": ".".join(python.split(".")[:2])} if python else {}
    machine = str(facts.get("processor", "")).partition(" ")[0]
    return locked_packages(lock, known | ({"platform_machine": machine} if machine else {}))


def _signed(keys: RoleKeys, made: Made) -> bytes:
    covered = tuple(Resource(name=path, digest={"sha256": sha256(made.files[path])}) for path in COVERED)
    said = CONTENTS, Contents(made_on=iso(made.at), generator=GENERATOR)
    return signed_statement(keys, (made.records.subject, *covered), said)


@contextmanager
def _packed(blobs: Blobs, made: Made, more: dict[str, bytes], trust: Trust) -> Iterator[Path]:
    """The bundle as an archive, gone with the block. Raises Corrupted where it does not verify."""
    with tempfile.TemporaryDirectory(prefix="modelyard-dossier-") as scratch:
        folder, packed = Path(scratch, "bundle"), Path(scratch, "bundle.tar")
        folder.mkdir()
        fetch_folder(blobs, made.records.version.artifact, folder / MODEL_FOLDER)
        write(folder, {**made.files, **more})
        write_manifest(folder)
        broken = [one for one in verify_bundle(folder, trust) if not one.passed]
        if broken:
            raise Corrupted(
                f"the dossier would not verify: {broken[0].name}: {broken[0].said}", hint="verify the ledger; see the server's log"
            )
        archive(folder, packed)
        yield packed


def _noted(tx: Transaction, principal: Principal, dossier: Dossier, attestation: EntryId) -> None:
    store.insert_dossier(tx, dossier)
    counts = {name: getattr(dossier, name) for name in ("met", "waiting", "missing", "not_applicable")}
    data = {"dossier": dossier.id, "attestation": attestation, "duration_s": dossier.duration_s, **counts}
    subject = f"model:{dossier.model}/{dossier.version}"
    record(
        tx,
        NewEntry(type=DOSSIER_MADE, subject=subject, actor=principal.id, data=data, digest=Digest(dossier.digest), team_id=dossier.team_id),
    )

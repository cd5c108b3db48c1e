"""Bundles to verify, made by hand over a real ledger: all that they say can be changed before it is signed. Owns no expectation."""

import base64
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from modelyard.core.digests import Digest, canonical_json
from modelyard.governance.domain import (
    ANSWERS,
    ATTESTATIONS,
    ATTESTED,
    BOM,
    CHECKPOINT,
    CONSISTENCY,
    COVERED,
    ENTRIES,
    LINEAGE,
    LOGGED,
    MANIFEST,
    MODEL_SIGNATURE,
    PDF,
    PREDICATES,
    Answer,
    Answers,
    Attested,
    Evidence,
    EvidenceKind,
    Framework,
    KeyRole,
    Status,
    Trust,
)  # fmt: skip
from modelyard.governance.rules.envelopes import public_pem, sealed
from modelyard.governance.rules.lineage import Dataset, Job, Run, RunEvent, lineage_lines
from modelyard.governance.rules.lines import Consistency, ConsistencyFrom, LoggedFile, consistency_text, encoded_hashes, logged_lines
from modelyard.governance.rules.lines import manifest_text as manifest_of
from modelyard.governance.rules.signing import model_digest, model_signature
from modelyard.governance.rules.statements import (
    Actor,
    Approval,
    BuildDefinition,
    Builder,
    BuildMetadata,
    Contents,
    Internal,
    Outcome,
    PolicyApproval,
    Provenance,
    Resource,
    RunDetails,
    Summary,
    TestResult,
    statement,
)  # fmt: skip
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import LogKey, get_entry, include_now, latest_checkpoint, prove_consistency, record
from modelyard.storage.database import Database

Change = Callable[[Any], Any]
NAME = "late/3"
FILES = {"model.txt": b"tree\n", "modelyard.json": b"{}"}
SNAPSHOT, SOURCE = "5a" * 32, "50" * 32
ADA, BOB = Actor(id="usr_ada", name="ada"), Actor(id="usr_bob", name="bob")
KEYS = {role: ec.generate_private_key(ec.SECP256R1()) for role in KeyRole}
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
SIGNERS = {kind: KeyRole(kind.value) for kind in Attested}
TIMES = {kind: f"2026-01-01T0{place}:00:00Z" for place, kind in enumerate(Attested)}


def sha256(content: bytes) -> str:
    """The digest of a file in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def resource(name: str, digest: str, **given: Any) -> Resource:
    """A thing with its digest."""
    return Resource(name=name, digest={"sha256": digest}, **given)


DEPENDENCIES = (
    resource("weather.parquet", SOURCE, annotations={"kind": "source"}),
    Resource(name="flights.parquet", uri="file:flights.parquet", annotations={"kind": "source"}),
    resource("training snapshot", SNAPSHOT, annotations={"kind": "snapshot"}),
)
DIGEST = model_digest({path: sha256(content) for path, content in FILES.items()})


def dataset(name: str, digest: str = "") -> Dataset:
    """A dataset whose version is its digest."""
    facets = {"version": {"datasetVersion": f"sha256:{digest}"}} if digest else {}
    return Dataset(namespace="file", name=name, facets=facets)


def event(name: str, inputs: Iterable[Dataset], *outputs: Dataset) -> RunEvent:
    """A run that made outputs from inputs."""
    run = Run(run_id="0190a000-0000-7000-8000-000000000000")
    job = Job(namespace="modelyard", name=name)
    return RunEvent(event_time=TIMES[Attested.TRAINING], run=run, job=job, inputs=tuple(inputs), outputs=outputs, producer="urn:tests")


ROWS, MADE = dataset("rows", SNAPSHOT), dataset(NAME, DIGEST.removeprefix("sha256:"))
EVENTS = (
    event("snapshot", [dataset("weather.parquet", SOURCE), dataset("flights.parquet")], ROWS),
    event("train", [ROWS], MADE),
    event("evaluate", [ROWS, MADE]),
)


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is different about a bundle: its risk and approver, predicates before they are signed, who signs, events, answers, log."""

    risk: str = "limited"
    approver: Actor | None = None
    predicates: dict[Attested, Change] = {}
    types: dict[Attested, str] = {}
    signers: dict[Attested, Any] = {}
    subjects: dict[Attested, str] = {}
    events: tuple[RunEvent, ...] = EVENTS
    answer: Change | None = None
    unlogged: str = ""
    asked: int = 1


class Bundles:
    """Makes bundles in folders of `root`, over one ledger."""

    def __init__(self, database: Database, root: Path) -> None:
        self._database, self._root, self._count = database, root, 0
        self.log_key = LogKey.new("modelyard.local/tests")
        self._entry(NewEntry(type="tests.began", subject="tests", actor="tests"))
        with database.read() as snapshot:
            self.earlier = latest_checkpoint(snapshot)

    def trust(self, **changes: Any) -> Trust:
        """What an auditor of these bundles brings along."""
        keys = {role: (public_pem(key.public_key()),) for role, key in KEYS.items()}
        given: dict[str, Any] = {"log": self.log_key.verifier.text, "keys": keys, "checkpoint": self.earlier.note}
        return Trust(**(given | changes))

    def write(self, changes: Changes = Changes()) -> Path:  # noqa: B008 - it is frozen
        """A bundle's folder."""
        self._count += 1
        folder = self._root / f"bundle-{self._count}"
        files = {f"model/{path}": content for path, content in FILES.items()}
        own = {path: sha256(content) for path, content in FILES.items()}
        files[MODEL_SIGNATURE] = model_signature(KEYS[KeyRole.MODEL], NAME, own)
        for kind in Attested:
            if kind is Attested.DOSSIER:
                files |= covered(files, changes)
            files[ATTESTATIONS[kind]] = envelope(kind, files, changes)
        files |= self._logged(files, changes)
        write_all(folder, files)
        return folder

    def _entry(self, entry: NewEntry) -> int:
        entry_id = self._database.write(lambda tx: record(tx, entry))
        return include_now(self._database, self.log_key, "tests", entry_id).entry.index

    def _logged(self, files: dict[str, bytes], changes: Changes) -> dict[str, bytes]:
        entries = [
            NewEntry(type=ATTESTED, subject=f"model:{NAME}", actor="system", digest=Digest(f"sha256:{sha256(files[path])}"))
            for path in LOGGED
            if path != changes.unlogged
        ]
        indexes = [self._entry(entry) for entry in entries]
        with self._database.read() as snapshot:
            checkpoint, grown = latest_checkpoint(snapshot), prove_consistency(snapshot, changes.asked)
            proven = [get_entry(snapshot, index) for index in indexes]
        lines = [
            LoggedFile(index=one.entry.index, leaf=base64.b64encode(one.leaf).decode(), proof=encoded_hashes(one.proof.path))
            for one in proven
            if one.proof is not None
        ]
        consistency = Consistency(second=grown.second, proofs=(ConsistencyFrom(first=grown.first, proof=encoded_hashes(grown.path)),))
        return {CHECKPOINT: checkpoint.note.encode(), ENTRIES: logged_lines(lines), CONSISTENCY: consistency_text(consistency)}


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Writes the files, and a manifest that fits them."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    remanifest(folder)


def remanifest(folder: Path) -> None:
    """Makes the manifest fit whatever is there now, as whoever tampers would."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST]
    digests = {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in paths}
    (folder / MANIFEST).write_bytes(manifest_of(digests))


def envelope(kind: Attested, files: dict[str, bytes], changes: Changes) -> bytes:
    """The attestation, about what is in `files` by then."""
    predicate, predicate_type = predicate_of(kind, files, changes), PREDICATES[kind][0]
    signer = KEYS[SIGNERS[kind]]
    if kind is Attested.APPROVAL and changes.approver is None:
        predicate_type, signer = PREDICATES[kind][1], KEYS[KeyRole.POLICY]
    changed = changes.predicates.get(kind, lambda same: same)(predicate)
    subject = [resource(NAME, changes.subjects.get(kind, DIGEST.removeprefix("sha256:")))]
    if kind is Attested.DOSSIER:
        subject += [resource(path, sha256(files[path])) for path in COVERED]
    payload = statement(tuple(subject), changes.types.get(kind, predicate_type), changed)
    return sealed(changes.signers.get(kind, signer), payload)


def predicate_of(kind: Attested, files: dict[str, bytes], changes: Changes) -> msgspec.Struct:
    """What the attestation says when nothing is wrong with it."""
    at, who = TIMES[kind], {"started_by": ADA, "risk_tier": changes.risk}
    named = [resource(path, sha256(files[path])) for path in list(ATTESTATIONS.values())[: list(Attested).index(kind)] if path in files]
    match kind:
        case Attested.TRAINING:
            built = BuildDefinition(
                build_type="urn:tests", external_parameters={"model": "late"}, internal_parameters=Internal(**who),  # type: ignore[arg-type]
                resolved_dependencies=DEPENDENCIES,
            )  # fmt: skip
            metadata = BuildMetadata(invocation_id="r1", started_on=at, finished_on=at)
            return Provenance(build_definition=built, run_details=RunDetails(builder=Builder(id="urn:tests"), metadata=metadata))
        case Attested.EVALUATION:
            return TestResult(result="PASSED", configuration=(), passed_tests=("metrics.roc_auc >= 0.6",), finished_on=at)
        case Attested.APPROVAL:
            return approval_of(tuple(named), changes, at)
        case Attested.GATE:
            return Summary(
                verifier=Actor(id="urn:tests"), time_verified=at, resource_uri=f"urn:tests:{NAME}", policy=resource("policy", "aa" * 32),
                input_attestations=tuple(named), verification_result="PASSED", **who,  # type: ignore[arg-type]
            )  # fmt: skip
        case Attested.DOSSIER:
            return Contents(made_on=at, generator="tests")


def approval_of(evidence: tuple[Resource, ...], changes: Changes, at: str) -> msgspec.Struct:
    """A person's approval, or a policy's where nobody approves."""
    if changes.approver is not None:
        return Approval(
            decision="approved", approver=changes.approver, role="approver", reason="looked at it", started_by=ADA, risk_tier=changes.risk,
            asked_on=at, decided_on=at, evidence=evidence,
        )  # fmt: skip
    outcomes = (Outcome(expression="metrics.roc_auc >= 0.6", passed=True),)
    return PolicyApproval(
        decision="approved", policy=resource("policy", "aa" * 32), outcomes=outcomes, facts={}, reason="passed",
        started_by=ADA, risk_tier=changes.risk, decided_on=at, evidence=evidence,
    )  # fmt: skip


def covered(files: dict[str, bytes], changes: Changes) -> dict[str, bytes]:
    """What the dossier's attestation covers."""
    bom, lineage = canonical_json({"bomFormat": "CycloneDX", "components": [{"name": "late"}]}), lineage_lines(changes.events)
    found = {
        "bom": Evidence(path=BOM, pointer="/components/0/name", sha256=sha256(bom)),
        "lineage": Evidence(path=LINEAGE, pointer="/1/outputs/0", sha256=sha256(lineage)),
        "training": evidence(files, Attested.TRAINING, "/predicate/buildDefinition/resolvedDependencies"),
    }
    told: dict[str, Any] = {
        "framework": "iso-42001",
        "reference": "A.7.5",
        "title": "Data provenance",
        "by": "Modelyard",
        "at": TIMES[Attested.GATE],
    }
    answers = (
        Answer(id="A.7.5", evidence_kind=EvidenceKind.AUTO, status=Status.MET, evidence=tuple(found.values()), **told),
        Answer(id="A.9.2", evidence_kind=EvidenceKind.HUMAN, status=Status.MISSING, reason="a person has to", needs="person", **told),
        Answer(id="A.9.3", evidence_kind=EvidenceKind.BOTH, status=Status.NOT_APPLICABLE, reason="rescinded", **told),
    )
    document = Answers(
        model="late", version=3, risk_tier=changes.risk, made_at=TIMES[Attested.DOSSIER], requirements=answers,
        frameworks=(Framework(id="iso-42001", name="ISO/IEC 42001:2023", status="certifiable"),),
    )  # fmt: skip
    document = changes.answer(document) if changes.answer else document
    return {BOM: bom, LINEAGE: lineage, ANSWERS: canonical_json(msgspec.to_builtins(document)), PDF: b"%PDF-1.7\n"}


def evidence(files: dict[str, bytes], kind: Attested, pointer: str) -> Evidence:
    """A place in an attestation."""
    return Evidence(path=ATTESTATIONS[kind], pointer=pointer, sha256=sha256(files[ATTESTATIONS[kind]]))

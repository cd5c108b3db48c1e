"""What governance says: attestations, the keys by role that sign them, what an auditor trusts, and what verification found.

Owns the words and errors. The forms of the standards are in `rules`, verification is in `verification`.
"""

from enum import StrEnum
from typing import NewType

import msgspec

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Conflict, InvalidInput, NotFound
from modelyard.ledger.domain import EntryId
from modelyard.registry.domain import ModelName, RiskTier


class KeyRole(StrEnum):
    """What a key may sign. A policy's approvals have a key of their own, so that none passes for a person's."""

    MODEL = "model"
    TRAINING = "training"
    EVALUATION = "evaluation"
    APPROVAL = "approval"
    POLICY = "policy"
    GATE = "gate"
    DOSSIER = "dossier"


class Attested(StrEnum):
    """The attestations of a bundle, in the order in which their times must not fall."""

    TRAINING = "training"
    EVALUATION = "evaluation"
    APPROVAL = "approval"
    GATE = "gate"
    DOSSIER = "dossier"


PROVENANCE = "https://slsa.dev/provenance/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
APPROVAL = "urn:modelyard:predicate:approval:v1"
POLICY_APPROVAL = "urn:modelyard:predicate:policy-approval:v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
CONTENTS = "urn:modelyard:predicate:dossier:v1"

PREDICATES: dict[Attested, tuple[str, ...]] = {
    Attested.TRAINING: (PROVENANCE,),
    Attested.EVALUATION: (TEST_RESULT,),
    Attested.APPROVAL: (APPROVAL, POLICY_APPROVAL),
    Attested.GATE: (SUMMARY,),
    Attested.DOSSIER: (CONTENTS,),
}
SIGNED_BY: dict[str, KeyRole] = {
    PROVENANCE: KeyRole.TRAINING,
    TEST_RESULT: KeyRole.EVALUATION,
    APPROVAL: KeyRole.APPROVAL,
    POLICY_APPROVAL: KeyRole.POLICY,
    SUMMARY: KeyRole.GATE,
    CONTENTS: KeyRole.DOSSIER,
}
ATTESTED = "governance.attested"
"""The type of the ledger's entry about an attestation or a model's signature: its digest is that of the file."""

MANIFEST = "manifest.sha256"
MODEL_FOLDER = "model"
MODEL_SIGNATURE = "model.sig"
BOM = "bom.cdx.json"
LINEAGE = "lineage/openlineage.ndjson"
ANSWERS = "dossier.json"
PDF = "dossier.pdf"
CHECKPOINT = "log/checkpoint"
ENTRIES = "log/entries.ndjson"
CONSISTENCY = "log/consistency.json"
COVERED = (BOM, LINEAGE, ANSWERS, PDF)
"""What the dossier's attestation covers; the log grows afterwards, and the manifest repeats."""


def attestation_path(kind: Attested) -> str:
    """Where the attestation lies in a bundle.

    >>> attestation_path(Attested.GATE)
    'attestations/gate.dsse.json'
    """
    return f"attestations/{kind}.dsse.json"


ATTESTATIONS = {kind: attestation_path(kind) for kind in Attested}
LOGGED = (*ATTESTATIONS.values(), MODEL_SIGNATURE)
"""The files that the log vouches for, each by an entry of its own."""


class TrustPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an auditor asks of a bundle beyond signatures. A policy never approves a high risk, whatever stands here."""

    predicates: dict[Attested, tuple[str, ...]] = msgspec.field(default_factory=PREDICATES.copy)
    order: tuple[Attested, ...] = (Attested.TRAINING, Attested.EVALUATION, Attested.APPROVAL, Attested.GATE)
    four_eyes: bool = True
    approval_by_policy: tuple[str, ...] = ("minimal", "limited")


class Trust(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an auditor brings along: the log's public key, keys by role as PEM, an earlier checkpoint, and the policy.

    A key counts for its role alone. `checkpoint` is a signed note, empty where the auditor has seen none before.
    """

    log: str
    keys: dict[KeyRole, tuple[str, ...]]
    checkpoint: str = ""
    policy: TrustPolicy = TrustPolicy()


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that verification looked at: whether it holds, and what was found, or why it does not hold."""

    name: str
    passed: bool
    said: str


class BadTrust(InvalidInput):
    """A trust file that says nothing that a bundle could be held against."""


class BadEnvelope(InvalidInput):
    """A signed document that is malformed, or that its role's key did not sign."""


class BadBundle(InvalidInput):
    """A bundle in which something is missing, too much, or contradicts the rest."""


class EvidenceKind(StrEnum):
    """Who can answer a requirement: the platform from its records, a person, or both together."""

    AUTO = "auto"
    HUMAN = "human"
    BOTH = "both"


class Status(StrEnum):
    """How a requirement stands."""

    MET = "met"
    MISSING = "missing"
    NOT_APPLICABLE = "not_applicable"


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a bundle: a file by its digest, and a JSON pointer into it (RFC 6901).

    In a file of lines the pointer begins with the line's number; in an attestation it leads into the statement.
    """

    path: str
    pointer: str
    sha256: str


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A requirement as the dossier answers it. `needs` says `person` where only a person can close it."""

    id: str
    framework: str
    reference: str
    title: str
    evidence_kind: EvidenceKind
    status: Status
    by: str
    at: str
    reason: str = ""
    needs: str = ""
    uncertain: bool = False
    evidence: tuple[Evidence, ...] = ()


class Framework(msgspec.Struct, frozen=True, kw_only=True):
    """A law, standard or convention: its name, and how it stands."""

    id: str
    name: str
    status: str


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """The dossier's document: every requirement of every framework, answered for one version."""

    model: str
    version: int
    risk_tier: str
    made_at: str
    frameworks: tuple[Framework, ...]
    requirements: tuple[Answer, ...]


class Attestation(msgspec.Struct, frozen=True, kw_only=True):
    """An attestation of a version, or its model's signature: which file of a bundle it is, its digest, and its entry in the ledger."""

    model: ModelName
    version: int
    path: str
    digest: Digest
    entry: EntryId
    made_at: Instant


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A metric on the evaluation rows, or on a slice of them, with a 95% interval by the normal approximation where its error is known."""

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    rows: int | None = None
    slice: str = ""


class CardSource(StrEnum):
    """The record that a line of a card was read from."""

    DECLARATION = "declaration"
    VERSION = "version"
    DELIVERY = "delivery"
    SNAPSHOT = "snapshot"
    TRAINING = "training"
    EVALUATION = "evaluation"
    GATES = "gates"


class CardLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a section: a term, what is recorded, and where."""

    term: str
    value: str
    source: CardSource


class CardSection(msgspec.Struct, frozen=True, kw_only=True):
    """One section: what the records say, and what a person has to add. What is measured was read from the evaluation."""

    id: str
    title: str
    lines: tuple[CardLine, ...] = ()
    measured: tuple[Measured, ...] = ()
    open: str = ""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """A version's card, with the delivery and the run that made the version."""

    model: ModelName
    version: int
    delivery: str
    run: str
    purpose: str
    owner: str
    risk: RiskTier
    artifact: Digest
    created_at: Instant
    sections: tuple[CardSection, ...]


class BadRoleKey(Conflict):
    """The key of a role is damaged, or others may read it."""


class NotAttestable(Conflict):
    """The version's records do not say how it came to be, so nothing can be attested of it."""


class AttestedMeanwhile(Conflict):
    """Another process attested the same thing first; its file holds."""


DossierId = NewType("DossierId", str)
TRUST_GIVEN = "governance.trust_given"
DOSSIER_MADE = "governance.dossier_made"


class Dossier(msgspec.Struct, frozen=True, kw_only=True):
    """A dossier that was made: of which version, its bundle as a tar archive by digest, how long it took, and how the requirements stand.

    `waiting` is missing a person, `missing` a record. `duration_s` is by the machine's clock.
    """

    id: DossierId
    team_id: TeamId
    model: ModelName
    version: int
    digest: Digest
    size_bytes: int
    made_at: Instant
    made_by: PrincipalId
    duration_s: float
    met: int
    waiting: int
    missing: int
    not_applicable: int


class NotLetThrough(Conflict):
    """The version was not approved yet, or never will be; a dossier is of a decision that was made."""


class NoSuchDossier(NotFound):
    """No dossier of that id, or none that the caller may see."""

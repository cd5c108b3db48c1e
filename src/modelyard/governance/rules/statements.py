"""in-toto statements (v1) and their predicates, as they are written and as they are read again.

Owns their form. Field names are the standards' own on the wire; readers pass over fields that they do not know.
"""

from typing import Any, TypeVar

import msgspec

from modelyard.core.digests import Digest, canonical_json
from modelyard.governance.domain import BadEnvelope

STATEMENT = "https://in-toto.io/Statement/v1"
PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"
APPROVED = "approved"
P = TypeVar("P")
Document = dict[str, Any]


class Resource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A thing with its digest (in-toto ResourceDescriptor). `digest` maps the algorithm to hexadecimal digits."""

    name: str = ""
    uri: str = ""
    digest: dict[str, str] = {}
    media_type: str = ""
    annotations: Document = {}

    @property
    def sha256(self) -> str:
        """The SHA-256, empty where there is none."""
        return self.digest.get("sha256", "")


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of the subjects, in the form that the predicate's type names."""

    type_: str = msgspec.field(name="_type", default=STATEMENT)
    subject: tuple[Resource, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: Document


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who did something: the account's id, and its name at that time."""

    id: str
    name: str = ""


class Internal(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the platform itself put into a training, beside what was asked for."""

    started_by: Actor
    risk_tier: str
    delivery: str = ""
    run: str = ""
    seed: int | None = None
    threads: int | None = None
    processor: str = ""
    python: str = ""


class BuildDefinition(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was built from what (SLSA provenance v1)."""

    build_type: str
    external_parameters: Document
    internal_parameters: Internal
    resolved_dependencies: tuple[Resource, ...]


class Builder(msgspec.Struct, frozen=True, kw_only=True):
    """Who built it."""

    id: str


class BuildMetadata(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """When it was built, under which id."""

    invocation_id: str
    started_on: str
    finished_on: str


class RunDetails(msgspec.Struct, frozen=True, kw_only=True):
    """By whom and when (SLSA provenance v1)."""

    builder: Builder
    metadata: BuildMetadata
    byproducts: tuple[Resource, ...] = ()


class Provenance(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the model was trained (SLSA provenance v1)."""

    build_definition: BuildDefinition
    run_details: RunDetails


class TestResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the model was evaluated (in-toto test-result v0.1), with the figures beside."""

    __test__ = False

    result: str
    configuration: tuple[Resource, ...]
    passed_tests: tuple[str, ...] = ()
    failed_tests: tuple[str, ...] = ()
    finished_on: str
    figures: Document = {}


class Approval(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a person decided, on which evidence. The platform signs on the person's behalf, who was logged in."""

    decision: str
    approver: Actor
    role: str
    reason: str
    started_by: Actor
    risk_tier: str
    asked_on: str
    decided_on: str
    evidence: tuple[Resource, ...]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a policy, and whether the facts met it."""

    expression: str
    passed: bool


class PolicyApproval(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a policy decided in nobody's name: the policy by digest, the facts, and each rule's outcome."""

    decision: str
    policy: Resource
    outcomes: tuple[Outcome, ...]
    facts: Document
    reason: str
    started_by: Actor
    risk_tier: str
    decided_on: str
    evidence: tuple[Resource, ...]


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The decision to let the version through (SLSA verification summary v1), and the attestations that it rests on."""

    verifier: Actor
    time_verified: str
    resource_uri: str
    policy: Resource
    input_attestations: tuple[Resource, ...]
    verification_result: str
    verified_levels: tuple[str, ...] = ()
    started_by: Actor
    risk_tier: str


class Contents(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a dossier is made of: the subjects after the model, by digest."""

    made_on: str
    generator: str


def sha256_of(digest: Digest) -> dict[str, str]:
    """A digest in in-toto's form.

    >>> sha256_of(Digest("sha256:ab"))
    {'sha256': 'ab'}
    """
    return {"sha256": digest.removeprefix("sha256:")}


def statement(subject: tuple[Resource, ...], predicate_type: str, predicate: msgspec.Struct) -> bytes:
    """The payload of an envelope: the statement as canonical JSON."""
    built = Statement(subject=subject, predicate_type=predicate_type, predicate=msgspec.to_builtins(predicate))
    return canonical_json(msgspec.to_builtins(built))


def parsed_statement(payload: bytes) -> Statement:
    """The statement in an envelope's payload. Raises BadEnvelope where it is none, or not in canonical form."""
    try:
        if canonical_json(msgspec.json.decode(payload)) != payload:
            raise BadEnvelope("the statement is not in canonical form")
        found = msgspec.json.decode(payload, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadEnvelope(f"it holds no in-toto statement: {error}") from error
    if found.type_ != STATEMENT or not found.subject:
        raise BadEnvelope(f"it is a {found.type_[:60]!r} about {len(found.subject)} subjects, expected {STATEMENT} about one or more")
    return found


def predicate_as(found: Statement, kind: type[P]) -> P:
    """The predicate as that type. Raises BadEnvelope where it lacks something."""
    try:
        return msgspec.convert(found.predicate, kind)
    except msgspec.ValidationError as error:
        raise BadEnvelope(f"its predicate is no {found.predicate_type}: {error}") from error

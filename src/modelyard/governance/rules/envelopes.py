"""DSSE envelopes over in-toto statements (secure-systems-lab/dsse, v1), signed with ECDSA over P-256 and SHA-256.

Owns the envelope and its signature. What a statement says is in `statements`.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from modelyard.core.digests import canonical_json
from modelyard.governance.domain import BadEnvelope

IN_TOTO = "application/vnd.in-toto+json"
DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
"""RFC 6979: the same statement has the same signature, so that making it again changes no byte."""


class RoleSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signature of an envelope, and which key is said to have made it."""

    sig: str
    keyid: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payload, its type and its signatures, in base64."""

    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: tuple[RoleSignature, ...]


def pre_authentication(payload: bytes) -> bytes:
    """What is signed: the payload with its type and both lengths (DSSE's pre-authentication encoding)."""
    return b" ".join((b"DSSEv1", str(len(IN_TOTO)).encode(), IN_TOTO.encode(), str(len(payload)).encode(), payload))


def public_pem(key: ec.EllipticCurvePublicKey) -> str:
    """The key as PEM, the form in which auditors keep it."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def key_id(pem: str) -> str:
    """The SHA-256 of a public key's PEM in hexadecimal: the hint by which model signatures and envelopes name it."""
    return hashlib.sha256(pem.encode()).hexdigest()


def parsed_public(pem: str) -> ec.EllipticCurvePublicKey:
    """The P-256 key in a PEM text. Raises BadEnvelope."""
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BadEnvelope(f"{pem[:40]!r} is no public key", hint="a public key is PEM text of an EC key on P-256") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadEnvelope("the public key is none on P-256", hint="use EC keys on P-256 (prime256v1)")
    return key


def signed(key: ec.EllipticCurvePrivateKey, payload: bytes) -> str:
    """The signature over `payload` as an in-toto statement, in base64."""
    return base64.b64encode(key.sign(pre_authentication(payload), DETERMINISTIC)).decode()


def sealed(key: ec.EllipticCurvePrivateKey, payload: bytes) -> bytes:
    """The envelope's file: `payload` signed by `key`. Equal payloads give equal bytes."""
    envelope = Envelope(
        payload=base64.b64encode(payload).decode(),
        payload_type=IN_TOTO,
        signatures=(RoleSignature(signed(key, payload), key_id(public_pem(key.public_key()))),),
    )
    return canonical_json(msgspec.to_builtins(envelope))


def claimed_payload(content: bytes) -> bytes:
    """The payload of an envelope's file, whoever signed it: to find out whose signature it needs. Raises BadEnvelope."""
    return decoded(_parsed(content).payload)


def opened(content: bytes, keys: Sequence[str]) -> bytes:
    """The payload of an envelope's file, where its one signature is by the one of `keys`, as PEM, that it names. Raises BadEnvelope."""
    envelope = _parsed(content)
    (signature,) = envelope.signatures
    payload = decoded(envelope.payload)
    check_signature(payload, decoded(signature.sig), signature.keyid, keys)
    return payload


def _parsed(content: bytes) -> Envelope:
    try:
        envelope = msgspec.json.decode(content, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEnvelope(f"it is no DSSE envelope: {error}") from error
    if canonical_json(msgspec.to_builtins(envelope)) != content:
        raise BadEnvelope("the envelope is not in canonical form: it was rewritten")
    if envelope.payload_type != IN_TOTO or len(envelope.signatures) != 1:
        raise BadEnvelope(f"it is no {IN_TOTO} with one signature")
    return envelope


def check_signature(payload: bytes, signature: bytes, hint: str, keys: Sequence[str]) -> None:
    """Does nothing where the one of `keys` that `hint` names signed `payload`. Raises BadEnvelope."""
    named = [key for key in map(parsed_public, keys) if key_id(public_pem(key)) == hint]
    if not named:
        raise BadEnvelope(f"it is signed by a key {hint[:12]!r} that is not trusted for this role")
    try:
        named[0].verify(signature, pre_authentication(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise BadEnvelope("the signature does not fit what it signs") from error


def decoded(text: str) -> bytes:
    """Strict base64: one text for one content. Raises BadEnvelope."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEnvelope(f"{text[:20]!r} is no base64") from error
    if base64.b64encode(content).decode() != text:
        raise BadEnvelope(f"{text[:20]!r} is no canonical base64")
    return content

"""Model signatures by OpenSSF Model Signing v1.0: an in-toto statement over every file, in a Sigstore bundle v0.3 with a bare key.

Owns that form. A model's digest is the SHA-256 over the digests of its files in the order of their paths.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from modelyard.core.digests import Digest, canonical_json
from modelyard.governance.domain import BadEnvelope
from modelyard.governance.rules.envelopes import IN_TOTO, check_signature, decoded, key_id, public_pem, signed
from modelyard.governance.rules.statements import STATEMENT, Resource, parsed_statement, predicate_as, sha256_of, statement

PREDICATE = "https://model_signing/signature/v1.0"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SHA256 = "sha256"


class SignedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file of the model: its path below the folder, and its content's digest in hexadecimal."""

    name: str
    algorithm: str
    digest: str


class Serialization(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the folder was read: file by file, and nothing left out."""

    method: str = "files"
    hash_type: str = SHA256
    allow_symlinks: bool = False
    ignore_paths: tuple[str, ...] = ()


class Signed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The predicate: every file, and how they were read."""

    serialization: Serialization
    resources: tuple[SignedFile, ...]


class _PublicKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hint: str


class _Material(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    public_key: _PublicKey
    tlog_entries: tuple[str, ...] = ()


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str = IN_TOTO
    signatures: tuple[_Signature, ...]


class _Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    media_type: str = BUNDLE
    verification_material: _Material
    dsse_envelope: _Envelope


class SignedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its signature says it: its name, its digest in hexadecimal, and its files' digests by path."""

    name: str
    digest: str
    files: dict[str, str]


def in_order(paths: Iterable[str]) -> list[str]:
    """The paths as the signature lists them: a folder's content before a file whose name begins with the folder's.

    >>> in_order(["sub.txt", "sub/b", "a"])
    ['a', 'sub/b', 'sub.txt']
    """
    return sorted(paths, key=lambda path: path.split("/"))


def model_digest(files: Mapping[str, str]) -> Digest:
    """The model's digest over its files' digests, in hexadecimal by path."""
    running = hashlib.sha256()
    for name in in_order(files):
        running.update(bytes.fromhex(files[name]))
    return Digest(f"sha256:{running.hexdigest()}")


def model_signature(key: ec.EllipticCurvePrivateKey, name: str, files: Mapping[str, str]) -> bytes:
    """The signature's file for the model `name` with these files; equal files give equal bytes."""
    resources = tuple(SignedFile(name=path, algorithm=SHA256, digest=files[path]) for path in in_order(files))
    subject = Resource(name=name, digest=sha256_of(model_digest(files)))
    payload = statement((subject,), PREDICATE, Signed(serialization=Serialization(), resources=resources))
    bundle = _Bundle(
        verification_material=_Material(public_key=_PublicKey(key_id(public_pem(key.public_key())))),
        dsse_envelope=_Envelope(payload=base64.b64encode(payload).decode(), signatures=(_Signature(signed(key, payload)),)),
    )
    return canonical_json(msgspec.to_builtins(bundle))


def opened_signature(content: bytes, keys: Sequence[str]) -> SignedModel:
    """What a signature's file says, where one of `keys`, as PEM, made it. Raises BadEnvelope.

    A signature that leaves paths out, follows links, or whose digest does not follow from its files, is none.
    """
    try:
        bundle = msgspec.json.decode(content, type=_Bundle)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadEnvelope(f"it is no Sigstore bundle with a bare key: {error}") from error
    envelope = bundle.dsse_envelope
    if canonical_json(msgspec.to_builtins(bundle)) != content:
        raise BadEnvelope("the bundle is not in canonical form: it was rewritten")
    if bundle.media_type != BUNDLE or envelope.payload_type != IN_TOTO or len(envelope.signatures) != 1:
        raise BadEnvelope(f"it is no {BUNDLE} with one signature")
    payload = decoded(envelope.payload)
    check_signature(payload, decoded(envelope.signatures[0].sig), bundle.verification_material.public_key.hint, keys)
    found = parsed_statement(payload)
    if found.predicate_type != PREDICATE or found.type_ != STATEMENT or len(found.subject) != 1:
        raise BadEnvelope(f"it says {found.predicate_type[:60]!r} of {len(found.subject)} subjects, expected {PREDICATE} of one")
    return _signed_model(found.subject[0], predicate_as(found, Signed))


def _signed_model(subject: Resource, predicate: Signed) -> SignedModel:
    if predicate.serialization != Serialization():
        raise BadEnvelope("the signature leaves paths out, follows links or reads the files in another way; it vouches for no whole model")
    files = {one.name: one.digest for one in predicate.resources}
    names = [one.name for one in predicate.resources]
    if names != in_order(set(names)) or any(one.algorithm != SHA256 or len(one.digest) != 64 for one in predicate.resources):
        raise BadEnvelope("its files are not listed once each, in order, by SHA-256")
    if not files or not _is_hex(files.values()) or sha256_of(model_digest(files))[SHA256] != subject.sha256:
        raise BadEnvelope("the model's digest does not follow from its files")
    return SignedModel(name=subject.name, digest=subject.sha256, files=files)


def _is_hex(texts: Iterable[str]) -> bool:
    return all(set(text) <= set("0123456789abcdef") for text in texts)

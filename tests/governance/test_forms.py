"""The forms of the standards: the same content gives the same bytes, and what a reader must refuse is refused."""

import base64
import hashlib
import json

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from modelyard.core.digests import canonical_json
from modelyard.governance.domain import BadBundle, BadEnvelope, BadTrust
from modelyard.governance.rules.envelopes import key_id, opened, pre_authentication, public_pem, sealed, signed
from modelyard.governance.rules.pointers import document_of, pointed
from modelyard.governance.rules.signing import model_digest, model_signature, opened_signature
from modelyard.governance.verification import parsed_trust

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = public_pem(KEY.public_key())
FILES = {"a.txt": "bb" * 32, "a/c.bin": "aa" * 32}
PAYLOAD = b'{"a":1}'


def test_what_is_signed_is_the_pre_authentication_encoding_of_dsse() -> None:
    assert pre_authentication(PAYLOAD) == b'DSSEv1 28 application/vnd.in-toto+json 7 {"a":1}'


def test_the_same_payload_has_the_same_envelope_and_any_ecdsa_verifies_it() -> None:
    content = sealed(KEY, PAYLOAD)
    assert content == sealed(KEY, PAYLOAD)
    envelope = json.loads(content)
    assert sorted(envelope) == ["payload", "payloadType", "signatures"]
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    KEY.public_key().verify(signature, pre_authentication(PAYLOAD), ec.ECDSA(hashes.SHA256()))
    assert opened(content, [PEM]) == PAYLOAD


def test_an_envelope_in_another_form_is_refused() -> None:
    content = sealed(KEY, PAYLOAD)
    found = json.loads(content)
    two = canonical_json(found | {"signatures": found["signatures"] * 2})
    for other in (content + b"\n", content.replace(b":", b": ", 1), two, canonical_json(found | {"more": 1}), b"[]"):
        with pytest.raises(BadEnvelope):
            opened(other, [PEM])


def test_only_keys_on_p256_count() -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    for key in (ec.generate_private_key(ec.SECP384R1()).public_key(), other):
        with pytest.raises(BadEnvelope, match="none on P-256"):
            opened(sealed(KEY, PAYLOAD), [public_pem(key)])  # type: ignore[arg-type]  # a wrong key on purpose


def test_a_models_digest_is_that_of_its_files_digests_in_the_order_of_their_paths() -> None:
    expected = hashlib.sha256(bytes.fromhex("aa" * 32) + bytes.fromhex("bb" * 32)).hexdigest()
    assert model_digest(FILES) == f"sha256:{expected}"


def test_a_models_signature_is_a_sigstore_bundle_with_a_bare_key() -> None:
    content = model_signature(KEY, "late/3", FILES)
    assert content == model_signature(KEY, "late/3", dict(reversed(FILES.items())))
    bundle = json.loads(content)
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": key_id(PEM)}, "tlogEntries": []}
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert [one["name"] for one in statement["predicate"]["resources"]] == ["a/c.bin", "a.txt"]
    found = opened_signature(content, [PEM])
    assert (found.name, found.files) == ("late/3", FILES)


def resigned(**changes: object) -> bytes:
    """A model's signature with a changed predicate, signed by the right key."""
    bundle = json.loads(model_signature(KEY, "late/3", FILES))
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    statement["predicate"] |= changes
    payload = canonical_json(statement)
    bundle["dsseEnvelope"] |= {"payload": base64.b64encode(payload).decode(), "signatures": [{"keyid": "", "sig": signed(KEY, payload)}]}
    return canonical_json(bundle)


SERIALIZATION = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []}
RESOURCES = [{"name": name, "algorithm": "sha256", "digest": FILES[name]} for name in ("a/c.bin", "a.txt")]
CHANGED: dict[str, dict[str, object]] = {
    "ignored path": {"serialization": SERIALIZATION | {"ignore_paths": ["a.txt"]}},
    "links": {"serialization": SERIALIZATION | {"allow_symlinks": True}},
    "shards": {"serialization": SERIALIZATION | {"method": "shards"}},
    "unknown word": {"serialization": SERIALIZATION | {"more": 1}},
    "a file less": {"resources": RESOURCES[:1]},
    "no file": {"resources": []},
    "a file twice": {"resources": [*RESOURCES, RESOURCES[1]]},
    "out of order": {"resources": RESOURCES[::-1]},
    "another algorithm": {"resources": [RESOURCES[0] | {"algorithm": "blake3"}, RESOURCES[1]]},
    "no digest": {"resources": [RESOURCES[0] | {"digest": "zz" * 32}, RESOURCES[1]]},
}


def test_a_signature_made_anew_over_the_same_holds() -> None:
    assert opened_signature(resigned(), [PEM]).files == FILES


@pytest.mark.parametrize("name", CHANGED)
def test_a_signature_that_does_not_vouch_for_the_whole_model_is_refused(name: str) -> None:
    with pytest.raises(BadEnvelope):
        opened_signature(resigned(**CHANGED[name]), [PEM])


# RFC 6901, section 5
DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8}
POINTERS = {
    "": DOCUMENT, "/foo": ["bar", "baz"], "/foo/0": "bar", "/": 0, "/a~1b": 1, "/c%d": 2, "/e^f": 3, "/g|h": 4, "/i\\j": 5, '/k"l': 6,
    "/ ": 7, "/m~0n": 8,
}  # fmt: skip


def test_pointers_lead_where_rfc_6901_says() -> None:
    assert {pointer: pointed(DOCUMENT, pointer) for pointer in POINTERS} == POINTERS
    for nowhere in ("/foo/2", "/foo/-", "/foo/00", "/foo/x", "/nothing", "/foo/0/0", "foo"):
        with pytest.raises(BadBundle):
            pointed(DOCUMENT, nowhere)


def test_pointers_lead_into_lines_and_statements() -> None:
    assert pointed(document_of("x.ndjson", b'{"a":1}\n{"a":2}\n'), "/1/a") == 2
    assert pointed(document_of("x.dsse.json", sealed(KEY, PAYLOAD)), "/a") == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_a_reader(content: bytes) -> None:
    with pytest.raises(BadEnvelope):
        opened(content, [PEM])
    with pytest.raises(BadEnvelope):
        opened_signature(content, [PEM])
    with pytest.raises(BadTrust):
        parsed_trust(content)


def test_a_trust_file_says_no_word_that_is_not_known() -> None:
    with pytest.raises(BadTrust, match="witnesses"):
        parsed_trust(msgspec.json.encode({"log": "x", "keys": {}, "witnesses": []}))

"""Signed notes (C2SP signed-note, Ed25519) and the checkpoint text inside them (C2SP tlog-checkpoint).

Owns their text forms and signatures. Where keys and checkpoints are kept is elsewhere.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from modelyard.ledger.domain import Hash, NoteInvalid

ED25519 = b"\x01"
KEY_ID_BYTES = 4
KEY_BYTES = 32
PRIVATE = "PRIVATE+KEY+"
MOST_SIGNATURES = 100
LARGEST_NOTE_CHARACTERS = 1_000_000


class VerifierKey(msgspec.Struct, frozen=True, kw_only=True):
    """A public key under its name, as auditors keep it; `text` is its one-line form, `name+id+key`."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes that tell the key in a signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:KEY_ID_BYTES]

    @property
    def text(self) -> str:
        """The key's line: name, id in hexadecimal and base64 of the algorithm byte and the key, joined by `+`."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"


class SignerKey(msgspec.Struct, frozen=True, kw_only=True):
    """A private key under its name. Its text form is a secret."""

    name: str
    seed: bytes

    def __repr__(self) -> str:
        """The name alone: a key in a log line or a traceback would be a key no more."""
        return f"SignerKey(name={self.name!r})"

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        return VerifierKey(name=self.name, public=Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    @property
    def text(self) -> str:
        """The key's line, as Go's note package writes it: `PRIVATE+KEY+name+id+seed`."""
        return f"{PRIVATE}{self.name}+{self.verifier.key_id.hex()}+{base64.b64encode(ED25519 + self.seed).decode()}"


class CheckpointText(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint's note says: whose log, how many leaves, which root."""

    origin: str
    size: int
    root: Hash


def checked_key_name(name: str) -> str:
    """`name` where a key may have it: printable, without spaces and `+`. Raises NoteInvalid."""
    if not name or "+" in name or not name.isprintable() or any(c.isspace() for c in name):
        raise NoteInvalid(f"{name[:60]!r} is no name of a key", hint="use a name like example.com/log, without spaces and '+'")
    return name


def parse_verifier_key(text: str) -> VerifierKey:
    """The public key in a line such as `name+c74f20a3+ARpc...`. Raises NoteInvalid."""
    name, key_id, public = _parse_key(text)
    key = VerifierKey(name=name, public=public)
    if key.key_id.hex() != key_id:
        raise NoteInvalid(f"the key of {name} has id {key.key_id.hex()}, its line says {key_id}", hint="copy the whole line again")
    return key


def parse_signer_key(text: str) -> SignerKey:
    """The private key in a line that begins with `PRIVATE+KEY+`. Raises NoteInvalid, which never repeats the line."""
    if not text.startswith(PRIVATE):
        raise NoteInvalid("this is no private key of a log", hint=f"such a line begins with {PRIVATE}")
    name, key_id, seed = _parse_key(text.removeprefix(PRIVATE))
    key = SignerKey(name=name, seed=seed)
    if key.verifier.key_id.hex() != key_id:
        raise NoteInvalid(f"the private key of {name} does not fit its id", hint="restore the key file from a backup")
    return key


def signed_note(text: str, key: SignerKey) -> str:
    """`text`, signed by `key`: the same bytes each time, as Ed25519 is deterministic. Raises NoteInvalid."""
    if not text.endswith("\n") or any(c < " " and c != "\n" for c in text):
        raise NoteInvalid("a note's text ends in a newline and holds no control characters", hint="sign plain text lines")
    signature = Ed25519PrivateKey.from_private_bytes(key.seed).sign(text.encode())
    return f"{text}\n\N{EM DASH} {key.name} {base64.b64encode(key.verifier.key_id + signature).decode()}\n"


def opened_note(note: str, keys: Sequence[VerifierKey]) -> str:
    """The text of `note`, where one of `keys` signed it and no signature of any of them is wrong. Raises NoteInvalid.

    Signatures by other keys are passed over, as the specification asks: witnesses may have added theirs.
    """
    text, signatures = _parsed_note(note)
    known = {(key.name, key.key_id): key for key in keys}
    verified = False
    for name, signature in signatures:
        key = known.get((name, signature[:KEY_ID_BYTES]))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature[KEY_ID_BYTES:], text.encode())
        except InvalidSignature as error:
            raise NoteInvalid(
                f"the signature of {name} does not fit the note", hint="the note was changed, or another key signed it"
            ) from error
        verified = True
    if not verified:
        raise NoteInvalid(
            f"none of the {len(keys)} trusted keys signed this note, but {', '.join(name for name, _ in signatures)[:120]}",
            hint="trust the log's public key, or do not trust the note",
        )
    return text


def checkpoint_text(origin: str, size: int, root: bytes) -> str:
    """The text that a checkpoint's note signs."""
    return f"{checked_key_name(origin)}\n{size}\n{base64.b64encode(root).decode()}\n"


def parse_checkpoint_text(text: str) -> CheckpointText:
    """Origin, size and root out of a checkpoint's text; extension lines are passed over. Raises NoteInvalid."""
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() or not all(lines):
        raise NoteInvalid(f"{text[:60]!r} is no checkpoint", hint="it has an origin, a size and a root, each on a line")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdigit()) or (size != "0" and size.startswith("0")):
        raise NoteInvalid(f"{size[:40]!r} is no size of a tree", hint="it is a decimal number without leading zeros")
    decoded = _decoded(root)
    if len(decoded) != KEY_BYTES:
        raise NoteInvalid(f"{root[:60]!r} is no root hash", hint="it is base64 of 32 bytes")
    return CheckpointText(origin=origin, size=int(size), root=Hash(decoded))


def opened_checkpoint(note: str, key: VerifierKey) -> CheckpointText:
    """What a checkpoint says, where `key` signed it under its own origin. Raises NoteInvalid."""
    found = parse_checkpoint_text(opened_note(note, [key]))
    if found.origin != key.name:
        raise NoteInvalid(f"the checkpoint is of {found.origin[:80]}, the key of {key.name}", hint="compare checkpoints of one log only")
    return found


def _parsed_note(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > LARGEST_NOTE_CHARACTERS or any(c < " " and c != "\n" for c in note):
        raise NoteInvalid("the note is too long or holds control characters", hint="it is plain text of a few lines")
    text, found, block = note.rpartition("\n\n")
    if not found or not block.endswith("\n"):
        raise NoteInvalid("the note has no signature block", hint="it follows the text after an empty line")
    signatures = []
    for line in block.removesuffix("\n").split("\n"):
        words = line.split(" ")
        if len(words) != 3 or words[0] != "\N{EM DASH}":
            raise NoteInvalid(f"{line[:60]!r} is no signature line", hint="it reads: em dash, name, base64")
        signature = _decoded(words[2])
        if len(signature) <= KEY_ID_BYTES:
            raise NoteInvalid(f"the signature of {words[1][:60]!r} is too short", hint="the note was cut")
        signatures.append((checked_key_name(words[1]), signature))
    if len(signatures) > MOST_SIGNATURES:
        raise NoteInvalid(f"the note has {len(signatures)} signatures, at most {MOST_SIGNATURES} are read", hint="drop some")
    return text + "\n", signatures


def _parse_key(text: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise NoteInvalid("this is no key of a log", hint="a key's line reads name+id+key")
    name, key_id, encoded = parts
    decoded = _decoded(encoded)
    if decoded[:1] != ED25519 or len(decoded) != 1 + KEY_BYTES:
        raise NoteInvalid(f"the key of {name[:60]!r} is no Ed25519 key", hint="only Ed25519 keys (algorithm byte 1) sign logs")
    return checked_key_name(name), key_id, decoded[1:]


def _decoded(text: str) -> bytes:
    """Strict base64: one text for one content."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content or base64.b64encode(content).decode() != text:
        raise NoteInvalid("the text is no base64", hint="copy it again, whole")
    return content

"""The log's signing key as a file of the data folder. Owns the file; the form of keys and notes is in the rules."""

import secrets
from pathlib import Path

from modelyard.core.ids import uuid7
from modelyard.ledger.domain import NoteInvalid, WrongLogKey
from modelyard.ledger.rules.note import KEY_BYTES, SignerKey, VerifierKey, checked_key_name, parse_signer_key, signed_note
from modelyard.storage.durable import put_secret

ORIGIN = "modelyard.local"


class LogKey:
    """An Ed25519 key that signs checkpoints of the log that bears its name, the origin."""

    def __init__(self, signer: SignerKey) -> None:
        self._signer = signer
        self.origin = signer.name
        self.verifier: VerifierKey = signer.verifier

    @classmethod
    def new(cls, origin: str) -> "LogKey":
        """A fresh key under `origin`."""
        return cls(SignerKey(name=checked_key_name(origin), seed=secrets.token_bytes(KEY_BYTES)))

    @classmethod
    def open(cls, path: Path, *, origin: str = "") -> "LogKey":
        """The key in the file at `path`, made at the first call, readable by its owner only.

        A new log is named `origin`, or `modelyard.local/` and a fresh installation id. Of several processes that start
        at once, one makes the key and all get it. Raises WrongLogKey where the file's log has another name, or the file
        may be read by others, and NoteInvalid where it holds no key.
        """
        if not path.exists():
            put_secret(path, cls.new(origin or f"{ORIGIN}/{uuid7().hex}")._line())
        if path.stat().st_mode & 0o077:
            raise WrongLogKey(f"others may read the log's key {path}", hint=f"chmod 600 {path}; if others had access, start a new log")
        try:
            found = cls(parse_signer_key(path.read_text("utf-8").strip()))
        except (NoteInvalid, UnicodeDecodeError) as error:
            raise NoteInvalid(f"{path} holds no key of a log", hint="restore the file from a backup") from error
        if origin and found.origin != origin:
            raise WrongLogKey(f"the key in {path} is of the log {found.origin}, expected {origin}", hint="use the key file of this log")
        return found

    def sign(self, text: str) -> str:
        """`text` as a note signed by this key."""
        return signed_note(text, self._signer)

    def __repr__(self) -> str:
        """The public half."""
        return f"LogKey({self.verifier.text})"

    def _line(self) -> bytes:
        return f"{self._signer.text}\n".encode()

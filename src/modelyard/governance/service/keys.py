"""The keys by role as files of the data folder. Owns the files; what a key may sign is in `domain`."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from modelyard.governance.domain import BadRoleKey, KeyRole
from modelyard.governance.rules.envelopes import public_pem
from modelyard.storage.durable import put_secret

Private = ec.EllipticCurvePrivateKey


class RoleKeys:
    """One key for each role. Whoever may read the folder signs for all of them; that they are several lets each be taken away alone."""

    def __init__(self, keys: dict[KeyRole, Private]) -> None:
        self._keys = keys
        self.public = {role: public_pem(key.public_key()) for role, key in keys.items()}

    @classmethod
    def open(cls, folder: Path) -> "RoleKeys":
        """The keys in `folder`, made at the first call, readable by their owner only. Raises BadRoleKey."""
        return cls({role: _opened(folder / f"{role}.pem") for role in KeyRole})

    def key(self, role: KeyRole) -> Private:
        """The private key of a role."""
        return self._keys[role]

    def __repr__(self) -> str:
        """The roles alone."""
        return f"RoleKeys({', '.join(self._keys)})"


def _opened(path: Path) -> Private:
    if not path.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        put_secret(path, fresh.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    if path.stat().st_mode & 0o077:
        raise BadRoleKey(f"others may read the key {path}", hint=f"chmod 600 {path}; if others had access, tell your auditors")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadRoleKey(f"{path} holds no key", hint="restore the file from a backup") from error
    if not isinstance(key, Private) or not isinstance(key.curve, ec.SECP256R1):
        raise BadRoleKey(f"{path} holds no EC key on P-256", hint="restore the file from a backup")
    return key

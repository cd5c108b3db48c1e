"""The tokens that this machine's own commands and gateway find in the data folder, as contributors.

Who may read the folder may use them.
"""

import contextlib
import os
from pathlib import Path

from modelyard.access.domain import EVERY_TEAM, LOCAL_COMMANDS, SYSTEM, NameIsTaken, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token
from modelyard.server.data_folder import CLI, GATEWAY
from modelyard.storage.database import Database, Transaction

LASTS = "365d"
_ACCOUNTS = {CLI: LOCAL_COMMANDS, GATEWAY: "local-gateway"}


def put_local_tokens(database: Database, folder: Path) -> None:
    """Writes the tokens that `yard` and the gateway of this machine use, readable by the folder's owner only, where they are missing."""
    for place, account in _ACCOUNTS.items():
        path = folder / place
        if not path.exists():
            _write(path, database.write(lambda tx, account=account: _made(tx, account)))  # type: ignore[misc]  # a bound default


def _write(path: Path, secret: str) -> None:
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(secret)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _made(tx: Transaction, account: str) -> str:
    with contextlib.suppress(NameIsTaken):
        create_service_account(tx, SYSTEM, account, EVERY_TEAM, Role.CONTRIBUTOR)
    order = TokenOrder(name="this machine", scopes=(Scope.ALL,), expires_in=LASTS, owner=account)
    return create_token(tx, SYSTEM, order).secret

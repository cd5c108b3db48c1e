"""The token of this machine's own commands: who may read the data folder may use it, within a contributor's rights."""

import contextlib
import os
from pathlib import Path

from modelyard.access.domain import EVERY_TEAM, SYSTEM, NameIsTaken, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token
from modelyard.storage.database import Database, Transaction

ACCOUNT = "local-commands"
PATH = Path("keys", "cli.token")
LASTS = "365d"


def put_local_token(database: Database, folder: Path) -> None:
    """Writes the token that `yard` uses on this machine, readable by the folder's owner only, unless it is there."""
    path = folder / PATH
    if path.exists():
        return
    secret = database.write(_made)
    partial = path.with_suffix(".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(secret)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _made(tx: Transaction) -> str:
    with contextlib.suppress(NameIsTaken):
        create_service_account(tx, SYSTEM, ACCOUNT, EVERY_TEAM, Role.CONTRIBUTOR)
    order = TokenOrder(name="commands of this machine", scopes=(Scope.ALL,), expires_in=LASTS, owner=ACCOUNT)
    return create_token(tx, SYSTEM, order).secret

"""What this machine's own commands and gateway find in the data folder: their tokens, as contributors, and where the roles answer.

Who may read the folder may use them.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from modelyard.access.domain import EVERY_TEAM, LOCAL_COMMANDS, SYSTEM, NameIsTaken, Role, Scope, TokenOrder
from modelyard.access.service import create_service_account, create_token
from modelyard.core.settings import Settings
from modelyard.storage.database import Database, Transaction

CLI = Path("keys", "cli.token")
GATEWAY = Path("keys", "gateway.token")
ADDRESSES = Path("addresses.json")
LASTS = "365d"
_ACCOUNTS = {CLI: LOCAL_COMMANDS, GATEWAY: "local-gateway"}


def put_local_tokens(database: Database, folder: Path) -> None:
    """Writes the tokens that `yard` and the gateway of this machine use, readable by the folder's owner only, where they are missing."""
    for place, account in _ACCOUNTS.items():
        path = folder / place
        if not path.exists():
            _write(path, database.write(lambda tx, account=account: _made(tx, account)))  # type: ignore[misc]  # a bound default


def put_addresses(settings: Settings) -> None:
    """Notes in the data folder where server and gateway answer this machine, for commands that are called in its project."""
    server, gateway = near_url(settings.server.host, settings.server.port), near_url(settings.gateway.host, settings.gateway.port)
    path = settings.folder / ADDRESSES
    path.with_suffix(".partial").write_bytes(msgspec.json.encode({"server": server, "gateway": gateway}))
    path.with_suffix(".partial").replace(path)


def noted_addresses(settings: Settings) -> tuple[str, str]:
    """Where server and gateway were last started on this folder, else where the settings say."""
    noted = settings.folder / ADDRESSES
    if noted.is_file():
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            found = msgspec.json.decode(noted.read_bytes(), type=dict[str, str])
            return found.get("server", ""), found.get("gateway", "")
    return near_url(settings.server.host, settings.server.port), near_url(settings.gateway.host, settings.gateway.port)


def near_url(host: str, port: int) -> str:
    """Where this machine reaches a role that is bound to `host` and `port`.

    >>> near_url("0.0.0.0", 7700), near_url("::1", 7700)
    ('http://127.0.0.1:7700', 'http://[::1]:7700')
    """
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    return f"http://[{near}]:{port}" if ":" in near and not near.startswith("[") else f"http://{near}:{port}"


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

"""The data folder before anything is open in it: that it can be one, where its roles answer this machine, where its
tokens lie. Reads no database."""

import contextlib
from pathlib import Path

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.core.settings import Settings

ADDRESSES = Path("addresses.json")
CLI = Path("keys", "cli.token")
GATEWAY = Path("keys", "gateway.token")


def check_folder(folder: Path) -> None:
    """Makes the data folder, readable by its owner only. Raises InvalidInput where it cannot be one."""
    try:
        for path in (folder, folder / "keys"):
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be a data folder: {error.strerror}", hint="name another one with --data") from error


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

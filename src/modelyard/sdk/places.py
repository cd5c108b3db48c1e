"""Where servers and data folders are found, and whose token goes where: the environment, the file of logins, a folder's own notes."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from modelyard.core.errors import InvalidInput

DEFAULT_URL = "http://127.0.0.1:7700"
DEFAULT_GATEWAY_URL = "http://127.0.0.1:7701"
DATA = ".yard"
LOCAL_TOKEN = "keys/cli.token"  # noqa: S105 - a path, not a secret
ADDRESSES = "addresses.json"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the roles of a data folder answered when they were last started."""

    server: str = DEFAULT_URL
    gateway: str = DEFAULT_GATEWAY_URL


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """The user's logins: a token by the server's address, and the address that was logged in to last."""

    last: str = ""
    tokens: dict[str, str] = {}


def same_url(url: str) -> str:
    """`url` as logins are kept under it. Raises InvalidInput where it is no address of a server.

    >>> same_url("https://Yard.example.com/")
    'https://yard.example.com'
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise InvalidInput(
            f"{url[:80]!r} is no address of a server", hint="write it like https://yard.example.com or http://127.0.0.1:7700"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def read_logins() -> Logins:
    """The user's logins; none where the file is missing. Raises InvalidInput where it cannot be read."""
    path = logins_path()
    if not path.exists():
        return Logins()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Logins)
    except (OSError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"the logins in {path} cannot be read: {error}", hint="delete the file and log in again") from error


def logins_path() -> Path:
    """The file of logins in the user's configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "modelyard" / "logins.json"


def noted_addresses(folder: Path | None) -> Addresses | None:
    """Where the roles of a data folder were last started, on this machine."""
    path = folder / ADDRESSES if folder else None
    if path is None or not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Addresses)
    except (OSError, msgspec.MsgspecError):
        return None
    # A folder that came from elsewhere must not send anybody's token away.
    return found if all(urlsplit(url).hostname in LOOPBACK for url in (found.server, found.gateway)) else None


def near_data_folder(start: Path) -> Path | None:
    """The nearest data folder from `start` upward."""
    return next((one / DATA for one in (start, *start.parents) if (one / DATA / "keys").is_dir()), None)

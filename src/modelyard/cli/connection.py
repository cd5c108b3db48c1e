"""Which server the commands talk to, and as whom. Owns where addresses and tokens are looked up, and the file of logins."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from modelyard.core.errors import InvalidInput
from modelyard.sdk.client import Client

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


def connected() -> Client:
    """A client of the server at `server_url`, with the token for it."""
    url = server_url()
    return Client(url, token_for(url))


def server_url() -> str:
    """`MODELYARD_URL`, else the server of the nearest data folder upward, else the last login's, else this machine's."""
    named = os.environ.get("MODELYARD_URL", "")
    if named:
        return same_url(named)
    near = _addresses()
    return near.server if near else (read_logins().last or DEFAULT_URL)


def gateway_url() -> str:
    """`MODELYARD_GATEWAY_URL`, else the gateway of the nearest data folder upward, else port 7701 beside the server."""
    named = os.environ.get("MODELYARD_GATEWAY_URL", "")
    if named:
        return same_url(named)
    server, near = urlsplit(server_url()), _addresses()
    if near and urlsplit(near.server).netloc == server.netloc:
        return near.gateway
    host = f"[{server.hostname}]" if ":" in (server.hostname or "") else server.hostname
    return f"{server.scheme}://{host}:7701"


def token_for(url: str) -> str:
    """`MODELYARD_TOKEN`, else the token of a login there, else for this machine's server the nearest data folder's own."""
    given = os.environ.get("MODELYARD_TOKEN") or read_logins().tokens.get(same_url(url), "")
    return given or local_token(url, LOCAL_TOKEN)


def local_token(url: str, place: str) -> str:
    """A token of the nearest data folder upward, for a server of this machine only: whoever may read it owns the folder."""
    folder = data_folder() if urlsplit(url).hostname in LOOPBACK else None
    found = folder / place if folder else None
    return found.read_text("utf-8").strip() if found and found.is_file() else ""


def data_folder() -> Path | None:
    """The nearest data folder from the working directory upward."""
    return next((one / DATA for one in (Path.cwd(), *Path.cwd().parents) if (one / DATA / "keys").is_dir()), None)


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


def put_logins(logins: Logins) -> Path:
    """Writes the user's logins, readable by the user alone, and returns where."""
    path = logins_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(msgspec.json.format(msgspec.json.encode(logins)))
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
    return path


def logins_path() -> Path:
    """The file of logins in the user's configuration folder."""
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "modelyard" / "logins.json"


def _addresses() -> Addresses | None:
    folder = data_folder()
    path = folder / ADDRESSES if folder else None
    if path is None or not path.is_file():
        return None
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Addresses)
    except (OSError, msgspec.MsgspecError):
        return None
    # A folder that came from elsewhere must not send anybody's token away.
    return found if all(urlsplit(url).hostname in LOOPBACK for url in (found.server, found.gateway)) else None

"""Which server the commands talk to, and as whom. Owns which of the places comes first; where they are is in `sdk.places`."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from modelyard.sdk.client import Client
from modelyard.sdk.places import (
    DEFAULT_URL,
    LOCAL_TOKEN,
    LOOPBACK,
    Addresses,
    Logins,
    logins_path,
    near_data_folder,
    noted_addresses,
    read_logins,
    same_url,
)


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
    return near_data_folder(Path.cwd())


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


def _addresses() -> Addresses | None:
    return noted_addresses(data_folder())

"""Which server the commands talk to, and as whom. Owns where the address and the token are looked up."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from modelyard.sdk.client import Client

DEFAULT_URL = "http://127.0.0.1:7700"
LOCAL_TOKEN = "keys/cli.token"  # noqa: S105 - a path, not a secret


def connected() -> Client:
    """A client of `MODELYARD_URL`, or of this machine's server, with `MODELYARD_TOKEN` or the local data folder's token."""
    url = os.environ.get("MODELYARD_URL", DEFAULT_URL)
    return Client(url, os.environ.get("MODELYARD_TOKEN") or _local_token(url))


def _local_token(url: str) -> str:
    """The token of the nearest data folder upward, for a server of this machine only: whoever may read it owns the folder."""
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        return ""
    for folder in (Path.cwd(), *Path.cwd().parents):
        found = folder / ".yard" / LOCAL_TOKEN
        if found.is_file():
            return found.read_text("utf-8").strip()
    return ""

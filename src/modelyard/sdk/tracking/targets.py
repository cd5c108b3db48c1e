"""Where a run is logged: the folder that holds its spool, and the server that takes it in. Owns who gets which token; sends nothing."""

import contextlib
import fcntl
import os
import sys
from pathlib import Path

import msgspec

from modelyard.core.settings import FILE
from modelyard.sdk.client import Client
from modelyard.sdk.places import DATA, LOCAL_TOKEN, near_data_folder, noted_addresses, read_logins, same_url
from modelyard.sdk.tracking.sending import Receiver, Remote
from modelyard.sdk.tracking.spool import SPOOLS, Head


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A data folder, and the address of a server elsewhere; without one, the folder's own server is meant."""

    data: Path
    url: str = ""

    @property
    def spools(self) -> Path:
        """The folder of spools."""
        return self.data / SPOOLS

    @property
    def shown(self) -> str:
        """Where it logs, for people."""
        return self.url or running_server(self.data) or f"{self.data} (yard up shows it)"

    def page_of(self, run_id: str) -> str:
        """The page of a run; empty where no server shows it now."""
        server = self.url or running_server(self.data)
        return f"{server}/runs/{run_id}" if server else ""

    def tell_left(self, name: str) -> None:
        """Says that a run's spool was not taken in whole yet."""
        how = "yard sync delivers it" if self.url else "yard up takes it in"
        sys.stderr.write(f"modelyard: run {name} waits in {self.spools}: {how}\n")


def target_of(folder: Path, url: str = "") -> Target:
    """Where a process at `folder` logs: to `url`, else `MODELYARD_URL`, else to the data folder of its project."""
    named = url or os.environ.get("MODELYARD_URL", "")
    return Target(data=data_folder_of(folder), url=same_url(named) if named else "")


def data_folder_of(folder: Path) -> Path:
    """`MODELYARD_DATA`, else `.yard` beside the nearest `modelyard.toml` upward, else the nearest data folder, else `.yard` right here."""
    given = os.environ.get("MODELYARD_DATA", "")
    if given:
        return Path(given).absolute()
    above = (folder.absolute(), *folder.absolute().parents)
    project = next((one for one in above if (one / FILE).is_file()), None)
    return project / DATA if project else near_data_folder(folder.absolute()) or folder.absolute() / DATA


def receiver_of(target: Target, head: Head) -> tuple[Client, Receiver] | None:
    """Who takes the spool in, and the client to close; None where no server runs on the spool's own folder."""
    if head.url:
        client = Client(head.url, _token(target, head.url))
    else:
        url = running_server(target.data)
        if not url:
            return None
        # Beside MODELYARD_URL the environment's token is for that server, and not for whoever a folder says answers here.
        given = "" if target.url else os.environ.get("MODELYARD_TOKEN", "")
        client = Client(url, given or _local_token(target.data))
    return client, Remote(client)


def running_server(data: Path) -> str:
    """Where the server of a data folder answers; empty where none runs there by what the folder notes."""
    found = noted_addresses(data)
    if found is None:
        return ""
    # An address alone would outlive its server, and somebody else's may answer there by now.
    return found.server if _is_held(data / "locks" / "server.lock") else ""


def _is_held(lock: Path) -> bool:
    """Whether the process that the lock names is there and holds it: its number alone may be another process's by now.

    The lock is tried only where there is such a process, so that it is not in the way of a server that starts.
    """
    with contextlib.suppress(OSError, ValueError), lock.open() as stream:
        with contextlib.suppress(PermissionError):  # it is there, and another account's
            os.kill(int(stream.read(20)), 0)
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_trusted(target: Target, head: Head) -> bool:
    """Whether the spool goes where this process was told to log, to the folder's own server, or where the user has logged in.

    A spool that came with a folder from elsewhere must not send anybody's token away.
    """
    return head.url in ("", target.url) or head.url in read_logins().tokens


def _token(target: Target, url: str) -> str:
    given = os.environ.get("MODELYARD_TOKEN", "") if url == target.url else ""
    return given or read_logins().tokens.get(url, "")


def _local_token(data: Path) -> str:
    path = data / LOCAL_TOKEN
    with contextlib.suppress(OSError):
        return path.read_text("utf-8").strip()
    return ""

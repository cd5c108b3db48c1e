"""What roles share at their start: who may be let in without a login, their clean end, the line that says they are ready."""

import os
import signal
import sys

import msgspec

from modelyard.access.rules import is_loopback
from modelyard.core.errors import Kind, ModelyardError
from modelyard.core.processes import PARENT
from modelyard.core.settings import Settings


class LoginNeeded(ModelyardError):
    """Without logins the server is bound to this machine only."""

    kind = Kind.FORBIDDEN


def check_login(settings: Settings, *hosts: str) -> None:
    """Raises LoginNeeded where nobody is asked who they are at an address that others reach."""
    exposed = [host for host in hosts if not is_loopback(host)]
    if not settings.login and exposed:
        raise LoginNeeded(f"--no-login with {exposed[0]} would let anyone in", hint="bind to 127.0.0.1, or leave out --no-login")


def ends_when_told() -> None:
    """Has SIGTERM end this process from within, so that what is open is closed: the HTTP server raises it again once it has stopped."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))


def say_bound(where: str, *, as_json: bool) -> None:
    """Says that a role takes requests, or work, from now on, unless `yard up` started it and says so for all."""
    if PARENT not in os.environ:
        say(msgspec.json.encode({"ready": where}).decode() if as_json else f"ready {where}")


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

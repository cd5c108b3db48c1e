"""This machine's gateway, spoken to through the door in its folder: for a rollback while the control plane is away.

Owns the way there. Whoever may not open the data folder may not.
"""

import socket
from pathlib import Path

import msgspec

from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.registry.domain import ModelName
from modelyard.sdk.transport import RemoteError
from modelyard.serving.domain import RevisionDetail
from modelyard.serving.gateway.door import FOLDER, Told, reached
from modelyard.serving.gateway.own import LocalRollback

LONGEST_S = 60.0


class NoGatewayHere(ModelyardError):
    """No gateway runs on the data folder."""

    kind = Kind.UNREACHABLE


class NotYourFolder(ModelyardError):
    """The data folder, and so its gateway, belongs to somebody else."""

    kind = Kind.FORBIDDEN


def rolled_back_locally(folder: Path | None, model: ModelName, to: int | None, why: str) -> RevisionDetail:
    """The revision that the folder's gateway serves under from now on. Raises NoGatewayHere, NotYourFolder, and what the gateway says."""
    if folder is None:
        raise InvalidInput("there is no data folder here", hint="call it where the gateway's .yard is, or name the folder: --data DIR")
    order = LocalRollback(model=model, to=to, why=why)
    told = _asked(folder / FOLDER, msgspec.json.encode(order) + b"\n")
    if told.done is not None:
        return told.done
    assert told.error is not None
    raise RemoteError(told.error, told.kind)


def _asked(folder: Path, line: bytes) -> Told:
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door, reached(folder) as path:
            door.settimeout(LONGEST_S)
            door.connect(path)
            door.sendall(line)
            return msgspec.json.decode(b"".join(iter(lambda: door.recv(65_536), b"")), type=Told)
    except PermissionError as error:
        raise NotYourFolder(f"{folder} may not be opened: {error.strerror}", hint="call it as the account that runs the gateway") from error
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NoGatewayHere(f"no gateway runs on {folder.parent}; nothing is changed", hint="start it: yard gateway") from error
    except (OSError, msgspec.DecodeError) as error:
        raise NoGatewayHere(
            f"the gateway on {folder.parent} gave no answer: {error}", hint="its log says why; yard rollback --local may be repeated"
        ) from error

"""How a gateway hears from the control plane: over HTTP, or from a file that somebody puts there. Owns one exchange."""

from pathlib import Path
from typing import Protocol

import httpx
import msgspec

from modelyard.core.errors import Kind, ModelyardError
from modelyard.serving.domain import Assignment, Heartbeat

TIMEOUT_S = 5.0


class ControlUnreachable(ModelyardError):
    """The control plane does not answer, or not as expected."""

    kind = Kind.UNREACHABLE


class ControlLink(Protocol):
    """Where assignments come from. Calls are made from one thread at a time."""

    def exchange(self, heartbeat: Heartbeat) -> Assignment:
        """The assignment that answers a heartbeat. Raises ControlUnreachable."""
        ...

    def close(self) -> None:
        """Gives back what the link holds."""
        ...


class HttpLink:
    """The control plane at a URL, asked with the gateway's own token."""

    def __init__(self, url: str, gateway: str, token: str) -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._client = httpx.Client(
            base_url=url, headers=headers | {"content-type": "application/json"}, timeout=TIMEOUT_S, trust_env=False
        )
        self._path = f"/api/v1/gateways/{gateway}/heartbeat"

    def exchange(self, heartbeat: Heartbeat) -> Assignment:
        """The assignment that answers a heartbeat. Raises ControlUnreachable."""
        try:
            answer = self._client.post(self._path, content=msgspec.json.encode(heartbeat))
        except httpx.HTTPError as error:
            raise ControlUnreachable(f"the control plane does not answer: {error}", hint="start it: yard server") from error
        if answer.status_code != 200:
            raise ControlUnreachable(
                f"the control plane answered {answer.status_code}: {answer.text[:200]}",
                hint="check the gateway's token and the server's log",
            )
        return _decoded(answer.content, "the control plane")

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


class FileLink:
    """A file that holds the assignment, for a gateway without a control plane; read anew at each exchange."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exchange(self, heartbeat: Heartbeat) -> Assignment:
        """The file's assignment; the heartbeat reaches nobody. Raises ControlUnreachable."""
        try:
            return _decoded(self._path.read_bytes(), str(self._path))
        except OSError as error:
            raise ControlUnreachable(f"no assignment can be read from {self._path}: {error}", hint="put one there") from error

    def close(self) -> None:
        """Holds nothing."""


def _decoded(content: bytes, where: str) -> Assignment:
    try:
        return msgspec.json.decode(content, type=Assignment)
    except msgspec.DecodeError as error:
        raise ControlUnreachable(f"{where} sent no assignment: {error}", hint="upgrade gateway and server together") from error

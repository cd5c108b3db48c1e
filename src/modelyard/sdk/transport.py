"""How the client reaches a server: addresses, the token, errors. The operations themselves are generated, in `_client`."""

import contextlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from modelyard.core.errors import ErrorBody, Kind, ModelyardError, kind_of

T = TypeVar("T")
API = "/api/v1"
TIMEOUT_S = 60.0
CHUNK_BYTES = 1 << 20


class Unreachable(ModelyardError):
    """No server answers there."""

    kind = Kind.UNREACHABLE


class RemoteError(ModelyardError):
    """An error as the server told it: its code, message and hint are the server's."""

    def __init__(self, body: ErrorBody, kind: Kind) -> None:
        super().__init__(body.message, hint=body.hint)
        self._code = body.code
        self.kind = kind  # type: ignore[misc]  # the one error whose kind comes from outside

    @property
    def code(self) -> str:
        """The server's code."""
        return self._code


class Failure(msgspec.Struct, frozen=True):
    """The one JSON shape of errors."""

    error: ErrorBody


class MlflowFailure(msgspec.Struct, frozen=True):
    """The JSON shape of errors on the paths of MLflow's interface."""

    error_code: str
    message: str


class Transport:
    """A connection to a server at `url`, with a token where it asks for one. Use it as a context, or close it."""

    def __init__(self, url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def call(self, method: str, path: str, wire: Mapping[str, Any], result: Any) -> Any:
        """The answer of an operation as `result`; `wire` holds `path`, `query` and `body`. Raises RemoteError, Unreachable."""
        filled = path.format(**{name: quote(str(value), safe="") for name, value in wire.get("path", {}).items()})
        query = {name: _text(value) for name, value in wire.get("query", {}).items() if value is not None}
        body = msgspec.json.encode(wire["body"]) if "body" in wire else None
        answer = self.send(method, API + filled, content=body, query=query, headers={"Content-Type": "application/json"})
        try:
            return None if result is None else msgspec.json.decode(answer, type=result)
        except msgspec.MsgspecError as error:  # a proxy's page, or a server of another kind
            raise Unreachable(f"{self.url} answers otherwise than a Modelyard server: {error}", hint="is the address right?") from error

    def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """The body of the answer to a raw request. Raises RemoteError and Unreachable."""
        answer = self.reached(method, path, params=query, content=content, headers=dict(headers or {}))
        if answer.is_success:
            return answer.content
        raise told(answer)

    @contextlib.contextmanager
    def streamed(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer in chunks, while the block runs. Raises RemoteError and Unreachable."""
        try:
            with self._http.stream("GET", path, params=query, headers={"Accept-Encoding": "identity"}) as answer:
                if not answer.is_success:
                    answer.read()
                    raise told(answer)
                yield answer.iter_bytes(CHUNK_BYTES)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.url} does not answer: {error}", hint="start it with yard up, or set MODELYARD_URL") from error

    def send_stream(self, method: str, path: str, stream: BinaryIO) -> None:
        """Sends a file's content in pieces. Raises RemoteError and Unreachable."""
        answer = self.reached(method, path, content=stream, headers={"Content-Type": "application/octet-stream"})
        if not answer.is_success:
            raise told(answer)

    def reached(self, method: str, path: str, **given: Any) -> httpx.Response:
        """Whatever a request is answered with; `given` goes to the HTTP library. Raises Unreachable."""
        try:
            return self._http.request(method, path, **given)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.url} does not answer: {error}", hint="start it with yard up, or set MODELYARD_URL") from error


def told(answer: httpx.Response) -> RemoteError:
    """The error that an answer tells."""
    try:
        body = msgspec.json.decode(answer.content, type=Failure).error
    except msgspec.MsgspecError:
        body = _told_to_mlflow(answer)
    return RemoteError(body, body.kind or kind_of(answer.status_code))


def _told_to_mlflow(answer: httpx.Response) -> ErrorBody:
    """An error in the shape of MLflow's interface, or one of no shape that is known."""
    try:
        told = msgspec.json.decode(answer.content, type=MlflowFailure)
        return ErrorBody(code=told.error_code.lower(), message=told.message)
    except msgspec.MsgspecError:
        message = answer.text[:300] or answer.reason_phrase
        return ErrorBody(code=f"http_{answer.status_code}", message=message, hint="is this a Modelyard server?")


def _text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_text(one) for one in value]
    built = msgspec.to_builtins(value)
    return str(built).lower() if isinstance(built, bool) else built

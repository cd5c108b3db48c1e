"""How a server that may be anything is asked: bounded answers, no redirect followed, tries again where that makes sense.

Owns the connection; knows nothing of what is asked for.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import httpx
import msgspec

from modelyard.moving.domain import SourceOdd, SourceRefuses, SourceUnreachable

T = TypeVar("T")
TIMEOUT_S = 60.0
LARGEST_ANSWER = 256 << 20
TRIES = 4
PAUSE_S = 0.5
PASSING = frozenset({429, 502, 503, 504})
CHUNK_BYTES = 1 << 20


class SourceFailed(SourceOdd):
    """The server answered with an error; `status` is its HTTP status."""

    status: int = 0


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """How a caller says who it is: a token, or name and password, or neither."""

    token: str = ""
    name: str = ""
    password: str = ""


class Reached:
    """A connection to a server at `url`."""

    def __init__(self, url: str, login: Login) -> None:
        headers = {"Authorization": f"Bearer {login.token}"} if login.token else {}
        auth = httpx.BasicAuth(login.name, login.password) if login.name and not login.token else None
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, auth=auth, timeout=TIMEOUT_S, trust_env=False)

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def asked(self, method: str, path: str, kind: type[T], *, query: Mapping[str, Any] | None = None, body: Any = None) -> T:
        """The answer as `kind`. Raises SourceFailed, SourceOdd, SourceRefuses, SourceUnreachable."""
        content = None if body is None else msgspec.json.encode(body)
        for attempt in range(TRIES):
            try:
                with self._http.stream(
                    method, path, params=query, content=content, headers={"Content-Type": "application/json"} if content else {}
                ) as answer:
                    if answer.status_code not in PASSING or attempt + 1 == TRIES:
                        return _decoded(path, _whole(self.url, path, answer), kind)
            except httpx.HTTPError as error:
                if attempt + 1 == TRIES:
                    raise self._away(error) from error
            time.sleep(PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises

    @contextlib.contextmanager
    def streamed(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer in chunks, while the block runs. Raises as `asked` does."""
        try:
            with self._http.stream("GET", path, params=query, headers={"Accept-Encoding": "identity"}) as answer:
                _check(self.url, path, answer)
                yield answer.iter_bytes(CHUNK_BYTES)
        except httpx.HTTPError as error:
            raise self._away(error) from error

    def _away(self, error: httpx.HTTPError) -> SourceUnreachable:
        said = str(error) or type(error).__name__
        return SourceUnreachable(f"{self.url} does not answer: {said}", hint="is the address right, and the server up?")


def _check(url: str, path: str, answer: httpx.Response) -> None:
    if answer.status_code in (401, 403):
        raise SourceRefuses(
            f"{url} refuses the caller ({answer.status_code})",
            hint="set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        )
    if not answer.is_success:
        content = b"".join(part for part, _ in zip(answer.iter_bytes(4096), range(1), strict=False))
        failed = SourceFailed(
            f"{url} answers {answer.status_code} to {path}: {content[:200].decode(errors='replace')!r}",
            hint="is that the address of an MLflow server?",
        )
        failed.status = answer.status_code
        raise failed


def _whole(url: str, path: str, answer: httpx.Response) -> bytes:
    _check(url, path, answer)
    content = bytearray()
    for part in answer.iter_bytes():
        content += part
        if len(content) > LARGEST_ANSWER:
            raise SourceOdd(f"{url} answers {path} with more than {LARGEST_ANSWER} bytes", hint="no MLflow server does")
    return bytes(content)


def _decoded(path: str, content: bytes, kind: type[T]) -> T:
    try:
        try:
            return msgspec.json.decode(content, type=kind, strict=False)
        except msgspec.DecodeError:
            # Older servers write NaN as the token that JSON does not have.
            return msgspec.convert(json.loads(content), kind, strict=False)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise SourceOdd(
            f"the answer to {path} is not MLflow's: {str(error)[:200]}", hint="is that the address of an MLflow server?"
        ) from error

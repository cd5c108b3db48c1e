"""The client that people and commands use: every operation as a method, and uploads beside them."""

import contextlib
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import msgspec

from modelyard.access.domain import NewToken, Scope, TokenOrder
from modelyard.access.rules import COOKIE, CSRF_HEADER, csrf_token
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput, Kind, ModelyardError
from modelyard.sdk._client import Client as Operations
from modelyard.sdk.transport import told


class WrongLogin(ModelyardError):
    """The server did not take the name and password."""

    kind = Kind.UNAUTHENTICATED


class Client(Operations):
    """A server's operations as methods.

    The methods are generated from the server's own functions; see `/docs` of a running server for the same list.
    """

    def upload_source(self, archive: bytes) -> Digest:
        """Stores a project's source archive on the server; equal content is stored once."""
        answer = self.send("PUT", "/api/v1/sources", content=archive, headers={"Content-Type": "application/x-tar"})
        return Digest(answer.decode())

    def join_features(self, feature_set: str, as_of: str, labels: bytes) -> bytes:
        """The label rows of a Parquet file with the set's features as they were visible at each row's instant in `as_of`, as Parquet."""
        path = f"/api/v1/feature-sets/{quote(feature_set, safe='')}/join"
        return self.send("POST", path, content=labels, query={"as_of": as_of}, headers={"Content-Type": "application/vnd.apache.parquet"})

    def download_dossier(self, dossier: str) -> bytes:
        """The bundle of a dossier, as a tar archive."""
        return self.send("GET", f"/api/v1/dossiers/{quote(dossier, safe='')}/bundle", content=None)

    def upload_artifact(self, artifact_uri: str, path: str, chunks: Iterator[bytes]) -> None:
        """Stores the chunks as the file at `path` of the run or logged model whose artifacts lie at `artifact_uri`, in flat memory."""
        answer = self.reached("PUT", _proxied(artifact_uri, path), content=chunks)
        if not answer.is_success:
            raise told(answer)

    @contextlib.contextmanager
    def open_artifact(self, artifact_uri: str, path: str) -> Iterator[Iterator[bytes]]:
        """The content of a run's or logged model's file in chunks, while the block runs."""
        with self.streamed(_proxied(artifact_uri, path)) as chunks:
            yield chunks

    @contextlib.contextmanager
    def open_version_file(self, model: str, version: int, path: str) -> Iterator[Iterator[bytes]]:
        """The content of a file of a version in chunks, while the block runs."""
        with self.streamed(f"/api/v1/models/{quote(model, safe='')}/versions/{version}/content", {"path": path}) as chunks:
            yield chunks

    def log_in(self, name: str, password: str, called: str, expires_in: str) -> str:
        """A new token of the account `name`, named `called`, made with its password; the browser's session for it ends at once.

        Raises WrongLogin, RemoteError, Unreachable.
        """
        answer = self.reached("POST", "/login", data={"name": name, "password": password})
        session = answer.cookies.get(COOKIE, "")
        if answer.status_code != httpx.codes.SEE_OTHER or not session:
            wait = answer.headers.get("Retry-After", "")
            if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                raise WrongLogin(f"too many logins of {name} failed", hint=f"try again in {wait or 'a few'} s")
            raise WrongLogin("name and password do not belong together", hint="or log in with a token: yard login")
        order = TokenOrder(name=called, scopes=(Scope.ALL,), expires_in=expires_in)
        proof = {"Content-Type": "application/json", "Cookie": f"{COOKIE}={session}", CSRF_HEADER: csrf_token(session)}
        made = msgspec.json.decode(self.send("POST", "/api/v1/tokens", content=msgspec.json.encode(order), headers=proof), type=NewToken)
        self.reached("POST", "/logout", data={"csrf": csrf_token(session)}, headers={"Cookie": f"{COOKIE}={session}"})
        return made.secret


def _proxied(artifact_uri: str, path: str) -> str:
    """Where MLflow's artifact proxy keeps a file. Raises InvalidInput for an address that is not the proxy's."""
    scheme, _, below = artifact_uri.partition(":")
    if scheme != "mlflow-artifacts":
        raise InvalidInput(f"files at {artifact_uri[:120]!r} are not kept by the server", hint="only mlflow-artifacts:/... is")
    return f"/api/2.0/mlflow-artifacts/artifacts/{quote(below.strip('/'))}/{quote(path)}"

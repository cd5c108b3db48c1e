"""The client that people and commands use: every operation as a method, and uploads beside them."""

from urllib.parse import quote

import httpx
import msgspec

from modelyard.access.domain import NewToken, Scope, TokenOrder
from modelyard.access.rules import COOKIE, CSRF_HEADER, csrf_token
from modelyard.core.digests import Digest
from modelyard.core.errors import Kind, ModelyardError
from modelyard.sdk._client import Client as Operations


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

"""The client that people and commands use: every operation as a method, and uploads beside them."""

from modelyard.core.digests import Digest
from modelyard.sdk._client import Client as Operations


class Client(Operations):
    """A server's operations as methods.

    The methods are generated from the server's own functions; see `/docs` of a running server for the same list.
    """

    def upload_source(self, archive: bytes) -> Digest:
        """Stores a project's source archive on the server; equal content is stored once."""
        answer = self.send("PUT", "/api/v1/sources", content=archive, headers={"Content-Type": "application/x-tar"})
        return Digest(answer.decode())

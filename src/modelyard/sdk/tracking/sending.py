"""Sends what spools hold to a server, in order: each batch until it is taken or refused. Owns what is tried again; knows no thread."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import msgspec

from modelyard.core.errors import ErrorBody, Kind, ModelyardError
from modelyard.sdk.client import Client
from modelyard.sdk.tracking.leftovers import SetAside, SpoolReader
from modelyard.sdk.tracking.spool import CONTENT, FILES, Head, Spooled
from modelyard.sdk.transport import RemoteError
from modelyard.tracking.rules.paths import checked_path
from modelyard.tracking.spooled import File, Resumed, SpooledBatch, Started

LOG = logging.getLogger("modelyard")
PASSING = frozenset({Kind.UNREACHABLE, Kind.THROTTLED, Kind.OVERLOADED, Kind.INTERNAL, Kind.UNAUTHENTICATED})
"""Kinds of errors after which the same batch is sent again."""

TRIES_TO_RESUME = 8
"""How often a run that is resumed is waited for; the tries are up to five seconds apart."""

_OF_THE_RUN = ("no_such_run", "not_active", "not_allowed")
"""Refusals of whatever goes to the run: it was deleted, a server was restored from before it, its writer lost the role."""

_NOT_OURS = ("not_found", "method_not_allowed", "endpoint_not_found", "bad_origin")
_SCHEME = "mlflow-artifacts:/"


class Receiver(Protocol):
    """Who takes batches in: a server over HTTP, or its own services."""

    def take(self, head: Head, batch: Spooled) -> None:
        """Takes a batch in, once. Raises ModelyardError, with the code `content_missing` where `put_file` is to come first."""
        ...

    def put_file(self, head: Head, file: File, path: Path) -> None:
        """Takes an artifact's content in. Raises ModelyardError."""
        ...


class ArtifactNotSent(ModelyardError):
    """An artifact that cannot be sent: its place is on no server of ours, or its content is not in the spool."""

    kind = Kind.CONFLICT


class Remote:
    """A server over HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def take(self, head: Head, batch: Spooled) -> None:
        """Sends a batch."""
        self._client.deliver_batch(head.run_id, head.source, batch.sequence, SpooledBatch(record=batch.record))

    def put_file(self, head: Head, file: File, path: Path) -> None:
        """Uploads an artifact, streamed."""
        root = self._client.get_run(head.run_id).facts.artifact_uri
        if not root.startswith(_SCHEME):
            raise ArtifactNotSent(f"the artifacts of run {head.run_id} lie at {root[:80]}", hint="log it where they are")
        # A spool that came with a folder from elsewhere must not reach other operations by way of `..`.
        place = f"/api/2.0/mlflow-artifacts/artifacts/{quote(f'{root.removeprefix(_SCHEME)}/{checked_path(file.path)}')}"
        with path.open("rb") as stream:
            self._client.send_stream("PUT", place, stream)


class Sending:
    """One spool on its way to one receiver."""

    def __init__(self, reader: SpoolReader, receiver: Receiver, *, is_orphan: bool, told: Callable[[str], None] = LOG.warning) -> None:
        self.reader, self._receiver, self._is_orphan, self._told = reader, receiver, is_orphan, told
        self._has_told = False
        self.sent = self.refused = 0

    def step(self) -> bool:
        """Sends one batch; whether there was one. Raises ModelyardError where the server has to be asked again later.

        Of a spool whose writer is gone the end is sent too, and then it is removed.
        """
        if self.reader.state.is_over:
            return False
        batch = self.reader.next()
        if batch is None:
            batch = self.reader.ending() if self._is_orphan else None
        if batch is None:
            if self._is_orphan:
                self.reader.remove()
            return False
        if self.reader.lost:
            self._note_lost(batch)
        try:
            self._take(batch)
            self.sent += 1
        except ModelyardError as error:
            if is_passing(error) or self._may_begin_yet(batch, error):
                raise
            is_of_run = isinstance(batch.record, Started | Resumed) or error.code in _OF_THE_RUN
            self._set_aside(batch, error, "the run" if is_of_run else "a batch")
            if is_of_run:  # without its run the rest has no place: the spool waits for people
                self.reader.put_state(msgspec.structs.replace(self.reader.state, is_over=True))
                return False
        self.reader.mark(batch)
        return True

    def _take(self, batch: Spooled) -> None:
        head = self.reader.head
        try:
            self._receiver.take(head, batch)
        except ModelyardError as error:
            if error.code != "content_missing" or not isinstance(batch.record, File):
                raise
            self._receiver.put_file(head, batch.record, self._content(batch))
            self._receiver.take(head, batch)

    def _may_begin_yet(self, batch: Spooled, error: ModelyardError) -> bool:
        """Whether the run that is resumed may only not have come yet: its beginning is in another process's spool."""
        self.reader.tries += 1
        return error.code == "no_such_run" and isinstance(batch.record, Resumed) and self.reader.tries <= TRIES_TO_RESUME

    def _content(self, batch: Spooled) -> Path:
        path = self.reader.folder / FILES / batch.content
        # A spool that came with a folder from elsewhere must not send files of this machine away.
        if not CONTENT.fullmatch(batch.content) or path.is_symlink() or not path.is_file():
            raise ArtifactNotSent("the artifact's content is not in the spool any more", hint="log it again")
        return path

    def _set_aside(self, batch: Spooled, error: ModelyardError, what: str) -> None:
        self._keep(SetAside(sequence=batch.sequence, error=error.body(), record=msgspec.to_builtins(batch.record)))
        if not self._has_told:
            self._has_told = True
            self._told(f"run {self.reader.head.name}: the server refused {what}, which is set aside: {error.message} (yard sync lists it)")

    def _keep(self, entry: SetAside) -> None:
        try:
            self.reader.set_aside(entry)
        except OSError as full:
            raise RefusalUnwritten(f"what the server refused cannot be kept: {full.strerror}", hint="free space on the disk") from full
        self.refused += 1

    def _note_lost(self, batch: Spooled) -> None:
        body = ErrorBody(code="batches_lost", message=f"{self.reader.lost} batches before it cannot be read", hint="check the disk")
        self._keep(SetAside(sequence=batch.sequence, error=body))
        self._told(f"run {self.reader.head.name}: {body.message}: the spool {self.reader.folder} is damaged")
        self.reader.put_state(msgspec.structs.replace(self.reader.state, delivered=batch.sequence - 1))


class RefusalUnwritten(ModelyardError):
    """A refused batch has no place on the disk: it stays where it is until it has."""

    kind = Kind.UNREACHABLE


def is_passing(error: ModelyardError) -> bool:
    """Whether the same batch may be taken later: the server is away, busy, broken or asks for a login, or it is not one of ours."""
    is_ours = not (isinstance(error, RemoteError) and (error.code in _NOT_OURS or error.code.startswith("http_")))
    return error.kind in PASSING or not is_ours

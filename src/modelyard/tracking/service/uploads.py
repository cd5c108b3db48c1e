"""Use cases of files that come in parts: begin, take a part, put them together, give up. Each step asks anew who may.

Parts are blobs sealed by random bytes in front of their content: no other content has their digest, so they may be deleted
when they are not needed any more, and whoever knows the digest of somebody's content can make nothing of it here.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence

from modelyard.access.domain import Principal, Role
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.core.errors import InvalidInput
from modelyard.core.ids import hex_id
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking.domain import Artifact, NoSuchUpload, PathRefused, Upload, UploadPart
from modelyard.tracking.service.artifacts import Content, get_owner, get_proxied, put_file
from modelyard.tracking.store import uploads

MOST_PARTS = 10_000
UPLOAD_LIFE_S = 24 * 3600
SEAL_BYTES = 16
EXPIRED_A_TICK = 100


def begin_upload(tx: Transaction, principal: Principal, path: str, parts: int) -> Upload:
    """A new upload of so many parts to the path behind the artifact proxy. Raises what `get_proxied` raises."""
    if not 1 <= parts <= MOST_PARTS:
        raise InvalidInput(f"Invalid value {parts} for parameter 'num_parts' supplied: it must be within 1 to {MOST_PARTS}")
    owner, owned = get_proxied(tx, principal, path, Role.CONTRIBUTOR)
    if not owned.path or path.endswith("/"):
        raise PathRefused(f"Invalid path: {path[:100]!r}: an artifact needs a name", hint="use a relative path such as model/MLmodel")
    upload = Upload(
        id=hex_id(),
        owner_id=owner.id,
        team_id=owner.team_id,
        path=owned.path,
        created_by=principal.id,
        parts=parts,
        expires_at=Instant(tx.wall() + UPLOAD_LIFE_S * 1_000_000),
    )
    uploads.insert_upload(tx, upload)
    return upload


def get_upload(snapshot: Snapshot, principal: Principal, upload_id: str) -> Upload:
    """The principal's upload, whose owner it may still write to. Raises NoSuchUpload and what `get_owner` raises."""
    found = uploads.find_upload(snapshot, upload_id)
    if found is None or found.created_by != principal.id or found.expires_at <= snapshot.wall():
        raise NoSuchUpload(f"There is no upload '{upload_id[:100]}'.", hint="begin it anew: an upload lasts a day")
    get_owner(snapshot, principal, found.owner_id, Role.CONTRIBUTOR)
    return found


def check_part(upload: Upload, number: int) -> None:
    """Passes where the upload has a part of that number. Raises InvalidInput."""
    if not 1 <= number <= upload.parts:
        raise InvalidInput(f"The upload has {upload.parts} parts, got part {number}.", hint="parts are numbered from 1")


def sealed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """A part's content behind its seal."""
    yield secrets.token_bytes(SEAL_BYTES)
    yield from chunks


def store_part(database: Database, blobs: Blobs, principal: Principal, place: tuple[str, int], content: Content) -> None:
    """Notes sealed content as the part at `place`, an upload's id and a number, over the part that was there."""
    upload_id, number = place

    def note(tx: Transaction) -> list[Digest]:
        upload = get_upload(tx, principal, upload_id)
        check_part(upload, number)
        replaced = [part.digest for part in uploads.list_parts(tx, upload.id) if part.number == number]
        uploads.put_part(tx, upload, UploadPart(number=number, digest=content.digest, size_bytes=content.size_bytes))
        return replaced

    with contextlib.ExitStack() as undo:
        undo.callback(blobs.delete, content.digest)
        replaced = database.write(note)
        undo.pop_all()
    _delete(blobs, replaced)


def complete_upload(
    database: Database, blobs: Blobs, principal: Principal, place: tuple[str, str], given: Sequence[tuple[int, str]]
) -> Artifact:
    """The artifact that the parts make up, in bounded memory. `place` is the upload's id and its path behind the proxy; `given`
    are the numbers and tags of all parts, as they were answered. Raises NoSuchUpload and InvalidInput.
    """
    upload_id, path = place
    with database.read() as snapshot:
        upload = _upload_at(snapshot, principal, upload_id, path)
        parts = uploads.list_parts(snapshot, upload.id)
    expected = [(part.number, part.digest) for part in parts]
    if expected != [(number, tag.strip('"')) for number, tag in given] or len(parts) != upload.parts:
        raise InvalidInput(
            f"The upload has {len(parts)} of {upload.parts} parts, and the request names {len(given)}: all must be there, in order, under "
            "the tags that they were given.",
            hint="send the missing parts, or begin anew",
        )
    digest = blobs.put_chunks(chunk for part in parts for chunk in _unsealed(blobs, part.digest))
    content = Content(digest=digest, size_bytes=sum(part.size_bytes for part in parts))

    def finish(tx: Transaction) -> Artifact:
        found = get_upload(tx, principal, upload.id)
        uploads.remove_upload(tx, found.id)
        return put_file(tx, principal, found.owner_id, found.path, content)

    artifact = database.write(finish)
    _delete(blobs, [part.digest for part in parts])
    return artifact


def abort_upload(database: Database, blobs: Blobs, principal: Principal, upload_id: str, path: str) -> None:
    """Gives an upload up and deletes its parts. Raises NoSuchUpload."""

    def remove(tx: Transaction) -> list[UploadPart]:
        upload = _upload_at(tx, principal, upload_id, path)
        parts = uploads.list_parts(tx, upload.id)
        uploads.remove_upload(tx, upload.id)
        return parts

    _delete(blobs, [part.digest for part in database.write(remove)])


def expire_uploads(database: Database, blobs: Blobs) -> int:
    """Deletes what is left of uploads that have expired; how many went. The worker calls it now and then."""

    def remove(tx: Transaction) -> list[list[UploadPart]]:
        gone = []
        for upload in uploads.list_expired(tx, tx.wall(), EXPIRED_A_TICK):
            gone.append(uploads.list_parts(tx, upload.id))
            uploads.remove_upload(tx, upload.id)
        return gone

    gone = database.write(remove)
    _delete(blobs, [part.digest for parts in gone for part in parts])
    return len(gone)


def _upload_at(snapshot: Snapshot, principal: Principal, upload_id: str, path: str) -> Upload:
    upload = get_upload(snapshot, principal, upload_id)
    owner, owned = get_proxied(snapshot, principal, path, Role.CONTRIBUTOR)
    if (owner.id, owned.path) != (upload.owner_id, upload.path):
        raise NoSuchUpload(f"The upload '{upload_id}' is of another artifact.", hint="name the path that it was begun with")
    return upload


def _unsealed(blobs: Blobs, digest: Digest) -> Iterator[bytes]:
    seal = SEAL_BYTES
    for chunk in blobs.open_stream(digest):
        content, seal = chunk[seal:], max(seal - len(chunk), 0)
        if content:
            yield content


def _delete(blobs: Blobs, digests: Sequence[Digest]) -> None:
    for digest in digests:
        blobs.delete(digest)

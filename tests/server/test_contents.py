"""The log's verification reads what entries vouch for: a file that was swapped or lost is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.core.digests import Digest, digest_bytes
from modelyard.governance.domain import ATTESTED, DOSSIER_MADE
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import LogKey, record, sequence_pending, verify
from modelyard.registry.artifacts import put_folder
from modelyard.server.contents import REGISTERED, contents_of
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database


def vouched(database: Database, type: str, digest: Digest) -> None:  # noqa: A002 - the entry's own word
    """Puts an entry of that type that vouches for that content into the log."""
    database.write(lambda tx: record(tx, NewEntry(type=type, subject="model:late/1", actor="usr_ada", digest=digest)))
    sequence_pending(database, "test")


@pytest.mark.parametrize("type", [ATTESTED, DOSSIER_MADE, REGISTERED])
def test_swapped_or_lost_content_breaks_the_log(database: Database, tmp_path: Path, type: str) -> None:  # noqa: A002 - as above
    blobs, key = Blobs.open(f"file://{tmp_path / 'blobs'}"), LogKey.new("modelyard.local/tests")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.txt").write_bytes(b"content")
    artifact, file = put_folder(blobs, tmp_path / "model")[0], digest_bytes(b"content")
    vouched(database, type, artifact if type == REGISTERED else file)
    sound = verify(database, key, contents_of(blobs))
    assert (sound.findings, sound.contents) == ([], 1)
    [stored] = (path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and digest_bytes(path.read_bytes()) == file)
    stored.chmod(0o600)
    for change in (lambda: stored.write_bytes(b"another"), stored.unlink):
        change()
        found = verify(database, key, contents_of(blobs))
        assert [one.code for one in found.findings] == ["content_missing"]


def test_a_file_that_versions_share_is_read_once(database: Database, tmp_path: Path) -> None:
    blobs, key = Blobs.open(f"file://{tmp_path / 'blobs'}"), LogKey.new("modelyard.local/tests")
    for version in ("one", "two"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "model.txt").write_bytes(b"content")
        (tmp_path / version / "card.txt").write_text(version)
        vouched(database, REGISTERED, put_folder(blobs, tmp_path / version)[0])
    read: list[Digest] = []

    class Counted(Blobs):
        """The blobs, which note what of them is read."""

        def open_stream(self, digest: Digest) -> Iterator[bytes]:
            read.append(digest)
            return super().open_stream(digest)

    result = verify(database, key, contents_of(Counted.open(f"file://{tmp_path / 'blobs'}")))
    assert (result.findings, result.contents) == ([], 2)
    assert sorted(read) == sorted({*map(digest_bytes, (b"content", b"one", b"two"))})

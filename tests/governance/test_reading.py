"""What is read out of a bundle's archive without reading its model: held against the manifest, and refused where it does not fit."""

import hashlib
import io
import tarfile
from pathlib import Path

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, TeamId
from modelyard.core.clock import Instant
from modelyard.core.errors import Corrupted
from modelyard.core.ids import new_id
from modelyard.governance import store
from modelyard.governance.domain import ANSWERS, BOM, CHECKPOINT, MANIFEST, PDF, Answers, Dossier, DossierId
from modelyard.governance.rules.lines import manifest_text
from modelyard.governance.service import open_pdf, read_dossier
from modelyard.registry.domain import ModelName
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database

LATE = ModelName("late")
ANSWERED = msgspec.json.encode(Answers(model="late", version=1, risk_tier="limited", made_at="", frameworks=(), requirements=()))
FILES = {
    ANSWERS: ANSWERED,
    BOM: b'{"declarations":{"evidence":[{"propertyName":"audit.log"},{"propertyName":"data.prep"}]}}',
    PDF: b"%PDF-1.7",
    CHECKPOINT: b"log\n3\nroot\n",
}


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    """An empty store."""
    return Blobs.open(f"file://{tmp_path / 'blobs'}")


def archived(files: dict[str, bytes], manifest: bytes | None = None) -> bytes:
    """A bundle's archive, with a manifest that fits unless one is given."""
    fitting = manifest_text({path: hashlib.sha256(content).hexdigest() for path, content in files.items()})
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        for path, content in sorted({**files, MANIFEST: fitting if manifest is None else manifest}.items()):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def noted(database: Database, blobs: Blobs, content: bytes, version: int = 1, team: TeamId = DEFAULT_TEAM) -> Dossier:
    """A dossier whose bundle has those bytes."""
    found = Dossier(
        id=DossierId(new_id("dos")),
        team_id=team,
        model=LATE,
        version=version,
        digest=blobs.put_bytes(content),
        size_bytes=len(content),
        made_at=Instant(0),
        made_by=SYSTEM.id,
        duration_s=0.1,
        met=0,
        waiting=0,
        missing=0,
        not_applicable=0,
    )
    database.write(lambda tx: store.insert_dossier(tx, found))
    return found


def test_answers_checkpoint_and_records_are_those_of_the_bundle(database: Database, blobs: Blobs) -> None:
    made = noted(database, blobs, archived(FILES))
    with database.read() as snapshot:
        found, contents = read_dossier(snapshot, blobs, SYSTEM, made.id)
    assert (found, contents.records) == (made, ("audit.log", "data.prep"))
    assert (contents.answers.risk_tier, contents.checkpoint) == ("limited", "log\n3\nroot\n")
    assert [one.path for one in contents.files] == sorted(FILES)
    assert open_pdf(database, blobs, SYSTEM, made.id) == (made, FILES[PDF])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (archived({**FILES, PDF: b"other"}, manifest_text(dict.fromkeys(FILES, "00"))), "does not fit its manifest"),
        (archived({path: content for path, content in FILES.items() if path != PDF}), "dossier.pdf is not in it"),
        (b"no archive at all", "is damaged"),
    ],
)
def test_a_damaged_bundle_is_told_and_not_shown(database: Database, blobs: Blobs, content: bytes, said: str) -> None:
    made = noted(database, blobs, content)
    with pytest.raises(Corrupted, match=said):
        open_pdf(database, blobs, SYSTEM, made.id)


def test_the_newest_dossier_of_each_version_is_listed_with_how_many_it_has(database: Database, blobs: Blobs) -> None:
    content, other = archived(FILES), TeamId("other")
    first, second = noted(database, blobs, content), noted(database, blobs, content)
    third, foreign = noted(database, blobs, content, version=2), noted(database, blobs, content, version=3, team=other)
    assert first.id < second.id
    with database.read() as snapshot:
        assert sorted(store.latest_dossiers(snapshot, [DEFAULT_TEAM]), key=lambda one: one[0].id) == [(second, 2), (third, 1)]
        assert (foreign, 1) in store.latest_dossiers(snapshot, None)

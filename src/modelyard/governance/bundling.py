"""A bundle's folder as it is put together: what is attested, what the log proves of it, the manifest, and the archive.

Owns which bytes go where. The archive's bytes follow from its files alone.
"""

import base64
import hashlib
import tarfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from modelyard.core.digests import canonical_json, digest_file
from modelyard.governance.domain import CHECKPOINT, CONSISTENCY, ENTRIES, MANIFEST, TRUST_GIVEN
from modelyard.governance.rules.lines import (
    Consistency,
    ConsistencyFrom,
    LoggedFile,
    consistency_text,
    encoded_hashes,
    logged_lines,
    manifest_text,
)
from modelyard.ledger.domain import EntryId, EntryNotIncluded
from modelyard.ledger.service import entry_position, get_entry, latest_checkpoint, list_entries, prove_consistency
from modelyard.storage.database import Snapshot

MOST_CHECKPOINTS = 200
MODE = 0o644


def sha256(content: bytes) -> str:
    """The digest of a file's content in hexadecimal, as bundles name it."""
    return hashlib.sha256(content).hexdigest()


def document(value: msgspec.Struct) -> bytes:
    """A document as it lies in a bundle: canonical JSON."""
    return canonical_json(msgspec.to_builtins(value))


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Writes files below the folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def log_files(snapshot: Snapshot, entries: Iterable[EntryId]) -> dict[str, bytes]:
    """What the log proves, as of one checkpoint: each entry's place in it, and that it grew out of those that auditors were given.

    Raises EntryNotIncluded.
    """
    checkpoint = latest_checkpoint(snapshot)
    return {
        CHECKPOINT: checkpoint.note.encode(),
        ENTRIES: logged_lines(sorted((_line(snapshot, one) for one in entries), key=lambda line: line.index)),
        CONSISTENCY: consistency_text(Consistency(second=checkpoint.size, proofs=_grown(snapshot, checkpoint.size))),
    }


def _line(snapshot: Snapshot, entry: EntryId) -> LoggedFile:
    index = entry_position(snapshot, entry)
    proven = None if index is None else get_entry(snapshot, index)
    if proven is None or proven.proof is None:
        raise EntryNotIncluded(f"{entry} is under no checkpoint yet", hint="is a worker running? yard status")
    return LoggedFile(index=proven.entry.index, leaf=base64.b64encode(proven.leaf).decode(), proof=encoded_hashes(proven.proof.path))


def _grown(snapshot: Snapshot, size: int) -> tuple[ConsistencyFrom, ...]:
    given = list_entries(snapshot, type=TRUST_GIVEN, limit=MOST_CHECKPOINTS).entries
    sizes = sorted({int(one.data["size"]) for one in given if int(one.data["size"]) <= size})
    return tuple(ConsistencyFrom(first=first, proof=encoded_hashes(prove_consistency(snapshot, first, size).path)) for first in sizes)


def write_manifest(folder: Path) -> None:
    """Writes the manifest over all other files."""
    digests = {path.relative_to(folder).as_posix(): digest_file(path).removeprefix("sha256:") for path in _files(folder)}
    write(folder, {MANIFEST: manifest_text(digests)})


def archive(folder: Path, target: Path) -> None:
    """Packs the folder into a tar archive."""
    with tarfile.open(target, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for path in _files(folder):
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size, entry.mode, entry.mtime = path.stat().st_size, MODE, 0
            with path.open("rb") as stream:
                packed.addfile(entry, stream)


def _files(folder: Path) -> list[Path]:
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.relative_to(folder).as_posix())

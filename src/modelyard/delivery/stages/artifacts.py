"""A version's artifact: a folder kept as a manifest of digests, and fetched back into a folder that is checked."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from modelyard.core.digests import Digest, canonical_json
from modelyard.delivery.domain import Facts
from modelyard.delivery.stages.yard import Yard
from modelyard.registry.domain import CHAMPION, File, Manifest, ModelName, ModelVersion
from modelyard.registry.formats import content_digest
from modelyard.registry.service import find_alias, get_version
from modelyard.storage.blobs import Blobs


def put_artifact(blobs: Blobs, folder: Path) -> Facts:
    """Stores the folder's files and their manifest; the artifact's digest, its size, and the digest of what it computes."""
    files = [
        File(path=path.relative_to(folder).as_posix(), digest=blobs.put_file(path), size_bytes=path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    manifest = Manifest(files=tuple(files))
    artifact = blobs.put_bytes(canonical_json(msgspec.to_builtins(manifest)))
    return {"artifact": artifact, "size_bytes": manifest.size_bytes, "content": content_digest(folder)}


@contextlib.contextmanager
def fetched(blobs: Blobs, artifact: Digest) -> Iterator[Path]:
    """A folder with the artifact's files, each checked against its digest, gone with the block."""
    manifest = msgspec.json.decode(blobs.get_bytes(artifact), type=Manifest)
    with tempfile.TemporaryDirectory(prefix="modelyard-artifact-") as scratch:
        folder = Path(scratch)
        for file in manifest.files:
            target = (folder / file.path).resolve()
            target.relative_to(folder.resolve())  # a manifest's path that leads outside ends here
            target.parent.mkdir(parents=True, exist_ok=True)
            blobs.fetch(file.digest, target)
        yield folder


def champion_of(yard: Yard, model: str) -> ModelVersion | None:
    """The version that the alias champion points to, if any."""
    with yard.database.read() as snapshot:
        alias = find_alias(snapshot, ModelName(model), CHAMPION)
        return None if alias is None else get_version(snapshot, ModelName(model), alias.version)

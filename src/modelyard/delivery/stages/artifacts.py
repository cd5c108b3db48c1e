"""A delivery's way to artifacts: what training left is stored by digest, what is scored is fetched and checked."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from modelyard.core.digests import Digest
from modelyard.delivery.domain import Facts
from modelyard.delivery.stages.yard import Yard
from modelyard.registry.artifacts import fetch_folder
from modelyard.registry.domain import CHAMPION, ModelName, ModelVersion
from modelyard.registry.service import find_alias, get_version, keep_artifact
from modelyard.storage.blobs import Blobs


def put_artifact(yard: Yard, folder: Path) -> Facts:
    """Keeps the folder for the registry; the artifact's digest, its size, and the digest of what it computes."""
    kept = keep_artifact(yard.database, yard.blobs, folder)
    return {"artifact": kept.digest, "size_bytes": kept.size_bytes, "content": kept.content}


@contextlib.contextmanager
def fetched(blobs: Blobs, artifact: Digest) -> Iterator[Path]:
    """A folder with the artifact's files, each checked against its digest, gone with the block."""
    with tempfile.TemporaryDirectory(prefix="modelyard-artifact-") as scratch:
        folder = Path(scratch, "model")
        fetch_folder(blobs, artifact, folder)
        yield folder


def champion_of(yard: Yard, model: str) -> ModelVersion | None:
    """The version that the alias champion points to, if any."""
    name = ModelName(model)
    with yard.database.read() as snapshot:
        alias = find_alias(snapshot, name, CHAMPION)
        return None if alias is None else get_version(snapshot, name, alias.version)

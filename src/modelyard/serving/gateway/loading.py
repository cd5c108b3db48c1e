"""From a version's artifact to a predictor: fetched once into the gateway's folder, checked, loaded by its format's safe loader."""

import shutil
from pathlib import Path, PurePosixPath

import msgspec

from modelyard.core.digests import Digest
from modelyard.registry import formats
from modelyard.registry.domain import BadArtifact, Manifest, ModelName
from modelyard.serving.domain import ServedVersion
from modelyard.serving.gateway.model import LoadedVersion
from modelyard.serving.log.segments import sync_folder
from modelyard.storage.blobs import Blobs
from modelyard.storage.online import OnlineStore

ARTIFACTS = "artifacts"


class ArtifactLoader:
    """Loads versions of any format that has a safe loader. What was fetched before loads without the blob store."""

    def __init__(self, folder: Path, blobs: Blobs, online: OnlineStore) -> None:
        self._folder = folder / ARTIFACTS
        self._blobs = blobs
        self._online = online

    def load(self, model: ModelName, version: ServedVersion) -> LoadedVersion:
        """The version, ready to answer. Raises BadArtifact where its signature is not the recorded one, and what formats raise."""
        folder = self._fetched(version.artifact)
        header = formats.read_header(folder)
        if header.signature != version.signature or header.format != version.format:
            raise BadArtifact(
                f"the artifact of version {version.number} of {model} has another signature or format than was registered",
                hint="register the version anew",
            )
        return LoadedVersion(model, version, formats.load(folder), self._online)

    def _fetched(self, artifact: Digest) -> Path:
        folder = self._folder / artifact.replace(":", "-")
        if folder.exists():
            return folder
        manifest = msgspec.json.decode(self._blobs.get_bytes(artifact), type=Manifest)
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for file in manifest.files:
            path = PurePosixPath(file.path)
            if path.is_absolute() or ".." in path.parts:
                raise BadArtifact(f"the file {file.path[:80]!r} leads out of the artifact's folder", hint="register the version anew")
            target = partial / path
            target.parent.mkdir(parents=True, exist_ok=True)
            self._blobs.fetch(file.digest, target)
        partial.rename(folder)
        sync_folder(self._folder)
        return folder

"""From a version's artifact to a predictor: fetched once into the gateway's folder, checked, loaded by its format's safe loader."""

from pathlib import Path

from modelyard.core.digests import Digest
from modelyard.registry import formats
from modelyard.registry.artifacts import fetch_folder
from modelyard.registry.domain import BadArtifact, ModelName
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
        if not folder.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            fetch_folder(self._blobs, artifact, folder)
            sync_folder(self._folder)
        return folder

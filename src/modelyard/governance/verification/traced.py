"""The lineage: an unbroken path from the sources of the training's attestation to the signed model. Owns this check."""

from modelyard.governance.domain import LINEAGE, BadBundle
from modelyard.governance.rules.lineage import parsed_events, walked_back
from modelyard.governance.rules.signing import SignedModel
from modelyard.governance.rules.statements import Provenance
from modelyard.governance.verification.attested import SNAPSHOT, SOURCE, Signed
from modelyard.governance.verification.folder import Folder


def check_lineage(folder: Folder, training: Signed, model: SignedModel | None) -> tuple[int, str]:
    """Walks back from the model and meets the snapshot, and exactly the sources, that the training was attested with.

    Raises BadBundle.
    """
    assert model is not None  # the training rests on it
    predicate = training.predicate
    assert isinstance(predicate, Provenance)
    dependencies = predicate.build_definition.resolved_dependencies
    snapshots = [one.sha256 for one in dependencies if one.annotations.get("kind") == SNAPSHOT]
    if len(snapshots) != 1 or not snapshots[0]:
        raise BadBundle("the training names no snapshot that the lineage could lead through")
    path = walked_back(parsed_events(folder.read(LINEAGE)), model.digest, snapshots[0])
    named = {(one.name, one.sha256) for one in dependencies if one.annotations.get("kind") == SOURCE}
    if path.sources != named:
        other = sorted(name for name, _ in path.sources ^ named)
        raise BadBundle(f"the lineage and the training's attestation name other sources: {', '.join(other[:3])}")
    return path.datasets, f"{path.datasets} datasets from {len(path.sources)} sources to the model"

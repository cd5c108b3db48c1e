"""The log: its checkpoint by the log's key, an entry for every attestation, and growth out of the auditor's own checkpoint.

Owns these checks. Proofs themselves are the ledger's rules.
"""

from modelyard.governance.domain import ATTESTED, CHECKPOINT, CONSISTENCY, ENTRIES, LOGGED, BadBundle, Trust
from modelyard.governance.rules.envelopes import decoded
from modelyard.governance.rules.lines import parsed_consistency, parsed_leaf, parsed_lines
from modelyard.governance.rules.signing import SignedModel
from modelyard.governance.verification.folder import Folder
from modelyard.ledger.rules.merkle import leaf_hash, verify_consistency, verify_inclusion
from modelyard.ledger.rules.note import CheckpointText, opened_checkpoint, parse_verifier_key


def check_checkpoint(folder: Folder, trust: Trust) -> tuple[CheckpointText, str]:
    """The checkpoint is signed by the log's key. Raises NoteInvalid."""
    found = _opened(folder.read(CHECKPOINT), trust)
    return found, f"{found.origin}, {found.size} entries"


def _opened(note: bytes, trust: Trust) -> CheckpointText:
    try:
        return opened_checkpoint(note.decode(), parse_verifier_key(trust.log))
    except UnicodeDecodeError as error:
        raise BadBundle("the checkpoint is no text") from error


def check_inclusion(folder: Folder, checkpoint: CheckpointText | None, model: SignedModel | None) -> tuple[int, str]:
    """Each attestation and the model's signature has its entry in the log, and no other entry is given. Raises BadBundle, ProofInvalid."""
    assert checkpoint is not None  # the check rests on both
    assert model is not None
    found: list[str] = []
    for line in parsed_lines(folder.read(ENTRIES)):
        leaf = decoded(line.leaf)
        says = parsed_leaf(leaf)
        if (says.seq, says.type, says.subject) != (line.index, ATTESTED, f"model:{model.name}"):
            raise BadBundle(
                f"entry {line.index} is a {says.type[:40]!r} about {says.subject[:60]!r}, expected {ATTESTED} about {model.name}"
            )
        verify_inclusion(leaf_hash(leaf), line.index, checkpoint.size, [decoded(one) for one in line.proof], checkpoint.root)
        found.append(says.digest.get("sha256", ""))
    expected = {path: folder.sha256(path) for path in LOGGED}
    missing = [path for path, digest in expected.items() if digest not in found]
    if missing or sorted(found) != sorted(expected.values()):
        raise BadBundle(f"the log has no entry for {', '.join(missing)}" if missing else "the log's lines are about other files")
    return len(found), f"{len(found)} entries proven"


def check_consistency(folder: Folder, trust: Trust, checkpoint: CheckpointText | None) -> tuple[bool, str]:
    """The log grew out of the checkpoint that the auditor had seen before. Raises BadBundle, NoteInvalid, ProofInvalid."""
    assert checkpoint is not None  # the check rests on it
    proofs = parsed_consistency(folder.read(CONSISTENCY))
    if proofs.second != checkpoint.size:
        raise BadBundle(f"the proofs are about {proofs.second} entries, the checkpoint about {checkpoint.size}")
    if not trust.checkpoint:
        return True, "not asked for: the trust file holds no earlier checkpoint"
    earlier = _opened(trust.checkpoint.encode(), trust)
    if earlier.size > checkpoint.size:
        raise BadBundle(
            f"your checkpoint is over {earlier.size} entries, the bundle's over {checkpoint.size}: have the dossier made again after it"
        )
    found = next((one for one in proofs.proofs if one.first == earlier.size), None)
    if found is None and earlier.size != checkpoint.size:
        raise BadBundle(f"no proof begins at your checkpoint over {earlier.size} entries; have the dossier made again after yard trust")
    path = [decoded(one) for one in found.proof] if found else []
    verify_consistency(earlier.size, checkpoint.size, path, earlier.root, checkpoint.root)
    return True, f"{earlier.size} of {checkpoint.size} entries were there before"

"""Verification of a bundle: offline, with trust in what the auditor brings along alone. Owns the checks and their order.

It needs no server and no database: the standard library, cryptography, msgspec and the ledger's pure rules.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from modelyard.core.errors import ModelyardError
from modelyard.governance.domain import ATTESTATIONS, MODEL_SIGNATURE, Attested, BadTrust, Check, Trust
from modelyard.governance.verification.answered import check_answers, check_evidence
from modelyard.governance.verification.attested import (
    Signed,
    check_agreement,
    check_approval,
    check_contents,
    check_gate,
    check_model,
    check_order,
    opened_attestation,
)
from modelyard.governance.verification.folder import Folder, check_files, check_manifest
from modelyard.governance.verification.logged import check_checkpoint, check_consistency, check_inclusion
from modelyard.governance.verification.traced import check_lineage
from modelyard.ledger.rules.note import parse_verifier_key

T = TypeVar("T")


class Checks:
    """Checks as they are made; one that rests on what did not hold is not made, and says so."""

    def __init__(self) -> None:
        self.made: list[Check] = []

    def make(self, name: str, check: Callable[[], tuple[T, str]], *rests_on: object) -> T | None:
        """What the check found, None where it does not hold or rests on something that is None."""
        if any(one is None for one in rests_on):
            self.made.append(Check(name=name, passed=False, said="not looked at: what it rests on does not hold"))
            return None
        try:
            found, said = check()
        except (ModelyardError, RecursionError) as error:
            said = error.message if isinstance(error, ModelyardError) else "it is nested deeper than anything that was signed here"
            self.made.append(Check(name=name, passed=False, said=said))
            return None
        self.made.append(Check(name=name, passed=True, said=said))
        return found


def parsed_trust(content: bytes) -> Trust:
    """What a trust file says. Raises BadTrust and NoteInvalid."""
    try:
        trust = msgspec.json.decode(content, type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadTrust(f"this is no trust file: {error}", hint="yard trust --out trust.json writes one") from error
    parse_verifier_key(trust.log)
    return trust


def verify_bundle(root: Path, trust: Trust) -> list[Check]:
    """Every check of the bundle in the folder `root`, in order; the bundle holds where all have passed.

    Keys, an earlier checkpoint and the policy come from `trust` alone. Nothing outside `root` is read.
    """
    checks, folder = Checks(), Folder(root)
    checks.make("files", lambda: check_files(folder))
    checks.make("manifest", lambda: check_manifest(folder))
    model = checks.make(MODEL_SIGNATURE, lambda: check_model(folder, trust))
    signed = {
        kind: checks.make(path, lambda kind=kind: opened_attestation(folder, trust, kind, model), model)  # type: ignore[misc]  # a bound default
        for kind, path in ATTESTATIONS.items()
    }
    there = {kind: one for kind, one in signed.items() if one is not None}
    _check_decision(checks, folder, trust, there)
    checks.make("dossier contents", lambda: check_contents(folder, there[Attested.DOSSIER]), signed[Attested.DOSSIER])
    training = signed[Attested.TRAINING]
    checks.make("lineage", lambda: check_lineage(folder, there[Attested.TRAINING], model), training)
    answers = checks.make("requirements", lambda: check_answers(folder, there[Attested.TRAINING], model), training)
    checks.make("evidence", lambda: check_evidence(folder, answers), answers)
    checkpoint = checks.make("checkpoint", lambda: check_checkpoint(folder, trust))
    checks.make("inclusion", lambda: check_inclusion(folder, checkpoint, model), checkpoint, model)
    checks.make("consistency", lambda: check_consistency(folder, trust, checkpoint), checkpoint)
    return checks.made


def _check_decision(checks: Checks, folder: Folder, trust: Trust, there: dict[Attested, Signed]) -> None:
    decided = [there.get(kind) for kind in (Attested.TRAINING, Attested.EVALUATION, Attested.APPROVAL, Attested.GATE)]
    checks.make("order", lambda: check_order(trust, there), *decided)
    checks.make("agreement", lambda: check_agreement(there), *decided)
    checks.make("approval", lambda: check_approval(folder, trust, there), *decided)
    checks.make("gate", lambda: check_gate(folder, there), *decided)

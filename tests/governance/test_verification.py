"""A bundle holds when it is as it was made; each thing that is changed about it is found, also by who mends the manifest."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.governance.domain import ATTESTATIONS, LOGGED, MANIFEST, Attested, EvidenceKind, KeyRole, Status, TrustPolicy
from modelyard.governance.rules.envelopes import public_pem
from modelyard.governance.rules.statements import Actor
from modelyard.governance.verification import verify_bundle
from modelyard.ledger.service import LogKey
from tests.governance.bundles import ADA, BOB, EVENTS, KEYS, MADE, OTHER_KEY, ROWS, Bundles, Changes, dataset, event, remanifest

FILES = (
    "model/model.txt", "model.sig", *ATTESTATIONS.values(), "bom.cdx.json", "lineage/openlineage.ndjson", "dossier.json", "dossier.pdf",
    "log/checkpoint", "log/entries.ndjson", "log/consistency.json",
)  # fmt: skip
replace = msgspec.structs.replace


def failing(bundles: Bundles, folder: Path, **trust: Any) -> dict[str, str]:
    """The checks that do not hold, with what they say."""
    return {one.name: one.said for one in verify_bundle(folder, bundles.trust(**trust)) if not one.passed}


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    """A sound bundle to tamper with."""
    return Path(shutil.copytree(sound, tmp_path / "copy"))


def test_a_bundle_as_it_was_made_holds(bundles: Bundles, sound: Path) -> None:
    found = verify_bundle(sound, bundles.trust())
    assert [one for one in found if not one.passed] == []
    assert len(found) == 19
    said = {one.name: one.said for one in found}
    assert said["lineage"] == "4 datasets from 2 sources to the model"
    assert said["requirements"] == "1 met, 1 wait for a person, 0 missing, 1 not applicable"
    assert said["inclusion"] == "6 entries proven"


def test_a_persons_approval_of_a_high_risk_holds(bundles: Bundles) -> None:
    folder = bundles.write(Changes(risk="high", approver=BOB))
    assert failing(bundles, folder) == {}


@pytest.mark.parametrize("path", FILES)
def test_a_changed_byte_anywhere_in_a_file_is_found_although_the_manifest_fits(bundles: Bundles, copy: Path, path: str) -> None:
    content = (copy / path).read_bytes()
    for place in sorted({0, len(content) // 3, len(content) // 2, len(content) - 1}):
        (copy / path).write_bytes(content[:place] + bytes([content[place] ^ 0x01]) + content[place + 1 :])
        remanifest(copy)
        found = failing(bundles, copy)
        assert found, f"{path} at {place}"
        assert "manifest" not in found


@pytest.mark.parametrize("path", (*FILES, MANIFEST))
def test_a_missing_file_is_found_although_the_manifest_fits(bundles: Bundles, copy: Path, path: str) -> None:
    (copy / path).unlink()
    if path != MANIFEST:
        remanifest(copy)
    assert failing(bundles, copy)


@pytest.mark.parametrize("path", (*FILES, MANIFEST))
def test_a_file_that_is_empty_or_no_text_is_found_and_breaks_nothing(bundles: Bundles, copy: Path, path: str) -> None:
    for content in (b"", b"\xff\xfe\x00", b"[" * 100_000, b'{"a":1}'):
        (copy / path).write_bytes(content)
        if path != MANIFEST:
            remanifest(copy)
        assert failing(bundles, copy)


def test_a_changed_file_is_named_by_the_manifest(bundles: Bundles, copy: Path) -> None:
    (copy / "dossier.pdf").write_bytes(b"%PDF-1.7 another")
    found = failing(bundles, copy)
    assert found["manifest"] == "it does not fit dossier.pdf"
    assert "dossier.pdf" in found["dossier contents"]


@pytest.mark.parametrize("path", ["model/more.txt", "notes.txt", "attestations/second.dsse.json", "log/more", ".hidden"])
def test_a_file_that_does_not_belong_into_a_bundle_is_refused(bundles: Bundles, copy: Path, path: str) -> None:
    (copy / path).write_bytes(b"x")
    remanifest(copy)
    assert path.removeprefix("model/") in "".join(failing(bundles, copy).values())


def test_a_link_is_refused_and_not_followed(bundles: Bundles, copy: Path, sound: Path) -> None:
    (copy / "dossier.pdf").unlink()
    (copy / "dossier.pdf").symlink_to(sound / "dossier.pdf")
    found = failing(bundles, copy)
    assert "dossier.pdf is missing" in found["files"]
    (copy / "model" / "more").symlink_to("/etc")
    assert "model/more does not belong here" in failing(bundles, copy)["files"]


@pytest.mark.parametrize("kind", Attested)
def test_only_the_key_of_its_role_signs_an_attestation(bundles: Bundles, kind: Attested) -> None:
    another = KEYS[KeyRole.GATE if kind is not Attested.GATE else KeyRole.TRAINING]
    for key in (OTHER_KEY, another):
        found = failing(bundles, bundles.write(Changes(signers={kind: key})))
        assert "is not trusted for this role" in found[ATTESTATIONS[kind]]


@pytest.mark.parametrize("kind", Attested)
def test_an_attestation_of_another_model_is_found(bundles: Bundles, kind: Attested) -> None:
    found = failing(bundles, bundles.write(Changes(subjects={kind: "77" * 32})))
    assert "not about the signed model" in found[ATTESTATIONS[kind]]


def test_an_attestation_of_another_bundle_of_the_same_model_is_found(bundles: Bundles, copy: Path) -> None:
    other = bundles.write(Changes(predicates={Attested.EVALUATION: lambda one: replace(one, finished_on="2026-01-01T01:30:00Z")}))
    shutil.copyfile(other / ATTESTATIONS[Attested.EVALUATION], copy / ATTESTATIONS[Attested.EVALUATION])
    remanifest(copy)
    assert set(failing(bundles, copy)) == {"approval", "gate", "inclusion"}


def test_who_began_it_cannot_approve_it(bundles: Bundles) -> None:
    folder = bundles.write(Changes(risk="high", approver=ADA))
    assert failing(bundles, folder) == {"approval": "ada approved their own work"}
    assert failing(bundles, folder, policy=TrustPolicy(four_eyes=False)) == {}


def test_a_policy_approves_no_tier_that_the_auditor_keeps_from_it_and_never_a_high_risk(bundles: Bundles, sound: Path) -> None:
    assert (
        "a limited risk, which needs a person" in failing(bundles, sound, policy=TrustPolicy(approval_by_policy=("minimal",)))["approval"]
    )
    high = bundles.write(Changes(risk="high"))
    assert "a high risk, which needs a person" in failing(bundles, high, policy=TrustPolicy(approval_by_policy=("high",)))["approval"]


def test_a_policys_approval_does_not_pass_for_a_persons(bundles: Bundles) -> None:
    changes = Changes(approver=BOB, signers={Attested.APPROVAL: KEYS[KeyRole.POLICY]})
    assert "is not trusted" in failing(bundles, bundles.write(changes))[ATTESTATIONS[Attested.APPROVAL]]


PREDICATES: dict[str, tuple[Attested, Any, str]] = {
    "rejected": (Attested.APPROVAL, lambda one: replace(one, decision="rejected"), "approval"),
    "broken rule": (Attested.APPROVAL, lambda one: replace(one, outcomes=(replace(one.outcomes[0], passed=False),)), "approval"),
    "other evidence": (Attested.APPROVAL, lambda one: replace(one, evidence=one.evidence[:1]), "approval"),
    "gate failed": (Attested.GATE, lambda one: replace(one, verification_result="FAILED"), "gate"),
    "fewer inputs": (Attested.GATE, lambda one: replace(one, input_attestations=one.input_attestations[1:]), "gate"),
    "failed test": (Attested.EVALUATION, lambda one: replace(one, failed_tests=("x",)), "gate"),
    "another tier": (Attested.GATE, lambda one: replace(one, risk_tier="minimal"), "agreement"),
    "another author": (Attested.APPROVAL, lambda one: replace(one, started_by=BOB), "agreement"),
    "gate first": (Attested.GATE, lambda one: replace(one, time_verified="2026-01-01T01:59:59Z"), "order"),
    "approval first": (Attested.APPROVAL, lambda one: replace(one, decided_on="2026-01-01T00:30:00Z"), "order"),
    "no zone": (Attested.GATE, lambda one: replace(one, time_verified="2026-01-01T05:00:00"), ATTESTATIONS[Attested.GATE]),
}


@pytest.mark.parametrize("name", PREDICATES)
def test_attestations_that_contradict_each_other_are_found_although_all_are_signed(bundles: Bundles, name: str) -> None:
    kind, change, check = PREDICATES[name]
    assert check in failing(bundles, bundles.write(Changes(predicates={kind: change})))


@pytest.mark.parametrize("path", LOGGED)
def test_an_attestation_without_an_entry_in_the_log_is_found(bundles: Bundles, path: str) -> None:
    found = failing(bundles, bundles.write(Changes(unlogged=path)))
    assert found == {"inclusion": f"the log has no entry for {path}"}


def test_a_checkpoint_by_another_log_is_found(bundles: Bundles, sound: Path) -> None:
    found = failing(bundles, sound, log=LogKey.new("modelyard.local/tests").verifier.text)
    assert {"checkpoint", "inclusion", "consistency"} == set(found)


def test_a_log_that_did_not_grow_out_of_the_auditors_checkpoint_is_found(bundles: Bundles, sound: Path) -> None:
    earlier = bundles.earlier
    forked = bundles.log_key.sign(earlier.note.replace(earlier.note.split("\n")[2], "A" * 43 + "=").partition("\n\n")[0] + "\n")
    assert set(failing(bundles, sound, checkpoint=forked)) == {"consistency"}
    later = bundles.log_key.sign(f"{bundles.log_key.origin}\n100000\n{'A' * 43}=\n")
    assert "made again after it" in failing(bundles, sound, checkpoint=later)["consistency"]
    between = bundles.log_key.sign(f"{bundles.log_key.origin}\n3\n{'A' * 43}=\n")
    assert "no proof begins at your checkpoint" in failing(bundles, sound, checkpoint=between)["consistency"]
    assert failing(bundles, sound, checkpoint="") == {}


LINEAGES = {
    "gap": (EVENTS[0], EVENTS[2]),
    "no source": EVENTS[1:],
    "another snapshot": (event("train", [dataset("weather.parquet", "50" * 32), dataset("flights.parquet")], MADE),),
    "another source": (event("snapshot", [dataset("other.parquet", "50" * 32), dataset("flights.parquet")], ROWS), *EVENTS[1:]),
    "one source more": (event("snapshot", [*EVENTS[0].inputs, dataset("more.parquet")], ROWS), *EVENTS[1:]),
    "another model": (EVENTS[0], event("train", [ROWS], dataset("late/3", "11" * 32))),
    "circle": (event("snapshot", [ROWS], ROWS), *EVENTS[1:]),
}


@pytest.mark.parametrize("name", LINEAGES)
def test_a_lineage_with_a_gap_is_found(bundles: Bundles, name: str) -> None:
    assert "lineage" in failing(bundles, bundles.write(Changes(events=LINEAGES[name])))


def answered(place: int, **changes: Any) -> Any:
    """A change of one answer."""

    def change(document: Any) -> Any:
        answers = list(document.requirements)
        answers[place] = replace(answers[place], **changes)
        return replace(document, requirements=tuple(answers))

    return change


def pointing(**changes: Any) -> Any:
    """A change of the first piece of evidence."""
    return lambda document: answered(0, evidence=(replace(document.requirements[0].evidence[0], **changes),))(document)


ANSWERS = {
    "no evidence": (answered(0, evidence=()), "requirements"),
    "closed by a machine": (answered(0, evidence_kind=EvidenceKind.BOTH), "requirements"),
    "no reason": (answered(1, reason=""), "requirements"),
    "met by a person's silence": (answered(1, status=Status.MET), "requirements"),
    "twice": (answered(1, id="A.7.5"), "requirements"),
    "unknown framework": (answered(2, framework="another"), "requirements"),
    "another version": (lambda document: replace(document, version=4), "requirements"),
    "another tier": (lambda document: replace(document, risk_tier="high"), "requirements"),
    "pointer to nothing": (pointing(pointer="/components/1/name"), "evidence"),
    "no pointer": (pointing(pointer="components"), "evidence"),
    "another digest": (pointing(sha256="00" * 32), "evidence"),
    "into the log": (pointing(path="log/entries.ndjson"), "evidence"),
    "into itself": (pointing(path="dossier.json"), "evidence"),
    "out of the bundle": (pointing(path="../bom.cdx.json"), "evidence"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_answers_that_are_not_evidenced_are_found_although_they_are_signed(bundles: Bundles, name: str) -> None:
    change, check = ANSWERS[name]
    assert check in failing(bundles, bundles.write(Changes(answer=change)))


def test_keys_are_taken_from_the_trust_file_in_any_form_of_pem(bundles: Bundles, sound: Path) -> None:
    keys = {role: (public_pem(OTHER_KEY.public_key()), "\n" + public_pem(key.public_key()) + "\n\n") for role, key in KEYS.items()}
    assert failing(bundles, sound, keys=keys) == {}
    assert len(failing(bundles, sound, keys={})) > 10
    assert "no public key" in failing(bundles, sound, keys=dict.fromkeys(KeyRole, ("x",)))["model.sig"]


def test_a_name_of_an_approver_says_nothing_the_account_does(bundles: Bundles) -> None:
    folder = bundles.write(Changes(risk="high", approver=Actor(id=ADA.id, name="somebody else")))
    assert set(failing(bundles, folder)) == {"approval"}

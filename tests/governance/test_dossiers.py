"""A dossier of a version that was shipped for real verifies offline, tells the truth about what lacks, and is found again."""

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import NotFound
from modelyard.governance.domain import ATTESTATIONS, CONSISTENCY, Attested, Dossier, NoSuchDossier, NotAttestable, NotLetThrough, Trust
from modelyard.governance.service import get_card, give_trust, list_dossiers, list_version_dossiers, make_dossier, open_bundle
from modelyard.governance.verification import verify_bundle
from modelyard.ledger.service import list_entries, sequence_pending, sign_checkpoint
from modelyard.registry.domain import ModelName, NewModel, NewVersion
from modelyard.registry.service import ensure_model, get_version, register_version
from modelyard.server.installation import Installation
from tests.governance.bundles import remanifest
from tests.governance.shipping import ADA, BOB, CREWS, EVE, LATE, PLAIN, decide, ship, waiting_version

# Each worker would let a model through of its own.
pytestmark = pytest.mark.xdist_group("let through")

MAX = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={TeamId("other"): Role.ADMIN})
AUDITOR = Principal(id=PrincipalId("usr_aud"), name="aud", kind="person", roles={DEFAULT_TEAM: Role.AUDITOR})


def made(yard: Installation, model: ModelName = LATE, principal: Principal = ADA, version: int = 1) -> Dossier:
    """A new dossier."""
    return make_dossier(yard.database, yard.blobs, yard.tables, yard.log_key, yard.role_keys, principal, model, version)


def unpacked(yard: Installation, dossier: Dossier, folder: Path) -> Path:
    """The dossier's bundle, in a folder."""
    _, chunks = open_bundle(yard.database, yard.blobs, AUDITOR, dossier.id)
    content = b"".join(chunks)
    assert digest_bytes(content) == dossier.digest
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        opened.extractall(folder, filter="data")
    return folder


def trust(yard: Installation) -> Trust:
    """What an auditor is given now."""
    sequence_pending(yard.database, "tests")
    yard.database.write(lambda tx: sign_checkpoint(tx, yard.log_key))
    return yard.database.write(lambda tx: give_trust(tx, AUDITOR, yard.log_key, yard.role_keys))


def failing(folder: Path, given: Trust) -> dict[str, str]:
    """The checks that do not hold."""
    return {one.name: one.said for one in verify_bundle(folder, given) if not one.passed}


@pytest.fixture(scope="module")
def earlier(yard: Installation) -> Trust:
    """What an auditor was given before any dossier was made."""
    return trust(yard)


@pytest.fixture(scope="module")
def dossier(yard: Installation, earlier: Trust) -> Dossier:
    """A dossier of `late`."""
    return made(yard)


@pytest.fixture(scope="module")
def folder(yard: Installation, dossier: Dossier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle."""
    return unpacked(yard, dossier, tmp_path_factory.mktemp("bundle"))


def document(folder: Path, path: str) -> Any:
    """A JSON document of a bundle."""
    return json.loads((folder / path).read_bytes())


def test_a_dossier_verifies_by_what_an_auditor_was_given_before_it(folder: Path, earlier: Trust) -> None:
    found = verify_bundle(folder, earlier)
    assert [one for one in found if not one.passed] == []
    said = {one.name: one.said for one in found}
    assert said["approval"].startswith("by policy")
    assert said["lineage"] == "5 datasets from 2 sources to the model"


def test_every_auditors_checkpoint_is_led_on_from(yard: Installation, folder: Path, earlier: Trust, tmp_path: Path) -> None:
    later = trust(yard)
    assert "made again after it" in failing(folder, later)["consistency"]
    again = unpacked(yard, made(yard), tmp_path)
    assert (failing(again, earlier), failing(again, later)) == ({}, {})
    assert len(document(again, CONSISTENCY)["proofs"]) >= 2


def test_giving_the_same_checkpoint_twice_is_recorded_once(yard: Installation) -> None:
    first = trust(yard)
    sequence_pending(yard.database, "tests")
    assert yard.database.write(lambda tx: give_trust(tx, AUDITOR, yard.log_key, yard.role_keys)) == first
    sequence_pending(yard.database, "tests")
    with yard.database.read() as snapshot:
        sizes = [one.data["size"] for one in list_entries(snapshot, type="governance.trust_given").entries]
    assert len(sizes) == len(set(sizes))


def test_counts_are_those_of_the_answers_and_of_the_ledgers_entry(yard: Installation, folder: Path, dossier: Dossier) -> None:
    answers = document(folder, "dossier.json")["requirements"]
    assert dossier.met == sum(one["status"] == "met" for one in answers) > 0
    assert dossier.waiting == sum(one["needs"] == "person" for one in answers) > 0
    assert dossier.met + dossier.waiting + dossier.missing + dossier.not_applicable == len(answers) == 202
    sequence_pending(yard.database, "tests")
    with yard.database.read() as snapshot:
        entries = list_entries(snapshot, type="governance.dossier_made", subject="model:late/1").entries
    told = next(one for one in entries if one.data["dossier"] == dossier.id)
    assert (told.digest, told.data["met"], told.actor) == (dossier.digest, dossier.met, ADA.id)


def test_the_pdf_is_a_pdf_and_the_packages_are_those_of_the_lock(folder: Path) -> None:
    assert (folder / "dossier.pdf").read_bytes().startswith(b"%PDF-1.7")
    names = {one["name"] for one in document(folder, "bom.cdx.json")["components"] if one["type"] == "library"}
    assert {"lightgbm", "numpy", "polars", "scikit-learn"} <= names


def test_attestations_are_the_same_in_every_dossier_of_a_version(yard: Installation, folder: Path, tmp_path: Path) -> None:
    again = unpacked(yard, made(yard), tmp_path)
    same = [path for kind, path in ATTESTATIONS.items() if kind != "dossier"] + ["model.sig", "lineage/openlineage.ndjson"]
    assert all((again / path).read_bytes() == (folder / path).read_bytes() for path in same)


def test_a_tampered_dossier_is_found(yard: Installation, earlier: Trust, dossier: Dossier, tmp_path: Path) -> None:
    copy = unpacked(yard, dossier, tmp_path)
    answers = document(copy, "dossier.json")
    next(one for one in answers["requirements"] if one["needs"])["status"] = "met"
    (copy / "dossier.json").write_bytes(msgspec.json.encode(answers))
    remanifest(copy)
    assert "dossier contents" in failing(copy, earlier)


def test_a_high_risk_needs_a_person_and_then_has_duties_that_apply(yard: Installation, tmp_path: Path, earlier: Trust) -> None:
    decide(yard, CREWS)
    found = made(yard, CREWS)
    bundle = unpacked(yard, found, tmp_path)
    assert failing(bundle, earlier) == {}
    answers = {one["id"]: one for one in document(bundle, "dossier.json")["requirements"]}
    assert answers["EUAIA-9.1"]["needs"] == "person"
    assert answers["EUAIA-IV.1c"]["reason"] == "not on record: deploy.record"


def test_a_version_that_waits_or_that_no_delivery_made_has_no_dossier(yard: Installation) -> None:
    version = waiting_version(yard, CREWS)
    with pytest.raises(NotLetThrough):
        made(yard, CREWS, version=version)
    own = ModelName("logged")
    with yard.database.read() as snapshot:
        artifact = get_version(snapshot, LATE, 1).artifact
    yard.database.write(lambda tx: ensure_model(tx, SYSTEM, NewModel(name=own)))
    yard.database.write(lambda tx: register_version(tx, SYSTEM, own, NewVersion(artifact=artifact)))
    with pytest.raises(NotAttestable):
        made(yard, own)


def test_who_may_not_write_makes_none_and_other_teams_see_none(yard: Installation, dossier: Dossier) -> None:
    for principal in (EVE, AUDITOR):
        with pytest.raises(NotAllowed):
            made(yard, principal=principal)
    with pytest.raises(NotFound):
        made(yard, principal=MAX)
    with yard.database.read() as snapshot:
        assert list_dossiers(snapshot, MAX) == []
        assert dossier in list_dossiers(snapshot, BOB, "late")
        assert dossier in list_version_dossiers(snapshot, AUDITOR, LATE, 1)
        assert list_dossiers(snapshot, BOB, "nothing") == []
    with pytest.raises(NoSuchDossier):
        open_bundle(yard.database, yard.blobs, MAX, dossier.id)


def test_a_dossier_of_a_model_without_views_says_how_its_rows_were_split(yard: Installation, tmp_path: Path) -> None:
    ship(yard, PLAIN)
    given = trust(yard)
    folder = unpacked(yard, made(yard, PLAIN), tmp_path)
    assert failing(folder, given) == {}
    statement = json.loads((folder / ATTESTATIONS[Attested.EVALUATION]).read_bytes())
    figures = json.loads(base64.b64decode(statement["payload"]))["predicate"]["figures"]
    assert "by a hash of the inputs" in figures["split"]
    assert not {"firstAsOf", "lastAsOf"} & set(figures)
    with yard.database.read() as snapshot:
        card = msgspec.json.encode(get_card(snapshot, yard.blobs, ADA, PLAIN, 1)).decode()
    assert "apart from the training rows by a hash of their inputs" in card

"""Versions are attested once, from their records alone, each statement by the key of its role, and recorded in the ledger."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest, digest_bytes
from modelyard.delivery.domain import DeliveryId
from modelyard.delivery.stages.release import POLICY_TIERS as DELIVERYS_OWN
from modelyard.delivery.store import find_delivery, put_delivery
from modelyard.governance.attestations import POLICY_TIERS
from modelyard.governance.domain import ATTESTATIONS, MODEL_SIGNATURE, Attested, BadRoleKey, KeyRole, NotAttestable
from modelyard.governance.rules.signing import opened_signature
from modelyard.governance.service import RoleKeys, attest, list_attestations, tick
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.registry.domain import ModelName, NewModel, NewVersion
from modelyard.registry.service import ensure_model, find_key, get_version, register_version
from modelyard.server.installation import Installation
from modelyard.tracking.domain import DEFAULT_EXPERIMENT, NewRun
from modelyard.tracking.service import create_run, ensure_default
from tests.governance.shipping import CREWS, LATE, decide

# Each worker would let a model through of its own.
pytestmark = pytest.mark.xdist_group("let through")

SIGNED = {MODEL_SIGNATURE, ATTESTATIONS[Attested.TRAINING], ATTESTATIONS[Attested.EVALUATION]}
DECIDED = SIGNED | {ATTESTATIONS[Attested.APPROVAL], ATTESTATIONS[Attested.GATE]}


def paths(yard: Installation, model: ModelName) -> set[str]:
    """Which attestations the model's first version has."""
    with yard.database.read() as snapshot:
        return {one.path for one in list_attestations(snapshot, SYSTEM, model, 1)}


def said(yard: Installation, model: ModelName, kind: Attested) -> Any:
    """The predicate of an attestation."""
    with yard.database.read() as snapshot:
        found = next(one for one in list_attestations(snapshot, SYSTEM, model, 1) if one.path == ATTESTATIONS[kind])
    envelope = json.loads(yard.blobs.get_bytes(found.digest))
    return json.loads(base64.b64decode(envelope["payload"]))["predicate"]


def test_what_is_registered_is_attested_and_what_is_let_through_is_attested_further(yard: Installation, keys: RoleKeys) -> None:
    while sequence_pending(yard.database, "tests") or tick(yard.database, yard.blobs, keys):
        pass
    assert paths(yard, LATE) == DECIDED
    assert paths(yard, CREWS) >= SIGNED
    decide(yard, CREWS)
    while sequence_pending(yard.database, "tests") or tick(yard.database, yard.blobs, keys):
        pass
    assert paths(yard, CREWS) == DECIDED
    with yard.database.read() as snapshot:
        entries = list_entries(snapshot, type="governance.attested").entries
        found = [one for model in (LATE, CREWS) for one in list_attestations(snapshot, SYSTEM, model, 1)]
    assert sorted((one.digest or "", one.data["file"]) for one in entries) == sorted((one.digest, one.path) for one in found)


def test_attesting_again_changes_nothing(yard: Installation, keys: RoleKeys) -> None:
    first = attest(yard.database, yard.blobs, keys, LATE, 1)
    assert attest(yard.database, yard.blobs, keys, LATE, 1) == first


def test_the_signature_covers_the_artifacts_files(yard: Installation, keys: RoleKeys) -> None:
    found = next(one for one in attest(yard.database, yard.blobs, keys, LATE, 1) if one.path == MODEL_SIGNATURE)
    signed = opened_signature(yard.blobs.get_bytes(found.digest), [keys.public[KeyRole.MODEL]])
    assert signed.name == "late/1"
    assert all(digest_bytes(yard.blobs.get_bytes(Digest(f"sha256:{digest}"))) == f"sha256:{digest}" for digest in signed.files.values())


def test_a_training_says_what_the_model_came_from(yard: Installation, keys: RoleKeys) -> None:
    attest(yard.database, yard.blobs, keys, LATE, 1)
    definition = said(yard, LATE, Attested.TRAINING)["buildDefinition"]
    assert definition["internalParameters"]["startedBy"]["id"] == "usr_ada"
    assert definition["internalParameters"]["riskTier"] == "limited"
    names = [one["name"] for one in definition["resolvedDependencies"]]
    assert names[:4] == ["source", "environment", "requirements", "modelyard"]
    assert names[4:] == ["training snapshot", "weather.parquet", "on-demand function headwind", "flights.parquet"]


def test_a_policy_approves_what_its_tier_allows_and_a_person_the_rest(yard: Installation, keys: RoleKeys) -> None:
    decide(yard, CREWS)
    for model in (LATE, CREWS):
        attest(yard.database, yard.blobs, keys, model, 1)
    by_policy, by_bob = said(yard, LATE, Attested.APPROVAL), said(yard, CREWS, Attested.APPROVAL)
    assert [one["expression"] for one in by_policy["outcomes"]] == ["metrics.roc_auc >= 0.55", "data.rows > 100"]
    assert by_policy["facts"]["metrics"]["roc_auc"] >= 0.55
    assert (by_bob["approver"]["id"], by_bob["startedBy"]["id"], by_bob["reason"]) == ("usr_bob", "usr_ada", "looked at the slices")
    assert set(POLICY_TIERS) == {tier.value for tier in DELIVERYS_OWN}


def test_a_version_that_no_delivery_made_is_not_attested_and_stops_nobody(yard: Installation, keys: RoleKeys) -> None:
    own = ModelName("own")
    with yard.database.read() as snapshot:
        from_late = list_entries(snapshot, type="registry.version_registered").entries[0]
    assert from_late.digest is not None
    artifact = from_late.digest
    yard.database.write(lambda tx: ensure_model(tx, SYSTEM, NewModel(name=own)))
    yard.database.write(lambda tx: register_version(tx, SYSTEM, own, NewVersion(artifact=artifact)))
    with pytest.raises(NotAttestable, match="no run is recorded"):
        attest(yard.database, yard.blobs, keys, own, 1)
    sequence_pending(yard.database, "tests")
    while tick(yard.database, yard.blobs, keys):
        pass
    assert paths(yard, own) == set()


def test_a_version_that_names_a_deliverys_run_and_id_is_not_that_deliverys(yard: Installation, keys: RoleKeys) -> None:
    def claimed(tx: Any) -> ModelName:
        first = get_version(tx, LATE, 1)
        before = find_delivery(tx, DeliveryId(str(find_key(tx, first))))
        assert before is not None
        under_way = replace(before, id=DeliveryId("dlv_claimed"), model="claimed", version=None)
        put_delivery(tx, under_way, "claimed")
        ensure_model(tx, SYSTEM, NewModel(name=ModelName(under_way.model)))
        ensure_default(tx)
        run = create_run(tx, SYSTEM, NewRun(experiment_id=DEFAULT_EXPERIMENT, tags={"modelyard.delivery": under_way.id})).facts
        body = NewVersion(artifact=first.artifact, run=run.id, key=under_way.id)
        return register_version(tx, SYSTEM, ModelName(under_way.model), body).model

    model = yard.database.write(claimed)
    with pytest.raises(NotAttestable, match="made another version, or none yet"):
        attest(yard.database, yard.blobs, keys, model, 1)
    assert paths(yard, model) == set()


def test_keys_are_made_once_private_and_one_for_each_role(tmp_path: Path) -> None:
    first, second = RoleKeys.open(tmp_path), RoleKeys.open(tmp_path)
    assert first.public == second.public
    assert len(set(first.public.values())) == len(KeyRole)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert isinstance(first.key(KeyRole.GATE).curve, ec.SECP256R1)
    assert "PRIVATE" not in repr(first)


def test_a_key_that_others_may_read_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    RoleKeys.open(tmp_path)
    path = tmp_path / "gate.pem"
    path.chmod(0o644)
    with pytest.raises(BadRoleKey, match="others may read"):
        RoleKeys.open(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"no key")
    with pytest.raises(BadRoleKey, match="holds no key"):
        RoleKeys.open(tmp_path)
    assert path.read_bytes() == b"no key"

"""Who decides: never the author, and without logins there is nobody else, which the refusal says."""

from pathlib import Path

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, LOCAL, LOCAL_COMMANDS, SYSTEM, Principal, PrincipalId, Role, TeamId
from modelyard.access.service import create_service_account
from modelyard.core.digests import Digest
from modelyard.delivery.declaration import Gate
from modelyard.delivery.domain import ApprovalId, ApprovalState, AuthorMayNotApprove, Cause, CauseKind
from modelyard.delivery.machine import begun, new_delivery_id
from modelyard.delivery.service import approve, ask_approval, declare_model, find_declared, reject
from modelyard.delivery.store import find_authors
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.storage.database import Database
from tests.delivery.declaring import declared, write_sources
from tests.delivery.test_machine import started

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
CY = Principal(id=PrincipalId("usr_cy"), name="cy", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
CI = Principal(id=PrincipalId("svc_ci"), name="ci", kind="service", roles={DEFAULT_TEAM: Role.APPROVER})
BEN = Principal(id=PrincipalId("usr_ben"), name="ben", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})


@pytest.mark.parametrize(("author", "advice"), [(ADA, "another approver"), (LOCAL, "yard user add")], ids=("person", "no login"))
def test_an_author_does_not_approve_and_is_told_who_could(database: Database, author: Principal, advice: str) -> None:
    cause = Cause(kind=CauseKind.PERSON, actor=author.id)
    delivery = msgspec.structs.replace(started(database), id=new_delivery_id(), model="risky", cause=cause)
    database.write(lambda tx: begun(tx, delivery, delivery.id))
    asked = database.write(lambda tx: ask_approval(tx, delivery, 1, "high risk needs a person"))
    with pytest.raises(AuthorMayNotApprove) as refused:
        database.write(lambda tx: approve(tx, author, asked.id))
    assert advice in refused.value.hint
    assert database.write(lambda tx: approve(tx, BEN, asked.id)).state is ApprovalState.APPROVED


def asked_of(database: Database, starter: Principal, digest: Digest) -> ApprovalId:
    """An approval of a delivery that `starter` began of what has that digest."""
    delivery = msgspec.structs.replace(started(database), id=new_delivery_id(), model="risky", declaration=digest)
    delivery = msgspec.structs.replace(delivery, cause=Cause(kind=CauseKind.PERSON, actor=starter.id))
    database.write(lambda tx: begun(tx, delivery, delivery.id))
    return database.write(lambda tx: ask_approval(tx, delivery, 1, "high risk needs a person")).id


def asked_for(database: Database, starter: Principal, declared_by: Principal, folder: Path) -> ApprovalId:
    """An approval of a delivery that `starter` began of what `declared_by` declared."""
    write_sources(folder)
    return asked_of(database, starter, declare_model(database, declared_by, declared(folder)).digest)


def local_commands(database: Database) -> Principal:
    """The account of the token in the data folder."""
    user = database.write(lambda tx: create_service_account(tx, SYSTEM, LOCAL_COMMANDS, EVERY_TEAM, Role.CONTRIBUTOR))
    return Principal(id=user.id, name=LOCAL_COMMANDS, kind="service", roles=user.roles)


@pytest.mark.parametrize("starter", [SYSTEM, BEN], ids=("a schedule", "a colleague"))
def test_who_declared_what_is_shipped_does_not_approve_it_whoever_started_it(
    database: Database, tmp_path: Path, starter: Principal
) -> None:
    asked = asked_for(database, starter, ADA, tmp_path)
    with pytest.raises(AuthorMayNotApprove, match="ada declared what this delivery"):
        database.write(lambda tx: approve(tx, ADA, asked))
    assert database.write(lambda tx: approve(tx, CY, asked)).state is ApprovalState.APPROVED


def test_what_the_data_folders_token_declared_and_shipped_is_approved_by_nobody(database: Database, tmp_path: Path) -> None:
    commands = local_commands(database)
    asked = asked_for(database, commands, commands, tmp_path)
    with pytest.raises(AuthorMayNotApprove, match="whoever reads the data folder") as refused:
        database.write(lambda tx: approve(tx, CY, asked))
    assert "yard login and yard ship risky" in refused.value.hint
    database.write(lambda tx: reject(tx, CY, asked, "whose is it?"))


def test_who_brings_back_a_colleagues_declaration_does_not_approve_what_a_schedule_ships_of_it(database: Database, tmp_path: Path) -> None:
    write_sources(tmp_path)
    old, new = declared(tmp_path), declared(tmp_path, gates=(Gate("metrics.roc_auc > 0.9"),))
    for who, body in ((BEN, old), (CY, new), (ADA, old)):
        digest = declare_model(database, who, body).digest
    asked = asked_of(database, SYSTEM, digest)
    with pytest.raises(AuthorMayNotApprove, match="ada made current what this delivery"):
        database.write(lambda tx: approve(tx, ADA, asked))
    with pytest.raises(AuthorMayNotApprove, match="ben declared what this delivery"):
        database.write(lambda tx: approve(tx, BEN, asked))
    declare_model(database, CY, old)  # is current, and changes nothing: neither who may approve
    assert database.write(lambda tx: approve(tx, CY, asked)).state is ApprovalState.APPROVED


def test_a_person_who_applies_what_the_data_folders_token_declared_stands_behind_it(database: Database, tmp_path: Path) -> None:
    commands = local_commands(database)
    asked = asked_for(database, SYSTEM, commands, tmp_path)
    with pytest.raises(AuthorMayNotApprove, match="whoever reads the data folder"):
        database.write(lambda tx: approve(tx, CY, asked))
    for who in (BEN, commands, BEN, ADA):
        declare_model(database, who, declared(tmp_path))
    with pytest.raises(AuthorMayNotApprove, match="ben made current what this delivery"):
        database.write(lambda tx: approve(tx, BEN, asked))
    assert database.write(lambda tx: approve(tx, CY, asked)).state is ApprovalState.APPROVED
    sequence_pending(database, "test")
    with database.read() as snapshot:
        adopted = [
            (event.actor, event.data["adopted_from"]) for event in list_events(snapshot, -1) if event.type == "delivery.model_adopted"
        ]
    assert adopted == [(BEN.id, commands.id)]


def test_a_person_who_applies_a_declaration_from_another_checkout_leaves_its_data_where_they_were(
    database: Database, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        write_sources(folder)
    digest = declare_model(database, local_commands(database), declared(here)).digest
    assert declare_model(database, BEN, declared(there)).digest == digest
    with database.read() as snapshot:
        standing, authors = find_declared(snapshot, "late", digest), find_authors(snapshot, digest)
    assert standing is not None
    assert standing.declared.root == str(here)
    assert authors is not None
    assert authors.made_current_by == BEN.id


def test_what_the_data_folders_token_brings_back_is_barred_whoever_declared_it(database: Database, tmp_path: Path) -> None:
    write_sources(tmp_path)
    old, new = declared(tmp_path), declared(tmp_path, gates=(Gate("metrics.roc_auc > 0.9"),))
    for who, body in ((BEN, old), (CY, new), (local_commands(database), old)):
        digest = declare_model(database, who, body).digest
    asked = asked_of(database, SYSTEM, digest)
    with pytest.raises(AuthorMayNotApprove, match="whoever reads the data folder"):
        database.write(lambda tx: approve(tx, CY, asked))


def test_a_service_account_is_no_person_whatever_its_role(database: Database, tmp_path: Path) -> None:
    asked = asked_for(database, ADA, ADA, tmp_path)
    with pytest.raises(AuthorMayNotApprove, match="ci is no person; high risk needs a person"):
        database.write(lambda tx: approve(tx, CI, asked))


def test_what_is_recorded_of_a_delivery_is_its_teams(database: Database) -> None:
    delivery = msgspec.structs.replace(started(database), id=new_delivery_id(), model="risky", team_id=TeamId("red"))
    database.write(lambda tx: begun(tx, delivery, delivery.id))
    asked = database.write(lambda tx: ask_approval(tx, delivery, 1, "high risk needs a person"))
    database.write(lambda tx: approve(tx, msgspec.structs.replace(BEN, roles={TeamId("red"): Role.APPROVER}), asked.id))
    sequence_pending(database, "test")
    with database.read() as snapshot:
        found = {event.type: event.team_id for event in list_events(snapshot, -1) if event.subject.startswith("model:risky")}
    assert found == dict.fromkeys(("delivery.started", "delivery.approval_asked", "delivery.approved"), "red")


def test_an_author_may_withdraw_what_was_asked_for(database: Database) -> None:
    delivery = msgspec.structs.replace(started(database), id=new_delivery_id(), model="risky")
    delivery = msgspec.structs.replace(delivery, cause=Cause(kind=CauseKind.PERSON, actor=ADA.id))
    database.write(lambda tx: begun(tx, delivery, delivery.id))
    asked = database.write(lambda tx: ask_approval(tx, delivery, 1, "high risk needs a person"))
    assert database.write(lambda tx: reject(tx, ADA, asked.id, "wrong data")).state is ApprovalState.REJECTED

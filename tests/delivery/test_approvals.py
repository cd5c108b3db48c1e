"""Who decides: never the author, and without logins there is nobody else, which the refusal says."""

import msgspec
import pytest

from modelyard.access.domain import DEFAULT_TEAM, LOCAL, Principal, PrincipalId, Role
from modelyard.delivery.domain import ApprovalState, AuthorMayNotApprove, Cause, CauseKind
from modelyard.delivery.machine import begun, new_delivery_id
from modelyard.delivery.service import approve, ask_approval, reject
from modelyard.storage.database import Database
from tests.delivery.test_machine import started

ADA = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
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


def test_an_author_may_withdraw_what_was_asked_for(database: Database) -> None:
    delivery = msgspec.structs.replace(started(database), id=new_delivery_id(), model="risky")
    delivery = msgspec.structs.replace(delivery, cause=Cause(kind=CauseKind.PERSON, actor=ADA.id))
    database.write(lambda tx: begun(tx, delivery, delivery.id))
    asked = database.write(lambda tx: ask_approval(tx, delivery, 1, "high risk needs a person"))
    assert database.write(lambda tx: reject(tx, ADA, asked.id, "wrong data")).state is ApprovalState.REJECTED

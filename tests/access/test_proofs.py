"""Proofs of tokens are remembered for a moment, and never longer than they hold."""

from collections.abc import Callable

from modelyard.access import store
from modelyard.access.domain import DEFAULT_TEAM, Authenticated, Principal, PrincipalId, Role, TokenId, User
from modelyard.access.service import Proofs
from modelyard.access.service.proofs import LEASE_S, MOST
from modelyard.core.clock import FixedClock
from modelyard.storage.database import Database

HEADER = "Bearer yard_0123456789ab_secret"
FOUND = Authenticated(principal=Principal(id=PrincipalId("usr_1"), name="ada", kind="person"), by="token")


def kept(clock: FixedClock) -> Proofs:
    """Proofs that hold one."""
    proofs = Proofs(clock)
    proofs.keep(HEADER, FOUND, proofs.count_changes())
    return proofs


def test_a_proof_is_found_by_its_whole_header_until_its_lease_ends(clock: FixedClock) -> None:
    proofs = kept(clock)
    assert proofs.find(HEADER) == FOUND
    assert proofs.find(HEADER + "0") is None
    clock.advance(LEASE_S)
    assert proofs.find(HEADER) is None


def test_a_revocation_ends_every_proof_at_once(clock: FixedClock, database: Database) -> None:
    proofs = kept(clock)
    database.write(lambda tx: store.put_revoked(tx, [TokenId("0123456789ab")], tx.wall()))
    assert proofs.find(HEADER) is None


def test_whoever_loses_a_role_or_is_disabled_is_proven_anew(clock: FixedClock, database: Database, person: Callable[..., User]) -> None:
    ada = person("ada", default="contributor")
    for work in (
        lambda tx: store.put_role(tx, ada.id, DEFAULT_TEAM, Role.VIEWER),
        lambda tx: store.delete_role(tx, ada.id, DEFAULT_TEAM),
        lambda tx: store.put_active(tx, ada.id, is_active=False),
    ):
        proofs = kept(clock)
        database.write(work)
        assert proofs.find(HEADER) is None


def test_what_was_read_before_a_change_is_not_kept_after_it(clock: FixedClock, database: Database) -> None:
    proofs = Proofs(clock)
    before = proofs.count_changes()
    database.write(lambda tx: store.put_revoked(tx, [TokenId("0123456789ab")], tx.wall()))
    proofs.keep(HEADER, FOUND, before)
    assert proofs.find(HEADER) is None


def test_no_more_than_so_many_are_kept(clock: FixedClock) -> None:
    proofs = kept(clock)
    for number in range(MOST):
        proofs.keep(f"Bearer {number}", FOUND, proofs.count_changes())
    assert proofs.find(HEADER) is None
    assert proofs.find(f"Bearer {MOST - 1}") == FOUND

"""Whoever edits, deletes, inserts, reorders, cuts, restores or rebuilds the log is found out, and told apart from others."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.core.clock import FixedClock
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import HTTP_STATUS, NotFound
from modelyard.ledger import store
from modelyard.ledger.domain import Checkpoint, EntryId, LogCorrupt, NewEntry, Verification, VerificationStopped, VerificationUnderWay
from modelyard.ledger.rules.leaf import leaf_of, pending_of
from modelyard.ledger.rules.merkle import Tile, grown, leaf_hash
from modelyard.ledger.service import (
    Contents,
    LogKey,
    get_entry,
    record,
    sequence_pending,
    sign_checkpoint,
    verify,
    verify_log,
)
from modelyard.storage.database import Database, Transaction
from tests.ledger.conftest import HOLDER, entry

ENTRIES, TILES, CHECKPOINTS, PERSONAL = store.ENTRIES, store.TILES, store.CHECKPOINTS, store.PERSONAL
COUNT = 600
BLOB = b"weights of a model"

Append = Callable[[int], list[EntryId]]
Sign = Callable[[], Checkpoint]


@pytest.fixture
def signed(append: Append, checkpoint: Sign) -> Checkpoint:
    """The auditor's own copy of the checkpoint over 600 entries; another was signed over 500."""
    append(500)
    checkpoint()
    append(COUNT - 500)
    return checkpoint()


def result_of(database: Database, key: LogKey, *known: Checkpoint) -> Verification:
    """What verifying gives to an auditor who kept `known`."""
    with database.read() as snapshot:
        return verify_log(snapshot, key.verifier, known=[one.note for one in known])


def codes(result: Verification) -> set[str]:
    """The codes of what was found."""
    assert result.is_sound == (not result.findings)
    return {finding.code for finding in result.findings}


def run(database: Database, *statements: sa.Executable) -> None:
    """Changes rows from outside."""
    database.write(lambda tx: [tx.connection.execute(statement) for statement in statements])


def leaf_at(database: Database, index: int) -> bytes:
    """The stored leaf."""
    with database.read() as snapshot:
        return get_entry(snapshot, index).leaf


def rebuilt(tx: Transaction, leaves: list[bytes]) -> None:
    """Replaces the whole log by these leaves, with a tree that fits them: the most that a database's owner can do."""
    tiles: dict[Tile, bytes] = {}
    tiles |= grown(tiles.__getitem__, 0, [leaf_hash(leaf) for leaf in leaves])
    for table in (ENTRIES, TILES):
        tx.connection.execute(sa.delete(table))
    entries = [pending_of(leaf) for leaf in leaves]
    rows = zip(entries, leaves, strict=True)
    store.insert_entries(
        tx,
        [
            store.StoredEntry(index=index, id=one.id, type=one.type, subject=one.subject, team_id=one.team_id, leaf=leaf)
            for (index, one), leaf in rows
        ],
    )
    store.put_tiles(tx, tiles)


def forged_leaves(database: Database) -> list[bytes]:
    """All leaves of the log, the one at 10 approving something that was refused."""
    with database.read() as snapshot:
        leaves = [row.leaf for row in store.list_after(snapshot, -1, COUNT)]
    leaves[10] = leaves[10].replace(b'"number":10', b'"number":99')
    return leaves


def test_an_untouched_log_verifies_from_first_to_last(database: Database, key: LogKey, signed: Checkpoint) -> None:
    result = result_of(database, key, signed)
    assert (result.is_sound, result.size, result.root, result.checkpoints) == (True, COUNT, signed.root, 3)
    assert (result.findings, result.notices, result.pending, result.covered) == ([], [], 0, COUNT)
    assert verify(database, key, Contents(looked=lambda _: {})).is_sound


@pytest.mark.usefixtures("signed")
def test_one_verification_runs_at_a_time_and_gives_its_turn_back(database: Database, key: LogKey) -> None:
    contents = Contents(looked=lambda _: {})
    with contents.turn, pytest.raises(VerificationUnderWay) as refused:
        verify(database, key, contents)
    assert (HTTP_STATUS[refused.value.kind], refused.value.retry_after_s) == (429, 5)
    for _ in range(2):
        assert verify(database, key, contents).is_sound


def test_an_edited_leaf_is_named(database: Database, key: LogKey, signed: Checkpoint) -> None:
    changed = leaf_at(database, 300).replace(b'"number":300', b'"number":301')
    run(database, sa.update(ENTRIES).where(ENTRIES.c.entry_index == 300).values(leaf=changed))
    result = result_of(database, key, signed)
    assert codes(result) == {"leaf_differs", "tile_changed", "root_differs"}
    assert [finding.index for finding in result.findings if finding.code == "leaf_differs"] == [300]
    with database.read() as snapshot, pytest.raises(LogCorrupt, match="entry 300 is not what the checkpoint"):
        get_entry(snapshot, 300)


@pytest.mark.parametrize("column", ["type", "subject", "team_id", "id"])
def test_a_column_that_search_goes_by_cannot_be_changed_alone(database: Database, key: LogKey, signed: Checkpoint, column: str) -> None:
    run(database, sa.update(ENTRIES).where(ENTRIES.c.entry_index == 5).values({column: "other.thing"}))
    result = result_of(database, key, signed)
    assert [(finding.code, finding.index) for finding in result.findings] == [("columns_differ", 5)]


def test_a_deleted_entry_is_named(database: Database, key: LogKey, signed: Checkpoint) -> None:
    run(database, sa.delete(ENTRIES).where(ENTRIES.c.entry_index.in_([7, 8, 400])))
    result = result_of(database, key, signed)
    assert [(finding.code, finding.index) for finding in result.findings] == [
        ("entry_missing", 7),
        ("entry_missing", 8),
        ("entry_missing", 400),
    ]


def test_an_inserted_entry_is_found_at_the_end_and_in_the_middle(database: Database, key: LogKey, signed: Checkpoint) -> None:
    _, found = pending_of(leaf_at(database, 3))
    row = {"id": "ent_forged", "type": found.type, "subject": found.subject, "team_id": found.team_id}
    run(database, sa.insert(ENTRIES).values(entry_index=COUNT, leaf=leaf_of(COUNT, found), **row))
    assert "leaf_differs" in codes(result_of(database, key, signed))
    run(database, sa.delete(ENTRIES).where(ENTRIES.c.entry_index.in_([3, COUNT])))
    run(database, sa.insert(ENTRIES).values(entry_index=3, leaf=leaf_of(3, found).replace(b"prn_test", b"prn_evil"), **row))
    assert {"leaf_differs", "columns_differ"} <= codes(result_of(database, key, signed))


def test_two_entries_that_changed_places_are_found(database: Database, key: LogKey, signed: Checkpoint) -> None:
    first, second = leaf_at(database, 20), leaf_at(database, 21)
    for index, leaf in ((20, second), (21, first)):
        run(database, sa.update(ENTRIES).where(ENTRIES.c.entry_index == index).values(leaf=leaf))
    result = result_of(database, key, signed)
    assert [finding.index for finding in result.findings if finding.code == "entry_moved"] == [20, 21]
    assert "leaf_differs" in codes(result)


def test_a_log_that_was_cut_is_found_even_with_its_tiles(database: Database, key: LogKey, signed: Checkpoint) -> None:
    with database.read() as snapshot:
        leaves = [row.leaf for row in store.list_after(snapshot, -1, 550)]
    database.write(lambda tx: rebuilt(tx, leaves))
    assert codes(result_of(database, key)) == {"log_truncated"}
    run(database, sa.delete(CHECKPOINTS).where(CHECKPOINTS.c.size == COUNT))
    assert codes(result_of(database, key)) == set()
    assert codes(result_of(database, key, signed)) == {"log_truncated"}


def test_an_empty_database_is_no_substitute_for_the_log(database: Database, key: LogKey, signed: Checkpoint) -> None:
    run(database, *(sa.delete(table) for table in (ENTRIES, TILES, CHECKPOINTS)))
    assert codes(result_of(database, key, signed)) == {"log_truncated"}


def test_a_tree_grown_anew_over_forged_entries_contradicts_the_checkpoints(database: Database, key: LogKey, signed: Checkpoint) -> None:
    leaves = forged_leaves(database)
    database.write(lambda tx: rebuilt(tx, leaves))
    result = result_of(database, key)
    assert codes(result) == {"root_differs"}
    assert result.finding_count == 2


def test_a_log_rebuilt_with_another_key_is_not_signed_by_the_trusted_one(database: Database, key: LogKey, signed: Checkpoint) -> None:
    leaves, other = forged_leaves(database), LogKey.new(key.origin)

    def forge(tx: Transaction) -> None:
        rebuilt(tx, leaves)
        tx.connection.execute(sa.delete(CHECKPOINTS))
        sign_checkpoint(tx, other)

    database.write(forge)
    assert codes(result_of(database, other)) == set()
    assert codes(result_of(database, key)) == {"checkpoint_not_signed"}
    assert codes(result_of(database, other, signed)) == {"known_checkpoint_not_signed"}


def test_a_log_rebuilt_with_its_own_key_contradicts_the_auditors_checkpoint(database: Database, key: LogKey, signed: Checkpoint) -> None:
    leaves = forged_leaves(database)

    def forge(tx: Transaction) -> None:
        rebuilt(tx, leaves)
        tx.connection.execute(sa.delete(CHECKPOINTS))
        sign_checkpoint(tx, key)

    database.write(forge)
    assert codes(result_of(database, key)) == set()
    assert codes(result_of(database, key, signed)) == {"root_differs"}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_old_backup_in_place_of_the_log_is_found_even_after_it_grew_again(
    database: Database, key: LogKey, append: Append, checkpoint: Sign, tmp_path: Path
) -> None:
    append(50)
    checkpoint()
    backup = tmp_path / "backup.db"
    with sqlite3.connect(tmp_path / "modelyard.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    source.close()
    target.close()
    append(30)
    kept = checkpoint()
    restored = Database.open(f"sqlite:///{backup}", FixedClock())
    assert codes(result_of(restored, key)) == set()
    assert codes(result_of(restored, key, kept)) == {"log_truncated"}
    restored.write(lambda tx: [record(tx, entry(number)) for number in range(40)])
    sequence_pending(restored, HOLDER)
    restored.write(lambda tx: sign_checkpoint(tx, key))
    assert codes(result_of(restored, key, kept)) == {"root_differs"}
    restored.close()


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"root": bytes(32)}, "checkpoint_changed"),
        ({"origin": "other"}, "checkpoint_changed"),
        ({"note": "none\n"}, "checkpoint_not_signed"),
    ],
)
def test_a_changed_checkpoint_is_found(database: Database, key: LogKey, signed: Checkpoint, values: dict[str, object], code: str) -> None:
    run(database, sa.update(CHECKPOINTS).where(CHECKPOINTS.c.size == 500).values(**values))
    assert codes(result_of(database, key, signed)) == {code}


def test_changed_missing_and_surplus_tiles_are_found(database: Database, key: LogKey, signed: Checkpoint) -> None:
    at = (TILES.c.level == 0) & (TILES.c.number == 1)
    run(database, sa.update(TILES).where(TILES.c.level == 1).values(hashes=bytes(64)))
    assert codes(result_of(database, key)) == {"tile_changed"}
    run(database, sa.delete(TILES).where(at))
    assert codes(result_of(database, key)) == {"tile_changed", "tile_missing"}
    run(database, sa.insert(TILES).values(level=0, number=9, hashes=bytes(32)), sa.insert(TILES).values(level=0, number=1, hashes=b""))
    run(database, sa.insert(TILES).values(level=5, number=0, hashes=bytes(32)))
    assert "tile_unexpected" in codes(result_of(database, key))


def test_a_checkpoint_of_nobody_is_not_believed(database: Database, key: LogKey, signed: Checkpoint) -> None:
    with database.read() as snapshot:
        result = verify_log(snapshot, key.verifier, known=["no note at all"])
    assert codes(result) == {"known_checkpoint_not_signed"}


def test_a_leaf_that_is_no_leaf_does_not_end_the_verification(database: Database, key: LogKey, signed: Checkpoint) -> None:
    run(database, sa.update(ENTRIES).where(ENTRIES.c.entry_index == 9).values(leaf=b"\xff{"))
    run(database, sa.update(ENTRIES).where(ENTRIES.c.entry_index == 11).values(leaf=leaf_at(database, 11).replace(b":", b": ", 1)))
    found = [finding.index for finding in result_of(database, key).findings if finding.code == "leaf_malformed"]
    assert found == [9, 11]


def test_a_flood_of_one_finding_is_counted_but_does_not_hide_another(database: Database, key: LogKey, signed: Checkpoint) -> None:
    run(database, sa.update(ENTRIES).where(ENTRIES.c.entry_index < 250).values(subject="thing:x"))
    run(database, sa.delete(ENTRIES).where(ENTRIES.c.entry_index == 599))
    result = result_of(database, key)
    assert (result.finding_count, codes(result)) == (252, {"columns_differ", "log_truncated", "leaf_differs"})
    assert len(result.findings) < 30


def test_a_log_without_a_checkpoint_says_so(database: Database, key: LogKey, append: Append) -> None:
    append(2)
    result = result_of(database, key)
    assert (result.is_sound, [notice.code for notice in result.notices]) == (True, ["no_checkpoint"])


def test_backdating_by_the_clock_is_noticed(database: Database, key: LogKey, append: Append, checkpoint: Sign, clock: FixedClock) -> None:
    append(2)
    clock.advance(-200)
    append(1)
    clock.advance(-86_400)
    append(1)
    checkpoint()
    result = result_of(database, key)
    assert [(notice.code, notice.index) for notice in result.notices] == [("clock_went_back", 3)]


@pytest.fixture
def vouching(database: Database, checkpoint: Sign) -> tuple[Digest, ...]:
    """The digests that entries of the log vouch for, the first of them twice, and one of another type."""
    digests = tuple(digest_bytes(BLOB + bytes([n])) for n in range(3))
    said = [entry(n, type="registry.registered", digest=digest) for n, digest in enumerate((*digests, digests[0]))]
    database.write(lambda tx: [record(tx, one) for one in (*said, entry(type="features.written", digest=digest_bytes(BLOB)))])
    sequence_pending(database, HOLDER)
    checkpoint()
    return digests


def test_bulk_content_under_another_digest_is_found(database: Database, key: LogKey, vouching: tuple[Digest, ...]) -> None:
    def content(digest: Digest) -> Digest:
        if digest == vouching[2]:
            raise NotFound(f"no blob {digest}")
        return vouching[0]

    result = verify(database, key, Contents(looked=lambda _: {"registry.registered": content}))
    assert [(finding.code, finding.index) for finding in result.findings] == [("content_changed", 1), ("content_missing", 2)]
    assert (result.is_sound, result.finding_count, result.contents) == (False, 2, 3)


def test_content_is_looked_at_once_and_under_no_transaction(database: Database, key: LogKey, vouching: tuple[Digest, ...]) -> None:
    pool, looked = database.engine.pool, list[Digest]()
    assert isinstance(pool, sa.QueuePool)
    in_use = pool.checkedout()

    def content(digest: Digest) -> Digest:
        assert pool.checkedout() == in_use
        looked.append(digest)
        return digest

    result = verify(database, key, Contents(looked=lambda _: {"registry.registered": content}))
    assert (result.is_sound, result.contents, looked) == (True, 4, list(vouching))


@pytest.mark.usefixtures("vouching")
def test_a_verification_ends_when_the_server_stops_and_blames_no_content(database: Database, key: LogKey) -> None:
    def content(digest: Digest) -> Digest:
        contents.stop.set()
        return digest

    contents = Contents(looked=lambda _: {"registry.registered": content})
    with pytest.raises(VerificationStopped):
        verify(database, key, contents)
    assert not contents.turn.locked()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (sa.update(PERSONAL).values(content=b'{"name":"Bob"}'), "personal_changed"),
        (sa.update(PERSONAL).values(salt=bytes(32)), "personal_changed"),
        (sa.update(PERSONAL).values(salt=None), "personal_changed"),
        (sa.delete(PERSONAL), "personal_missing"),
    ],
)
def test_changed_personal_data_is_found(database: Database, key: LogKey, checkpoint: Sign, change: sa.Executable, code: str) -> None:
    new = NewEntry(type="access.user_added", subject="user:1", actor="prn_1", personal={"name": "Ada"})
    database.write(lambda tx: record(tx, new))
    sequence_pending(database, HOLDER)
    checkpoint()
    assert codes(result_of(database, key)) == set()
    run(database, change)
    assert codes(result_of(database, key)) == {code}


def test_an_erasure_behind_the_logs_back_is_noticed(database: Database, key: LogKey, checkpoint: Sign) -> None:
    new = NewEntry(type="access.user_added", subject="user:1", actor="prn_1", personal={"name": "Ada"})
    database.write(lambda tx: record(tx, new))
    sequence_pending(database, HOLDER)
    checkpoint()
    run(database, sa.update(PERSONAL).values(content=None, salt=None, erased_at=1))
    assert [notice.code for notice in result_of(database, key).notices] == ["erasure_unrecorded"]

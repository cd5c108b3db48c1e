"""Erasure: an entity's values leave every version online, come back from no source, and leave a record that names no key."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import sqlalchemy as sa
from msgspec.structs import replace
from redis import Redis

from modelyard.access.domain import DEFAULT_TEAM, SYSTEM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import instant
from modelyard.core.digests import Digest
from modelyard.core.errors import Corrupted, InvalidInput
from modelyard.features import offline, service
from modelyard.features.domain import AppliedView, Entity, EntityNotFound, FeatureSet, FeatureView, Key, NewErasure, Parquet, ViewReader
from modelyard.features.erased import ErasureKey, open_tombstones
from modelyard.features.layout import ENTITY, key_bytes, prefix
from modelyard.features.materialization import find_mark, list_entities
from modelyard.features.online import OnlineReader
from modelyard.features.store.erasures import ERASURES
from modelyard.features.stored import Histories
from modelyard.ledger.service import list_entries, sequence_pending
from modelyard.storage.database import Database
from modelyard.storage.online import LmdbStore, OnlineStore, OnlineUnavailable, open_online
from modelyard.storage.online_redis import RedisStore
from modelyard.storage.tables import Tables
from tests.features.conftest import at

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Stand = Callable[[datetime], None]
HOLDER = Entity("holder", keys={"bank": "string", "account": "int64"}, personal=True)
BALANCE = FeatureView("balance", HOLDER, Parquet("balances.parquet", "at"), features=["balance"])
SPENT = FeatureView("spent", HOLDER, Parquet("payments.parquet", "at", "created"), aggregate={"amount": ["sum", "count"]}, windows=["6h"])
SET = FeatureSet("accounts", [BALANCE, SPENT])
BOTH: list[dict[str, Any]] = [{"bank": "north", "account": 7}, {"bank": "north", "account": 8}]
WHO = NewErasure(entity="holder", keys={"bank": "north", "account": 7}, why="asked for")


@pytest.fixture
def applied(database: Database, tmp_path: Path, stand_at: Stand) -> Iterator[FeatureSet]:
    """Two accounts with balances and payments, applied at four in the afternoon, under a secret of the folder's own."""
    rows = [("north", 7, at(1), 1.0), ("north", 8, at(1), 2.0), ("north", 7, at(6), 5.0)]
    names = ["bank", "account", "at", "balance"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(tmp_path / "balances.parquet")
    paid = [("north", 7, at(1), at(2), 10), ("north", 8, at(2), at(2), 20), ("north", 7, at(3), at(6), 40)]
    pl.DataFrame(paid, schema=["bank", "account", "at", "created", "amount"], orient="row").write_parquet(tmp_path / "payments.parquet")
    service.open_erasures(database, ErasureKey.open(tmp_path / "erasures.key"))
    stand_at(at(4))
    yield service.apply_features(database, SYSTEM, [SET], tmp_path).sets[0].set
    open_tombstones(None)


def online_now(database: Database, online: OnlineStore, feature_set: FeatureSet) -> dict[str, list[Any]]:
    with database.read() as snapshot:
        found = OnlineReader(feature_set).read(online, BOTH, snapshot.now()).columns
    return {name: [*values] for name, values in found.items()}


def offline_at(database: Database, feature_set: FeatureSet, hours: float) -> dict[str, list[Any]]:
    keys = pl.DataFrame(BOTH, schema={"bank": pl.String, "account": pl.Int64})
    return service.recompute(database, feature_set, keys, np.full(2, instant(at(hours)))).to_dict(as_series=False)


def holds(folder: Path, key: bytes) -> bool:
    return any(key in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_was_erased_comes_back_neither_online_nor_from_the_sources(
    database: Database, online: LmdbStore, applied: FeatureSet, stand_at: Stand
) -> None:
    service.materialize(database, online, SYSTEM)
    before: dict[str, list[Any]] = {"balance": [1.0, 2.0], "amount_sum_6h": [10, 20], "amount_count_6h": [1, 1]}
    after = {"balance": [None, 2.0], "amount_sum_6h": [None, 20], "amount_count_6h": [0, 1]}
    assert online_now(database, online, applied) == offline_at(database, applied, 4) == before
    done = service.erase_entity(database, online, SYSTEM, WHO)
    assert done.views == ("balance", "spent")
    for _ in range(2):
        shown = online_now(database, online, applied)
        assert {name: values[1] for name, values in shown.items()} == {name: values[1] for name, values in before.items()}
        assert [values[0] for values in shown.values()] == [None] * 3
        assert offline_at(database, applied, 4)["balance"] == after["balance"]
        assert offline_at(database, applied, 4)["amount_sum_6h"] == after["amount_sum_6h"]
        for view in applied.views:
            mark = find_mark(online, view)
            assert mark is not None
            assert list_entities(online, view, mark) == [("north", 8)]
        service.materialize(database, online, SYSTEM)
    stand_at(at(7))  # rows that came after the erasure count again, and those before still do not
    service.materialize(database, online, SYSTEM)
    assert online_now(database, online, applied) == offline_at(database, applied, 7)
    assert online_now(database, online, applied) == {"balance": [5.0, 2.0], "amount_sum_6h": [40, 20], "amount_count_6h": [1, 1]}


def lost() -> None:
    raise OnlineUnavailable("lost", hint="")


@pytest.mark.server
@pytest.mark.parametrize("lost_after", [0, 1, 2])
def test_in_redis_nothing_of_the_entity_is_left_under_any_key_and_the_others_stay(
    database: Database, redis_url: str, applied: FeatureSet, stand_at: Stand, monkeypatch: pytest.MonkeyPatch, lost_after: int
) -> None:
    online, redis = open_online(redis_url), Redis.from_url(redis_url)
    service.materialize(database, online, SYSTEM)
    names = [key_bytes(HOLDER)(("north", account)) for account in (7, 8)]

    def keys_of(name: bytes) -> list[bytes]:
        return [key for key in redis.scan_iter(count=1000) if name in key]

    assert all(len(keys_of(name)) > 2 for name in names)  # a row, running sums and their tiles
    kept = keys_of(names[1])
    with monkeypatch.context() as patch:  # the connection is lost in the middle of it
        sent, calls = RedisStore.delete_many, itertools.count()
        patch.setattr(RedisStore, "delete_many", lambda *given: sent(*given) if next(calls) < lost_after else lost())
        with pytest.raises(OnlineUnavailable):
            service.erase_entity(database, online, SYSTEM, WHO)
    service.erase_entity(database, online, SYSTEM, WHO)
    assert keys_of(names[0]) == []
    assert sorted(keys_of(names[1])) == sorted(kept)
    for view in applied.views:
        mark = find_mark(online, view)
        assert mark is not None
        assert list_entities(online, view, mark) == [("north", 8)]
    service.materialize(database, online, SYSTEM)
    assert keys_of(names[0]) == []
    stand_at(at(7))
    service.materialize(database, online, SYSTEM)
    assert online_now(database, online, applied) == {"balance": [5.0, 2.0], "amount_sum_6h": [40, 20], "amount_count_6h": [1, 1]}
    online.close()
    redis.close()


def test_a_large_source_is_read_without_the_erased_rows_and_every_other_keeps_its_number(
    database: Database, online: LmdbStore, applied: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "HISTORY_BYTES", 0)
    assert offline_at(database, applied, 7)["balance"] == [5.0, 2.0]
    service.erase_entity(database, online, SYSTEM, WHO)
    assert offline_at(database, applied, 4)["balance"] == [None, 2.0]
    assert offline_at(database, applied, 7)["balance"] == [5.0, 2.0]
    assert offline_at(database, applied, 7)["amount_sum_6h"] == [40, 20]


def test_every_version_lets_go_of_the_entity_and_those_that_nobody_reads_go_as_a_whole(
    database: Database, online: LmdbStore, applied: FeatureSet, tmp_path: Path
) -> None:
    first = applied.views[0]
    others = [replace(BALANCE, ttl=f"{days}d") for days in (2, 3)]
    for view in (first, *others):
        service.materialize(database, online, SYSTEM)
        service.apply_features(database, SYSTEM, [FeatureSet("accounts", [view])], tmp_path)
    service.materialize(database, online, SYSTEM)
    versions = [one.view for one in reversed(_versions(database))]
    reader = ViewReader(reader="risk v1", view="balance", digest=first.digest, is_answering=True)
    database.write(lambda tx: service.put_readers(tx, "endpoint:risk", DEFAULT_TEAM, [reader]))
    service.erase_entity(database, online, SYSTEM, WHO)
    stored = {view.ttl: online_now(database, online, FeatureSet("s", [view]))["balance"] for view in versions}
    assert stored == {None: [None, 2.0], "2d": [None, None], "3d": [None, 2.0]}
    assert find_mark(online, versions[1]) is None


SHAPES = {
    "renamed": (Key("bank", "string"), Key("number", "string")),
    "finer": (Key("bank", "string"), Key("account", "int64"), Key("card", "int64")),
    "coarser": (Key("bank", "string"),),
    "another": (Key("bank", "string"), Key("email", "string")),
}


@pytest.fixture
def served(database: Database, online: LmdbStore, applied: FeatureSet, tmp_path: Path) -> dict[str, FeatureView]:
    """Served versions of views whose key has other columns than today's, online."""
    rows = [("north", 7, "7", "a@b", 1, at(1), 1.0), ("north", 7, "7", "a@b", 2, at(1), 2.0), ("north", 8, "8", "c@d", 1, at(1), 3.0)]
    names = ["bank", "account", "number", "email", "card", "at", "balance"]
    pl.DataFrame(rows, schema=names, orient="row").write_parquet(tmp_path / "cards.parquet")
    found: dict[str, FeatureView] = {}
    for name, keys in SHAPES.items():
        now = replace(BALANCE, name=name)
        for view in (replace(now, entity=replace(HOLDER, keys=keys), source=Parquet("cards.parquet", "at")), now):
            known = service.apply_features(database, SYSTEM, [FeatureSet("cards", [view])], tmp_path).sets[0].set.views[0]
            found.setdefault(name, known)
        reader = ViewReader(reader=f"{name} v1", view=name, digest=found[name].digest, is_answering=True)
        database.write(lambda tx, name=name, reader=reader: service.put_readers(tx, f"endpoint:{name}", DEFAULT_TEAM, [reader]))  # type: ignore[misc] # bound now
    service.materialize(database, online, SYSTEM)
    assert applied.keys
    return found


def test_served_versions_whose_key_has_other_columns_are_reached_or_named(
    database: Database, online: LmdbStore, served: dict[str, FeatureView]
) -> None:
    def shown(name: str, *keys: tuple[object, ...]) -> list[Any]:
        view = served[name]
        rows: list[dict[str, Any]] = [dict(zip([key.name for key in view.entity.keys], one, strict=True)) for one in keys]
        with database.read() as snapshot:
            return [*OnlineReader(FeatureSet("s", [view])).read(online, rows, snapshot.now()).columns["balance"]]

    cards = (("north", 7, 1), ("north", 7, 2), ("north", 8, 1))
    assert shown("finer", *cards) == [1.0, 2.0, 3.0]
    assert shown("renamed", ("north", "7"), ("north", "8")) == [2.0, 3.0]
    done = service.erase_entity(database, online, SYSTEM, WHO)
    assert [(one.view, one.number, one.keys) for one in done.unreached] == [
        ("another", 1, ("bank", "email")), ("coarser", 1, ("bank",)),
    ]  # fmt: skip
    assert "under the given value nothing was online" in done.unreached[0].why
    assert done.unreached[1].why == "its key is bank, and given is bank and account"
    for _ in range(2):
        assert shown("finer", *cards) == [None, None, 3.0]
        assert shown("renamed", ("north", "7"), ("north", "8")) == [None, 3.0]
        assert shown("coarser", ("north",)) == [3.0]
        service.materialize(database, online, SYSTEM)
    service.erase_entity(database, online, SYSTEM, replace(WHO, keys={"bank": "north"}))
    assert shown("coarser", ("north",)) == [None]
    assert shown("finer", *cards) == [None, None, 3.0]  # part of a key means nobody


def test_where_a_version_has_the_keys_in_another_order_the_way_back_is_somebody_elses(
    database: Database, online: LmdbStore, applied: FeatureSet, tmp_path: Path
) -> None:
    pl.DataFrame({"here": ["a", "b"], "there": ["b", "a"], "at": [at(1)] * 2, "cost": [1.0, 2.0]}).write_parquet(tmp_path / "ways.parquet")
    versions: list[FeatureView] = []
    for keys in (("here", "there"), ("there", "here")):
        view = FeatureView("cost", Entity("way", keys=dict.fromkeys(keys, "string")), Parquet("ways.parquet", "at"), features=["cost"])
        versions += service.apply_features(database, SYSTEM, [FeatureSet("ways", [view])], tmp_path).sets[0].set.views
    reader = ViewReader(reader="way v1", view="cost", digest=versions[0].digest, is_answering=True)
    database.write(lambda tx: service.put_readers(tx, "endpoint:way", DEFAULT_TEAM, [reader]))
    service.materialize(database, online, SYSTEM)
    service.erase_entity(database, online, SYSTEM, NewErasure(entity="way", keys={"here": "a", "there": "b"}, why="asked for"))
    rows = [{"here": "a", "there": "b"}, {"here": "b", "there": "a"}]
    labels = pl.DataFrame(rows).with_columns(pl.lit(at(4)).alias("ask"))
    for _ in range(2):
        for view in versions:
            with database.read() as snapshot:
                read = OnlineReader(FeatureSet("s", [view])).read(online, rows, snapshot.now())
            assert read.columns["cost"] == [None, 2.0]
        service.materialize(database, online, SYSTEM)
    assert applied.keys
    with database.read() as snapshot:
        ways = service.get_set(snapshot, SYSTEM, "ways").set
    assert service.historical_rows(database, ways, labels, "ask").frame["cost"].to_list() == [None, 2.0]


def test_a_finer_version_whose_source_is_gone_is_named(
    database: Database, online: LmdbStore, served: dict[str, FeatureView], tmp_path: Path
) -> None:
    assert served
    (tmp_path / "cards.parquet").unlink()
    done = service.erase_entity(database, online, SYSTEM, WHO)
    assert "source cannot be read" in {one.view: one.why for one in done.unreached}["finer"]
    sequence_pending(database, "tests")
    with database.read() as snapshot:
        entry = next(one for one in list_entries(snapshot).entries if one.type == "features.entity_erased")
    assert len(entry.data["unreached"]) == len(done.unreached) == 3


def _versions(database: Database) -> list[AppliedView]:
    with database.read() as snapshot:
        return service.list_view_versions(snapshot, SYSTEM, "balance")


def test_the_record_names_no_key_and_only_who_approves_for_every_team_may_erase(
    database: Database, online: LmdbStore, applied: FeatureSet, tmp_path: Path
) -> None:
    assert applied.keys
    for role, team in ((Role.CONTRIBUTOR, DEFAULT_TEAM), (Role.ADMIN, TeamId("other"))):
        caller = Principal(id=PrincipalId("usr_max"), name="max", kind="person", roles={team: role})
        with pytest.raises((NotAllowed, EntityNotFound)):
            service.erase_entity(database, online, caller, WHO)
    approver = Principal(id=PrincipalId("usr_ada"), name="ada", kind="person", roles={DEFAULT_TEAM: Role.APPROVER})
    secret = replace(WHO, keys={"bank": "north-4711-secret", "account": 7})
    done = service.erase_entity(database, online, approver, secret)
    sequence_pending(database, "tests")
    with database.read() as snapshot:
        entry = next(one for one in list_entries(snapshot).entries if one.type == "features.entity_erased")
        assert service.list_erasures(snapshot, approver) == [done]
        assert service.list_erasures(snapshot, Principal(id=PrincipalId("x"), name="x", kind="person", roles={})) == []
    assert (entry.subject, entry.data["views"], entry.data["why"]) == ("entity:holder", ["balance", "spent"], "asked for")
    assert not holds(tmp_path, b"4711-secret")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (replace(WHO, why=" "), InvalidInput),
        (replace(WHO, why="x" * 2001), InvalidInput),
        (replace(WHO, why="asked\x00for"), InvalidInput),
        (replace(WHO, keys={"bank": "x" * 4097, "account": 7}), InvalidInput),
        (replace(WHO, entity="holdr"), EntityNotFound),
        (replace(WHO, keys={"bank": "north"}), InvalidInput),
        (replace(WHO, keys={"bank": "north", "account": "seven"}), InvalidInput),
    ],
)
@pytest.mark.usefixtures("applied")
def test_an_erasure_of_nobody_is_refused(database: Database, online: LmdbStore, body: NewErasure, error: type[Exception]) -> None:
    with pytest.raises(error):
        service.erase_entity(database, online, SYSTEM, body)
    with database.read() as snapshot:
        assert service.list_erasures(snapshot, SYSTEM) == []


def test_under_another_secret_nothing_is_read(database: Database, online: LmdbStore, applied: FeatureSet, tmp_path: Path) -> None:
    service.erase_entity(database, online, SYSTEM, WHO)
    service.open_erasures(database, ErasureKey.open(tmp_path / "another.key"))
    with pytest.raises(Corrupted, match="another secret"):
        offline_at(database, applied, 4)
    with pytest.raises(Corrupted):
        service.materialize(database, online, SYSTEM)


def test_the_digest_of_a_source_changes_only_where_it_held_the_entity(database: Database, online: LmdbStore, applied: FeatureSet) -> None:
    labels = pl.DataFrame([{**one, "at": at(4)} for one in BOTH])

    def digests() -> tuple[Digest, ...]:
        return tuple(use.source for use in service.historical_rows(database, applied, labels, "at").sources)

    before = digests()
    service.erase_entity(database, online, SYSTEM, replace(WHO, keys={"bank": "south", "account": 7}))
    assert digests() == before
    service.erase_entity(database, online, SYSTEM, WHO)
    assert not set(digests()) & set(before)


def test_a_source_with_erasures_is_not_hashed_again_for_each_join(
    database: Database, online: LmdbStore, applied: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.erase_entity(database, online, SYSTEM, WHO)
    histories = Histories(Tables.open(f"file://{tmp_path}/tables"))
    first = histories.ready(applied.views[0], tmp_path)
    monkeypatch.setattr("modelyard.features.sources.files.digest_file", lambda _: pytest.fail("hashed again"))
    assert histories.ready(applied.views[0], tmp_path) == first


class Dying(LmdbStore):
    """A store whose process ends before anything is removed."""

    def delete_many(self, keys: Iterable[bytes]) -> None:
        raise OnlineUnavailable("killed", hint="")


def test_an_erasure_that_was_cut_short_is_made_good_by_the_next_materialization_or_done_over(
    database: Database, applied: FeatureSet, tmp_path: Path
) -> None:
    for finish in ("materialize", "erase"):
        dying = Dying.open(tmp_path / finish, durable=False, map_bytes=1 << 26)
        service.materialize(database, dying, SYSTEM)
        if finish == "erase":
            database.write(lambda tx: tx.connection.execute(sa.delete(ERASURES)))
            open_tombstones(None)
            service.open_erasures(database, ErasureKey.open(tmp_path / "erasures.key"))
            service.materialize(database, dying, SYSTEM)
        assert online_now(database, dying, applied)["balance"] == [1.0, 2.0]
        with pytest.raises(OnlineUnavailable):
            service.erase_entity(database, dying, SYSTEM, WHO)
        dying.close()
        store = LmdbStore.open(tmp_path / finish)
        if finish == "materialize":
            service.materialize(database, store, SYSTEM)
        else:
            service.erase_entity(database, store, SYSTEM, WHO)
        assert online_now(database, store, applied)["balance"] == [None, 2.0]
        store.close()
        assert not holds_account(tmp_path / finish, applied)


def test_rows_that_a_first_materialization_left_when_it_died_are_erased(
    database: Database, online: LmdbStore, applied: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LmdbStore, "at_once", 1)
    whole, calls = LmdbStore.put_many, itertools.count()

    def dying(*given: Any, **named: Any) -> None:
        if next(calls) == 2:  # both rows are written
            raise OnlineUnavailable("killed", hint="")
        whole(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(LmdbStore, "put_many", dying)
        with pytest.raises(OnlineUnavailable):
            service.materialize(database, online, SYSTEM, ["balance"])
    service.erase_entity(database, online, SYSTEM, WHO)
    service.materialize(database, online, SYSTEM)
    assert online_now(database, online, applied)["balance"] == [None, 2.0]


def holds_account(folder: Path, feature_set: FeatureSet) -> bool:
    """Whether the store still answers for the erased account in any version."""
    store = LmdbStore.open(folder)
    held = [store.get_many([prefix(view.digest) + ENTITY + key_bytes(view.entity)(["north", 7])])[0] for view in feature_set.views]
    store.close()
    return any(one is not None for one in held)

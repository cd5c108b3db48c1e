"""Models, versions and aliases on both databases: immutable, numbered without gaps, each change recorded, each team for itself."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa

from modelyard.access.domain import DEFAULT_TEAM, EVERY_TEAM, NotAllowed, Principal, PrincipalId, Role, TeamId
from modelyard.core.clock import FixedClock
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import Event
from modelyard.ledger.service import list_events, sequence_pending
from modelyard.registry import service
from modelyard.registry.artifacts import fetch_folder, get_manifest, put_folder
from modelyard.registry.domain import (
    CHALLENGER,
    CHAMPION,
    AliasName,
    BadArtifact,
    ContentChanged,
    Format,
    FormatRefused,
    ModelExists,
    ModelName,
    ModelVersion,
    NewModel,
    NewVersion,
    NoSuchAlias,
    NoSuchModel,
    NoSuchVersion,
    RiskTier,
    StoredArtifact,
    VersionIsLive,
    VersionIsRetired,
    VersionState,
)
from modelyard.registry.formats import load, save
from modelyard.registry.service.artifacts import note_artifact
from modelyard.registry.store import versions
from modelyard.registry.store.tables import VERSION
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Database, Snapshot
from tests.registry.conftest import FLIGHTS, lightgbm_model

LATE = ModelName("late")
RED = TeamId("red")


def member(role: Role, team: TeamId = DEFAULT_TEAM) -> Principal:
    """A person with one role."""
    return Principal(id=PrincipalId(f"usr_{role}_{team}"), name=f"{role} of {team}", kind="person", roles={team: role})


ADA = member(Role.CONTRIBUTOR)
ROOT = member(Role.ADMIN, EVERY_TEAM)


@pytest.fixture
def snapshot(database: Database) -> Iterator[Callable[[], Snapshot]]:
    """Opens one read transaction after the other."""
    opened = []

    def read() -> Snapshot:
        block = database.read()
        opened.append(block)
        return block.__enter__()

    yield read
    for block in opened:
        block.__exit__(None, None, None)


def kept(database: Database, seed: int = 0) -> Digest:
    """An artifact that is noted as kept; its content is not needed where only rows are looked at."""
    digest = digest_bytes(b"artifact %d" % seed)
    content = digest_bytes(b"content %d" % seed)
    stored = StoredArtifact(digest=digest, format=Format.LIGHTGBM, size_bytes=10, content=content, signature=FLIGHTS)
    database.write(lambda tx: note_artifact(tx, stored))
    return digest


@pytest.fixture
def register(database: Database) -> Callable[..., ModelVersion]:
    """Registers a version of `late`, which is made with the first."""
    database.write(lambda tx: service.ensure_model(tx, ADA, NewModel(name=LATE, owner="ops", purpose="Warn.", risk=RiskTier.LIMITED)))

    def done(seed: int = 0, who: Principal = ADA, **fields: object) -> ModelVersion:
        body = NewVersion(artifact=kept(database, seed), **fields)  # type: ignore[arg-type] # the struct checks its fields
        return database.write(lambda tx: service.register_version(tx, who, LATE, body))

    return done


Register = Callable[..., ModelVersion]
Read = Callable[[], Snapshot]


def test_a_model_is_made_once_and_changed_by_its_declaration(database: Database, snapshot: Read) -> None:
    new = NewModel(name=LATE, owner="ops", purpose="Warn of a late arrival.", risk=RiskTier.LIMITED)
    first = database.write(lambda tx: service.create_model(tx, ADA, new))
    assert (first.team_id, first.created_by) == (DEFAULT_TEAM, ADA.id)
    with pytest.raises(ModelExists):
        database.write(lambda tx: service.create_model(tx, ADA, new))
    riskier = NewModel(name=LATE, owner="ops", purpose="Refuse boarding.", risk=RiskTier.HIGH)
    assert database.write(lambda tx: service.ensure_model(tx, ADA, riskier)).risk is RiskTier.HIGH
    assert service.get_model(snapshot(), ADA, LATE).model.purpose == "Refuse boarding."
    with pytest.raises(ModelExists):
        database.write(lambda tx: service.ensure_model(tx, ROOT, NewModel(name=LATE, team_id=RED)))


@pytest.mark.parametrize("name", ["", "1a", "a b", "a/b", "../a", "a..b", "a\x00", "a@b", "x" * 121])
def test_a_model_has_a_plain_name(database: Database, name: str) -> None:
    with pytest.raises(InvalidInput):
        database.write(lambda tx: service.create_model(tx, ADA, NewModel(name=ModelName(name))))


def test_versions_are_numbered_without_gaps_whoever_registers_at_once(register: Register, database: Database) -> None:
    with ThreadPoolExecutor(6) as pool:
        numbers = [version.number for version in pool.map(register, range(12))]
    assert sorted(numbers) == list(range(1, 13))


def test_the_same_key_registers_once(register: Register) -> None:
    first = register(1, key="delivery-1")
    assert register(1, key="delivery-1") == first
    assert register(1).number == 2
    with pytest.raises(ContentChanged):
        register(2, key="delivery-1")


def test_a_version_says_all_that_it_came_from(register: Register, snapshot: Read) -> None:
    digests = {name: digest_bytes(name.encode()) for name in ("snapshot", "feature_set", "source", "environment")}
    made = register(run="r1", metrics={"auc": 0.71}, parameters={"seed": 3, "on": True, "name": None}, description="first", **digests)
    found = service.show_version(snapshot(), ADA, LATE, 1)
    assert found.version == made == service.get_version(snapshot(), LATE, 1)
    assert (found.state, found.aliases, found.version.size_bytes) == (VersionState.REGISTERED, (), 10)
    assert {step.id for step in service.get_lineage(snapshot(), ADA, LATE, 1).steps} == {"r1", made.artifact, *digests.values()}
    for digest in (*digests.values(), made.artifact, made.content):
        assert digest is not None
        assert service.versions_of_digest(snapshot(), ADA, digest) == [made]
    assert service.versions_of_run(snapshot(), ADA, "r1") == [made]
    assert service.versions_of_digest(snapshot(), ADA, Digest("nonsense")) == []


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": {"auc": float("nan")}},
        {"metrics": {"auc": float("inf")}},
        {"description": "a\x00b"},
        {"description": "x" * 20_001},
        {"snapshot": "9f2c"},
        {"parameters": {"a": "x\x00"}},
        {"run": "r" * 65},
        {"key": "k" * 201},
    ],
)
def test_a_version_takes_only_what_can_be_kept_and_told(register: Register, body: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        register(**body)


def test_a_version_needs_an_artifact_that_is_kept_and_is_what_is_said(register: Register, database: Database) -> None:
    with pytest.raises(BadArtifact, match="is kept here"):
        database.write(lambda tx: service.register_version(tx, ADA, LATE, NewVersion(artifact=digest_bytes(b"nowhere"))))
    with pytest.raises(BadArtifact, match="lightgbm, not onnx"):
        register(format=Format.ONNX)


def test_aliases_move_and_every_move_is_kept(register: Register, database: Database, snapshot: Read, clock: FixedClock) -> None:
    register(1), register(2)
    for version in (1, 2, 2, 1):
        clock.advance(60)
        database.write(partial(service.set_alias, principal=ADA, model=LATE, alias=CHAMPION, version=version))
    clock.advance(60)
    database.write(lambda tx: service.delete_alias(tx, ADA, LATE, CHAMPION))
    assert service.find_alias(snapshot(), LATE, CHAMPION) is None
    moves = [(move.before, move.after) for move in service.list_alias_moves(snapshot(), ADA, LATE)]
    assert moves == [(1, None), (2, 1), (1, 2), (None, 1)]
    with pytest.raises(NoSuchAlias):
        database.write(lambda tx: service.delete_alias(tx, ADA, LATE, CHAMPION))


def test_references_resolve_by_alias_by_number_and_to_the_latest(register: Register, database: Database, snapshot: Read) -> None:
    register(1), register(2)
    database.write(lambda tx: service.set_alias(tx, ADA, LATE, CHAMPION, 1))
    state = snapshot()
    numbers = [service.resolve(state, ADA, text).number for text in ("models:/late@champion", "late/2", "models:/late")]
    assert numbers == [1, 2, 2]
    with pytest.raises(NoSuchAlias) as caught:
        service.resolve(state, ADA, "late@champoin")
    assert caught.value.hint == "did you mean champion?"
    with pytest.raises(NoSuchVersion):
        service.resolve(state, ADA, "late/3")
    with pytest.raises(NoSuchModel) as missing:
        service.resolve(state, ADA, "lato")
    assert missing.value.hint == "did you mean late?"


def test_a_live_version_cannot_be_retired(register: Register, database: Database, snapshot: Read) -> None:
    register(1), register(2)
    database.write(lambda tx: service.set_alias(tx, ADA, LATE, CHAMPION, 1))
    database.write(lambda tx: service.put_hold(tx, LATE, 2, "endpoint:late", "it answers 90% of production traffic"))
    for version, words in ((1, "the alias champion"), (2, "90% of production traffic")):
        with pytest.raises(VersionIsLive, match=words):
            database.write(partial(service.retire_version, principal=ADA, model=LATE, version=version, why="old"))
    database.write(lambda tx: service.release_hold(tx, LATE, 2, "endpoint:late"))
    retired = database.write(lambda tx: service.retire_version(tx, ADA, LATE, 2, "worse than 1"))
    assert (retired.state, retired.states[-1].why) == (VersionState.RETIRED, "worse than 1")
    assert database.write(lambda tx: service.retire_version(tx, ADA, LATE, 2, "again")) == retired
    for change in (
        lambda tx: service.set_alias(tx, ADA, LATE, CHALLENGER, 2),
        lambda tx: service.put_hold(tx, LATE, 2, "endpoint:late", "traffic"),
    ):
        with pytest.raises(VersionIsRetired, match="worse than 1"):
            database.write(change)
    assert [one.version.number for one in service.list_versions(snapshot(), ADA, LATE)] == [2, 1]


def test_a_deprecated_version_keeps_alias_and_traffic_and_says_what_to_take_instead(
    register: Register, database: Database, snapshot: Read
) -> None:
    register(1), register(2)
    database.write(lambda tx: service.set_alias(tx, ADA, LATE, CHAMPION, 1))
    said = database.write(lambda tx: service.deprecate_version(tx, ADA, LATE, 1, "wrong labels", 2)).deprecation
    assert said is not None
    assert (said.why, said.successor, said.actor) == ("wrong labels", 2, ADA.id)
    assert database.write(lambda tx: service.deprecate_version(tx, ADA, LATE, 1, "wrong labels", 2)).deprecation == said
    database.write(lambda tx: service.put_hold(tx, LATE, 1, "endpoint:late", "traffic"))
    assert [one.deprecation for one in service.list_versions(snapshot(), ADA, LATE)] == [None, said]
    assert service.resolve(snapshot(), ADA, "late@champion").number == 1
    assert database.write(lambda tx: service.withdraw_deprecation(tx, ADA, LATE, 1)).deprecation is None
    database.write(lambda tx: service.withdraw_deprecation(tx, ADA, LATE, 1))
    found = [(one.type, one.data) for one in entries(database) if "deprecat" in one.type]
    assert found == [
        ("registry.version_deprecated", {"why": "wrong labels", "successor": 2}),
        ("registry.deprecation_withdrawn", {"why_before": "wrong labels"}),
    ]


def test_content_is_found_by_each_digest_newest_first_and_once(register: Register, snapshot: Read) -> None:
    made = [register(seed, run="r1") for seed in (1, 1, 2)]
    found = service.versions_of_digest(snapshot(), ADA, made[0].artifact)
    assert [one.number for one in found] == [2, 1]


def test_lists_page_by_key_and_search_by_word(register: Register, database: Database, snapshot: Read) -> None:
    for seed in range(5):
        register(seed)
    for name in ("alpha", "beta_50%", "gamma"):
        plain = name.replace("%", "")
        new = NewModel(name=ModelName(plain), purpose=f"Purpose of {name}.")
        database.write(partial(service.create_model, principal=ADA, body=new))
    state = snapshot()
    assert [one.version.number for one in service.list_versions(state, ADA, LATE, before=4, limit=2)] == [3, 2]
    assert [one.model.name for one in service.list_models(state, ADA, limit=2)] == ["alpha", "beta_50"]
    assert [one.model.name for one in service.list_models(state, ADA, after="beta_50")] == ["gamma", "late"]
    assert [one.model.name for one in service.list_models(state, ADA, q="50%")] == ["beta_50"]
    assert [one.model.name for one in service.list_models(state, ADA, q="WARN")] == ["late"]
    assert service.get_model(state, ADA, LATE).latest == service.get_model(state, ADA, LATE).versions == 5
    for wrong in (0, 1001):
        with pytest.raises(InvalidInput):
            service.list_models(state, ADA, limit=wrong)


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("team", [DEFAULT_TEAM, RED])
def test_each_verb_by_each_role_on_own_and_foreign_models(register: Register, database: Database, role: Role, team: TeamId) -> None:
    register(1)
    who = member(role, team)
    writes = (
        lambda tx: service.register_version(tx, who, LATE, NewVersion(artifact=digest_bytes(b"artifact 1"))),
        lambda tx: service.set_alias(tx, who, LATE, AliasName("a"), 1),
        lambda tx: service.delete_alias(tx, who, LATE, AliasName("a")),
        lambda tx: service.update_model(tx, who, LATE, NewModel(name=LATE, purpose="mine")),
        lambda tx: service.deprecate_version(tx, who, LATE, 1, "mine"),
        lambda tx: service.withdraw_deprecation(tx, who, LATE, 1),
        lambda tx: service.retire_version(tx, who, LATE, 1, "mine"),
    )
    reads = (
        lambda tx: service.get_model(tx, who, LATE),
        lambda tx: service.show_version(tx, who, LATE, 1),
        lambda tx: service.list_versions(tx, who, LATE),
        lambda tx: service.get_lineage(tx, who, LATE, 1),
        lambda tx: service.compare_versions(tx, who, LATE, 1, 1),
        lambda tx: service.list_aliases(tx, who, LATE),
        lambda tx: service.list_alias_moves(tx, who, LATE),
        lambda tx: service.resolve(tx, who, "late/1"),
    )
    for kind, verbs in (("write", writes), ("read", reads)):
        for verb in verbs:
            if team != DEFAULT_TEAM:
                with pytest.raises(NoSuchModel):
                    database.write(verb)
            elif kind == "write" and role in (Role.VIEWER, Role.AUDITOR):
                with pytest.raises(NotAllowed):
                    database.write(verb)
            else:
                database.write(verb)
    assert database.write(lambda tx: len(service.list_models(tx, who))) == (1 if team == DEFAULT_TEAM else 0)
    assert database.write(lambda tx: len(service.versions_of_digest(tx, who, digest_bytes(b"artifact 1")))) == (
        0 if team != DEFAULT_TEAM else 1 if role in (Role.VIEWER, Role.AUDITOR) else 2
    )


def test_each_change_is_in_the_ledger_with_the_digest_of_the_version(register: Register, database: Database) -> None:
    made = register(1, run="r1")
    database.write(lambda tx: service.set_alias(tx, ADA, LATE, CHAMPION, 1))
    database.write(lambda tx: service.delete_alias(tx, ADA, LATE, CHAMPION))
    database.write(lambda tx: service.retire_version(tx, ADA, LATE, 1, "over"))
    found = entries(database)
    assert [entry.type for entry in found] == [
        "registry.model_created",
        "registry.version_registered",
        "registry.alias_moved",
        "registry.alias_deleted",
        "registry.version_retired",
    ]
    registered = found[1]
    assert (registered.subject, registered.digest, registered.actor) == ("model:late/1", made.artifact, ADA.id)
    assert registered.data["came_from"]["run"] == "r1"


def entries(database: Database) -> list[Event]:
    """All entries so far."""
    sequence_pending(database, "tests")
    with database.read() as state:
        return list_events(state, -1, limit=100)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_folder_that_is_kept_comes_back_and_answers_the_same(database: Database, tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    save(lightgbm_model(), tmp_path / "model", FLIGHTS)
    first, again = (service.keep_artifact(database, blobs, tmp_path / "model") for _ in range(2))
    assert first == again
    assert (first.format, first.signature) == (Format.LIGHTGBM, FLIGHTS)
    fetch_folder(blobs, first.digest, tmp_path / "back")
    assert {file.path for file in get_manifest(blobs, first.digest).files} == {path.name for path in (tmp_path / "back").iterdir()}
    load(tmp_path / "back")
    assert first.size_bytes == sum(path.stat().st_size for path in (tmp_path / "model").iterdir())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_uploaded_artifact_is_looked_at_before_a_version_has_it(register: Register, database: Database, tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    save(lightgbm_model(), tmp_path / "model", FLIGHTS)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "model.pkl").write_bytes(b"\x80\x04.")
    good, bad = (put_folder(blobs, tmp_path / name)[0] for name in ("model", "pickled"))
    version = service.register_artifact(database, blobs, ADA, LATE, NewVersion(artifact=good))
    assert version.content is not None
    with pytest.raises(FormatRefused, match="pickle"):
        service.register_artifact(database, blobs, ADA, LATE, NewVersion(artifact=bad))
    with pytest.raises(BadArtifact):
        service.register_artifact(database, blobs, ADA, LATE, NewVersion(artifact=blobs.put_bytes(b"no manifest")))
    with pytest.raises(NoSuchModel):
        service.register_artifact(database, blobs, member(Role.ADMIN, RED), LATE, NewVersion(artifact=good))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_digest_of_another_teams_artifact_opens_nothing(register: Register, database: Database, tmp_path: Path) -> None:
    blobs, theirs, mine = Blobs.open(f"file://{tmp_path / 'blobs'}"), ModelName("mine"), member(Role.ADMIN, RED)
    database.write(lambda tx: service.ensure_model(tx, ROOT, NewModel(name=theirs, team_id=RED)))
    save(lightgbm_model(), tmp_path / "model", FLIGHTS)
    kept = service.keep_artifact(database, blobs, tmp_path / "model")  # as a delivery of the other team trains it
    for _ in range(2):
        with pytest.raises(BadArtifact, match="is kept here"):
            service.register_artifact(database, blobs, mine, theirs, NewVersion(artifact=kept.digest))
        database.write(lambda tx: service.register_version(tx, ROOT, LATE, NewVersion(artifact=kept.digest)))
    assert service.register_artifact(database, blobs, ADA, LATE, NewVersion(artifact=kept.digest)).number > 1
    assert service.register_artifact(database, blobs, ROOT, theirs, NewVersion(artifact=kept.digest)).number == 1
    assert service.register_artifact(database, blobs, mine, theirs, NewVersion(artifact=kept.digest)).number == 2


def test_links_and_escapes_never_become_an_artifact(tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path / 'blobs'}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "link").symlink_to("/etc/passwd")
    with pytest.raises(BadArtifact, match="is a link"):
        put_folder(blobs, tmp_path / "model")
    outside = b'{"files":[{"digest":"%s","path":"../out","size_bytes":1}]}' % blobs.put_bytes(b"x").encode()
    with pytest.raises(BadArtifact):
        fetch_folder(blobs, blobs.put_bytes(outside), tmp_path / "into")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "into").exists()


def test_a_version_has_no_update_in_its_store(database: Database, register: Register) -> None:
    """The store offers no way to change a version: only its insert touches the table."""
    register(1)
    source = Path(versions.__file__).read_text()
    assert "sa.update(" not in source
    assert "sa.delete(" not in source
    with database.read() as state:
        assert state.connection.execute(sa.select(sa.func.count()).select_from(VERSION)).scalar_one() == 1

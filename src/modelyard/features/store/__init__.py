"""The feature store's tables and all SQL over them: views and their versions, sets, materializations, readers. Owns rows.

What is pushed stands in `pushed`, what is computed on demand in `on_demand`, what was erased in `erasures`.
"""

import functools
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import PrincipalId, TeamId
from modelyard.core.clock import Instant
from modelyard.core.digests import Digest
from modelyard.features.domain import (
    AppliedSet,
    AppliedView,
    FeatureConsumer,
    FeatureSet,
    FeatureView,
    Materialization,
    ViewReader,
)
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

KEPT = 8192
"""So many definitions stay read. Lists ask for all of them in turn, so that a cache that does not hold all would hold none."""

# The version that stands under each name. Its definition is repeated here with the owner and description of today.
VIEWS = sa.Table(
    "feature_views",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False, index=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("root", sa.String, nullable=False),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("applied_by", sa.String, nullable=False),
)

VIEW_VERSIONS = sa.Table(
    "feature_view_versions",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("root", sa.String, nullable=False),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("applied_by", sa.String, nullable=False),
    sa.UniqueConstraint("name", "number"),
)

SETS = sa.Table(
    "feature_sets",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False),
    sa.Column("team_id", sa.String, nullable=False, index=True),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("applied_by", sa.String, nullable=False),
)

SET_VERSIONS = sa.Table(
    "feature_set_versions",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("definition", sa.LargeBinary, nullable=False),
    sa.Column("applied_at", sa.BigInteger, nullable=False),
    sa.Column("applied_by", sa.String, nullable=False),
)

MATERIALIZATIONS = sa.Table(
    "feature_materializations",
    METADATA,
    sa.Column("view_name", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("upto_at", sa.BigInteger, nullable=False),
    sa.Column("newest_event_at", sa.BigInteger),
    sa.Column("row_count", sa.BigInteger, nullable=False),
    sa.Column("entity_count", sa.BigInteger, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("recorded_at", sa.BigInteger, nullable=False),
)

CONSUMERS = sa.Table(
    "feature_consumers",
    METADATA,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("view_name", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("href", sa.String, nullable=False),
    sa.Column("set_name", sa.String, nullable=False),
    sa.Column("set_digest", sa.String, nullable=False),
    sa.Index(None, "view_name"),
)

# The versions of views that something served reads: they stay online, whatever stands under their names by now.
READERS = sa.Table(
    "feature_readers",
    METADATA,
    sa.Column("holder", sa.String, primary_key=True),
    sa.Column("reader", sa.String, primary_key=True),
    sa.Column("view_name", sa.String, primary_key=True),
    sa.Column("digest", sa.String, primary_key=True),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("is_answering", sa.Boolean, nullable=False),
    sa.Index(None, "view_name", "digest"),
)

_VIEW_COLUMNS = ["team_id", "number", "root", "definition", "applied_at", "applied_by"]
_SET_COLUMNS = ["team_id", "definition", "applied_at", "applied_by"]
_BROUGHT = ["team_id", "upto_at", "newest_event_at", "row_count", "entity_count", "source", "recorded_at"]

# Asked at every materialization, so they are said once.
_NAMES: sa.BindParameter[list[str]] = sa.bindparam("names", expanding=True)
_ALL_VIEWS = sa.select(VIEWS).order_by(VIEWS.c.name)
_SOME_VIEWS = _ALL_VIEWS.where(VIEWS.c.name.in_(_NAMES))
_READ = sa.select(READERS.c.digest).where(READERS.c.view_name == VIEW_VERSIONS.c.name, READERS.c.digest == VIEW_VERSIONS.c.digest)
_STANDING = sa.select(VIEWS.c.digest).where(VIEWS.c.name == VIEW_VERSIONS.c.name, VIEWS.c.digest == VIEW_VERSIONS.c.digest)
_ALL_OLDER = sa.select(VIEW_VERSIONS).where(_READ.exists(), ~_STANDING.exists()).order_by(VIEW_VERSIONS.c.name, VIEW_VERSIONS.c.number)
_SOME_OLDER = _ALL_OLDER.where(VIEW_VERSIONS.c.name.in_(_NAMES))
_ALL_BROUGHT = sa.select(MATERIALIZATIONS)
_SOME_BROUGHT = _ALL_BROUGHT.where(MATERIALIZATIONS.c.view_name.in_(_NAMES))


def put_view(tx: Transaction, applied: AppliedView) -> None:
    """Makes `applied` the version under its name, and keeps it among the versions."""
    row = {
        "name": applied.view.name,
        "digest": applied.digest,
        "team_id": applied.team_id,
        "number": applied.number,
        "root": applied.root,
        "definition": msgspec.json.encode(applied.view),
        "applied_at": applied.applied_at,
        "applied_by": applied.applied_by,
    }
    upsert(tx, VIEWS, [row], ["name"], ["digest", *_VIEW_COLUMNS])
    upsert(tx, VIEW_VERSIONS, [row], ["name", "digest"], ["definition", "root"])


def find_view(snapshot: Snapshot, name: str, digest: Digest | None = None) -> AppliedView | None:
    """The version that stands under a name, or the one with that digest."""
    table = VIEWS if digest is None else VIEW_VERSIONS
    query = sa.select(table).where(table.c.name == name)
    if digest is not None:
        query = query.where(table.c.digest == digest)
    return next((_view(row) for row in snapshot.connection.execute(query)), None)


def list_views(snapshot: Snapshot, names: Sequence[str] | None = None) -> list[AppliedView]:
    """The versions that stand, by name; of all views or of some."""
    found = snapshot.connection.execute(_ALL_VIEWS) if names is None else snapshot.connection.execute(_SOME_VIEWS, {"names": list(names)})
    return [_view(row) for row in found]


def list_view_versions(snapshot: Snapshot, name: str) -> list[AppliedView]:
    """All versions of a view, the newest first."""
    query = sa.select(VIEW_VERSIONS).where(VIEW_VERSIONS.c.name == name).order_by(VIEW_VERSIONS.c.number.desc())
    return [_view(row) for row in snapshot.connection.execute(query)]


def list_older(snapshot: Snapshot, names: Sequence[str] | None = None) -> list[AppliedView]:
    """The versions that something served reads though another one stands under their name; of all views or of some."""
    found = snapshot.connection.execute(_ALL_OLDER) if names is None else snapshot.connection.execute(_SOME_OLDER, {"names": list(names)})
    return [_view(row) for row in found]


def last_number(snapshot: Snapshot, name: str) -> int:
    """The highest number that a version of the view has, 0 where there is none."""
    query = sa.select(sa.func.max(VIEW_VERSIONS.c.number)).where(VIEW_VERSIONS.c.name == name)
    return snapshot.connection.execute(query).scalar() or 0


def put_set(tx: Transaction, applied: AppliedSet) -> None:
    """Makes `applied` the version under its name, and keeps it among the versions."""
    row = {
        "name": applied.set.name,
        "digest": applied.digest,
        "team_id": applied.team_id,
        "definition": msgspec.json.encode(applied.set),
        "applied_at": applied.applied_at,
        "applied_by": applied.applied_by,
    }
    upsert(tx, SETS, [row], ["name"], ["digest", *_SET_COLUMNS])
    upsert(tx, SET_VERSIONS, [row], ["name", "digest"])


def find_set(snapshot: Snapshot, name: str, digest: Digest | None = None) -> AppliedSet | None:
    """The version that stands under a name, or the one with that digest."""
    table = SETS if digest is None else SET_VERSIONS
    query = sa.select(table).where(table.c.name == name)
    if digest is not None:
        query = query.where(table.c.digest == digest)
    return next((_set(row) for row in snapshot.connection.execute(query)), None)


def find_set_of(snapshot: Snapshot, digest: Digest) -> AppliedSet | None:
    """A set with that digest, whether or not it stands under its name."""
    query = sa.select(SET_VERSIONS).where(SET_VERSIONS.c.digest == digest).limit(1)
    return next((_set(row) for row in snapshot.connection.execute(query)), None)


def list_sets(snapshot: Snapshot) -> list[AppliedSet]:
    """The sets that stand, by name."""
    return [_set(row) for row in snapshot.connection.execute(sa.select(SETS).order_by(SETS.c.name))]


def put_materializations(tx: Transaction, items: Sequence[tuple[Materialization, TeamId]]) -> None:
    """Stores how far each version has been brought online."""
    rows = [
        {
            "view_name": item.view,
            "digest": item.digest,
            "team_id": team,
            "upto_at": item.upto_at,
            "newest_event_at": item.newest_event_at,
            "row_count": item.rows,
            "entity_count": item.entities,
            "source": item.source,
            "recorded_at": item.recorded_at,
        }
        for item, team in items
    ]
    upsert(tx, MATERIALIZATIONS, rows, ["view_name", "digest"], _BROUGHT)


def list_materializations(snapshot: Snapshot, views: Sequence[str] | None = None) -> dict[tuple[str, Digest], Materialization]:
    """How far versions have been brought online, by view and digest; of all views or of some."""
    chosen = (
        snapshot.connection.execute(_ALL_BROUGHT) if views is None else snapshot.connection.execute(_SOME_BROUGHT, {"names": list(views)})
    )
    found = [
        Materialization(
            view=row.view_name,
            digest=Digest(row.digest),
            upto_at=Instant(row.upto_at),
            newest_event_at=row.newest_event_at,
            rows=row.row_count,
            entities=row.entity_count,
            source=Digest(row.source),
            recorded_at=Instant(row.recorded_at),
        )
        for row in chosen
    ]
    return {(item.view, item.digest): item for item in found}


def replace_consumers(tx: Transaction, name: str, team: TeamId, consumers: Sequence[FeatureConsumer]) -> None:
    """Makes `consumers` all that `name` reads."""
    tx.connection.execute(sa.delete(CONSUMERS).where(CONSUMERS.c.name == name))
    rows = [
        {
            "name": item.name,
            "view_name": item.view,
            "team_id": team,
            "href": item.href,
            "set_name": item.set,
            "set_digest": item.set_digest,
        }
        for item in consumers
    ]
    upsert(tx, CONSUMERS, rows, ["name", "view_name"])


def list_consumers(snapshot: Snapshot, views: Sequence[str] | None = None) -> list[FeatureConsumer]:
    """What reads views, by name; all views or some."""
    query = sa.select(CONSUMERS).order_by(CONSUMERS.c.name, CONSUMERS.c.view_name)
    if views is not None:
        query = query.where(CONSUMERS.c.view_name.in_(views))
    return [
        FeatureConsumer(name=row.name, href=row.href, view=row.view_name, set=row.set_name, set_digest=Digest(row.set_digest))
        for row in snapshot.connection.execute(query)
    ]


def replace_readers(tx: Transaction, holder: str, team: TeamId, readers: Sequence[ViewReader]) -> None:
    """Makes `readers` all those that `holder` has named."""
    tx.connection.execute(sa.delete(READERS).where(READERS.c.holder == holder))
    rows = [
        {
            "holder": holder,
            "reader": item.reader,
            "view_name": item.view,
            "digest": item.digest,
            "team_id": team,
            "is_answering": item.is_answering,
        }
        for item in readers
    ]
    upsert(tx, READERS, rows, ["holder", "reader", "view_name", "digest"])


def list_readers(snapshot: Snapshot, views: Sequence[str] | None = None) -> list[ViewReader]:
    """Which versions of models read which versions of views, those that answer first; all views or some."""
    query = sa.select(READERS).order_by(READERS.c.is_answering.desc(), READERS.c.reader, READERS.c.view_name)
    if views is not None:
        query = query.where(READERS.c.view_name.in_(views))
    return [
        ViewReader(reader=row.reader, view=row.view_name, digest=Digest(row.digest), is_answering=row.is_answering)
        for row in snapshot.connection.execute(query)
    ]


def list_all_versions(snapshot: Snapshot) -> list[AppliedView]:
    """Every version of every view, by name and number."""
    return [
        _view(row) for row in snapshot.connection.execute(sa.select(VIEW_VERSIONS).order_by(VIEW_VERSIONS.c.name, VIEW_VERSIONS.c.number))
    ]


def delete_materializations(tx: Transaction, versions: Sequence[tuple[str, Digest]]) -> None:
    """Notes that those versions are not online any more."""
    for name, digest in versions:
        where = (MATERIALIZATIONS.c.view_name == name) & (MATERIALIZATIONS.c.digest == digest)
        tx.connection.execute(sa.delete(MATERIALIZATIONS).where(where))


@functools.lru_cache(maxsize=KEPT)
def _declared(definition: bytes) -> FeatureView:
    # A definition is asked for again and again, and checks itself whenever it is made.
    return msgspec.json.decode(definition, type=FeatureView)


def _view(row: sa.Row[tuple[object, ...]]) -> AppliedView:
    return AppliedView(
        view=_declared(row.definition),
        digest=Digest(row.digest),
        number=row.number,
        team_id=TeamId(row.team_id),
        root=row.root,
        applied_at=Instant(row.applied_at),
        applied_by=PrincipalId(row.applied_by),
    )


@functools.lru_cache(maxsize=KEPT)
def _declared_set(definition: bytes) -> FeatureSet:
    return msgspec.json.decode(definition, type=FeatureSet)


def _set(row: sa.Row[tuple[object, ...]]) -> AppliedSet:
    return AppliedSet(
        set=_declared_set(row.definition),
        digest=Digest(row.digest),
        team_id=TeamId(row.team_id),
        applied_at=Instant(row.applied_at),
        applied_by=PrincipalId(row.applied_by),
    )

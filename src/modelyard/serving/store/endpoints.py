"""SQL of endpoints, their revisions, and when each gateway switched."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.registry.domain import ModelName
from modelyard.serving.domain import OWN_NUMBERS, Deployment, Revision, RevisionDetail, RevisionState, ServedVersion, Switch
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

ENDPOINT = sa.Table(
    "serving_endpoint",
    METADATA,
    sa.Column("model", sa.String(120), primary_key=True),
    sa.Column("team_id", sa.String(120), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("live", sa.Integer, nullable=True),
    sa.Column("coming", sa.Integer, nullable=True),
)
REVISION = sa.Table(
    "serving_revision",
    METADATA,
    sa.Column("model", sa.String(120), sa.ForeignKey("serving_endpoint.model"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.String(120), nullable=False),
    sa.Column("state", sa.String(12), nullable=False),
    sa.Column("prepared_at", sa.BigInteger, nullable=True),
    sa.Column("active_at", sa.BigInteger, nullable=True),
    sa.Column("ended_at", sa.BigInteger, nullable=True),
    sa.Column("why_failed", sa.Text, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
)
VERSION = sa.Table(
    "serving_version",
    METADATA,
    sa.Column("model", sa.String(120), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.String(120), nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
)
SWITCH = sa.Table(
    "serving_switch",
    METADATA,
    sa.Column("model", sa.String(120), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("gateway", sa.String(120), primary_key=True),
    sa.Column("switched_at", sa.BigInteger, nullable=False),
)


class _Document(msgspec.Struct, frozen=True):
    """The part of a deployment's document that is asked for most; the versions in it are large and are skipped."""

    revision: Revision


_documents = msgspec.json.Decoder(_Document)


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint with the numbers of its live and its coming revision."""

    model: ModelName
    team_id: TeamId
    created_at: Instant
    live: int | None = None
    coming: int | None = None


def insert_endpoint(tx: Transaction, row: EndpointRow) -> None:
    """Inserts a new endpoint."""
    tx.connection.execute(sa.insert(ENDPOINT).values(msgspec.structs.asdict(row)))


def update_endpoint(tx: Transaction, row: EndpointRow) -> None:
    """Writes which revisions are live and coming."""
    tx.connection.execute(sa.update(ENDPOINT).where(ENDPOINT.c.model == row.model).values(live=row.live, coming=row.coming))


def find_endpoint(snapshot: Snapshot, model: ModelName) -> EndpointRow | None:
    """The endpoint of a model. In a write transaction its row is held, so that revisions of one model follow one another."""
    query = sa.select(ENDPOINT).where(ENDPOINT.c.model == model)
    if isinstance(snapshot, Transaction):
        query = query.with_for_update()
    found = snapshot.connection.execute(query).mappings().one_or_none()
    return None if found is None else _row(found)


def list_endpoints(snapshot: Snapshot, teams: Sequence[TeamId] | None) -> list[EndpointRow]:
    """The endpoints of those teams, or of all, by model."""
    query = sa.select(ENDPOINT).order_by(ENDPOINT.c.model)
    query = query if teams is None else query.where(ENDPOINT.c.team_id.in_(teams))
    return [_row(row) for row in snapshot.connection.execute(query).mappings()]


def next_number(tx: Transaction, model: ModelName) -> int:
    """The number of the model's next revision; those that gateways made by themselves are counted apart."""
    mine = (REVISION.c.model == model) & (REVISION.c.number < OWN_NUMBERS)
    last = tx.connection.execute(sa.select(sa.func.max(REVISION.c.number)).where(mine)).scalar()
    return int(last or 0) + 1


def insert_revision(tx: Transaction, deployment: Deployment, state: RevisionState = RevisionState.PROPOSED) -> None:
    """Inserts a new revision."""
    revision = deployment.revision
    row: dict[str, Any] = {"model": revision.model, "number": revision.number, "team_id": revision.team_id}
    row |= {"state": state.value, "why_failed": "", "document": msgspec.json.encode(deployment)}
    tx.connection.execute(sa.insert(REVISION).values(row))


def set_state(tx: Transaction, name: tuple[ModelName, int], state: RevisionState, **columns: Instant | str) -> None:
    """Writes a revision's state and what goes with it: `prepared_at`, `active_at`, `ended_at`, `why_failed`."""
    where = (REVISION.c.model == name[0]) & (REVISION.c.number == name[1])
    tx.connection.execute(sa.update(REVISION).where(where).values(state=state.value, **columns))


def find_revision(snapshot: Snapshot, model: ModelName, number: int) -> RevisionDetail | None:
    """The revision of that number."""
    query = sa.select(REVISION).where(REVISION.c.model == model, REVISION.c.number == number)
    found = snapshot.connection.execute(query).mappings().one_or_none()
    return None if found is None else _detail(found)


def list_revisions(snapshot: Snapshot, model: ModelName, before: int | None, limit: int) -> list[RevisionDetail]:
    """The revisions of a model, newest first, those before the number `before`; without those that gateways made by themselves."""
    newest = OWN_NUMBERS if before is None else min(before, OWN_NUMBERS)
    mine = (REVISION.c.model == model) & (REVISION.c.number < newest)
    query = sa.select(REVISION).where(mine).order_by(REVISION.c.number.desc()).limit(limit)
    return [_detail(row) for row in snapshot.connection.execute(query).mappings()]


def list_local_revisions(snapshot: Snapshot, model: ModelName) -> list[RevisionDetail]:
    """The revisions that single gateways made by themselves and serve under, by number."""
    local = (REVISION.c.model == model) & (REVISION.c.number >= OWN_NUMBERS) & (REVISION.c.state == RevisionState.LOCAL.value)
    query = sa.select(REVISION).where(local).order_by(REVISION.c.number)
    return [_detail(row) for row in snapshot.connection.execute(query).mappings()]


def list_live_revisions(snapshot: Snapshot, teams: Sequence[TeamId] | None) -> list[RevisionDetail]:
    """The live revision of each endpoint of those teams, or of all, by model; without the gateways' switches."""
    live = (ENDPOINT.c.model == REVISION.c.model) & (ENDPOINT.c.live == REVISION.c.number)
    query = sa.select(REVISION).join(ENDPOINT, live).order_by(REVISION.c.model)
    query = query if teams is None else query.where(ENDPOINT.c.team_id.in_(teams))
    return [_detail(row) for row in snapshot.connection.execute(query).mappings()]


def put_version(tx: Transaction, model: ModelName, team: TeamId, version: ServedVersion) -> None:
    """Keeps what gateways need of a version, as it was when it was first served. Versions never change."""
    row = {"model": model, "number": version.number, "team_id": team, "document": msgspec.json.encode(version)}
    upsert(tx, VERSION, [row], ["model", "number"])


def find_version(snapshot: Snapshot, model: ModelName, number: int) -> ServedVersion | None:
    """What was kept of a version; None where it was never proposed."""
    query = sa.select(VERSION.c.document).where(VERSION.c.model == model, VERSION.c.number == number)
    found = snapshot.connection.execute(query).scalar()
    return None if found is None else msgspec.json.decode(found, type=ServedVersion)


def get_deployments(snapshot: Snapshot, names: Iterable[tuple[ModelName, int]]) -> list[Deployment]:
    """What gateways need to serve those revisions."""
    return [
        msgspec.json.decode(document, type=Deployment)
        for model, number in sorted(names)
        for document in snapshot.connection.execute(
            sa.select(REVISION.c.document).where(REVISION.c.model == model, REVISION.c.number == number)
        ).scalars()
    ]


def put_switches(tx: Transaction, gateway: str, switches: Iterable[tuple[ModelName, int, Instant]]) -> None:
    """Notes when a gateway first switched to each revision."""
    rows = [{"model": model, "number": number, "gateway": gateway, "switched_at": at} for model, number, at in switches]
    upsert(tx, SWITCH, rows, ["model", "number", "gateway"])


def list_switches(snapshot: Snapshot, model: ModelName, number: int) -> tuple[Switch, ...]:
    """When each gateway switched to a revision, first come first."""
    query = sa.select(SWITCH.c.gateway, SWITCH.c.switched_at).where(SWITCH.c.model == model, SWITCH.c.number == number)
    rows = snapshot.connection.execute(query.order_by(SWITCH.c.switched_at, SWITCH.c.gateway))
    return tuple(Switch(gateway=row.gateway, switched_at=Instant(row.switched_at)) for row in rows)


def _row(row: sa.RowMapping) -> EndpointRow:
    return EndpointRow(**{name: row[name] for name in EndpointRow.__struct_fields__})


def _detail(row: Any) -> RevisionDetail:
    return RevisionDetail(
        revision=_documents.decode(row["document"]).revision,
        state=RevisionState(row["state"]),
        prepared_at=row["prepared_at"],
        active_at=row["active_at"],
        ended_at=row["ended_at"],
        why_failed=row["why_failed"],
    )

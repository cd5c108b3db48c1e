"""SQL of gateways as they were last heard of, and of the wish to seal their logs."""

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.serving.domain import OWN_NUMBERS, GatewayLease, Heartbeat, Held
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

# Gateways serve every team; nothing of theirs is owned by one.
GATEWAY = sa.Table(
    "serving_gateway",
    METADATA,
    sa.Column("name", sa.String(120), primary_key=True),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("sealed_through_at", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("shed", sa.BigInteger, nullable=False),
    sa.Column("log_waiting_bytes", sa.BigInteger, nullable=False),
    sa.Column("is_failing", sa.Boolean, nullable=False),
    sa.Column("held", sa.LargeBinary, nullable=False),
)
SEAL = sa.Table(
    "serving_seal",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("before_at", sa.BigInteger, nullable=False),
)
# Which numbers a gateway's own revisions have. A row outlives its gateway: no other one is ever lent the same numbers.
NUMBERS = sa.Table(
    "serving_gateway_numbers",
    METADATA,
    sa.Column("gateway", sa.String(120), primary_key=True),
    sa.Column("first", sa.BigInteger, nullable=False, unique=True),
    sa.Column("next", sa.BigInteger, nullable=False),
)
LAST_NUMBER = 2**31 - 1


class GatewayRow(msgspec.Struct, frozen=True, kw_only=True):
    """A gateway with the revisions that it holds."""

    lease: GatewayLease
    held: tuple[Held, ...]


def put_gateway(tx: Transaction, gateway: str, seen_at: Instant, heartbeat: Heartbeat) -> None:
    """Writes what a gateway said of itself."""
    row = {
        "name": gateway,
        "started_at": heartbeat.started_at,
        "seen_at": seen_at,
        "sealed_through_at": heartbeat.sealed_through_at,
        "requests": heartbeat.requests,
        "shed": heartbeat.shed,
        "log_waiting_bytes": heartbeat.log_waiting_bytes,
        "is_failing": heartbeat.is_failing,
        "held": msgspec.json.encode(heartbeat.held),
    }
    upsert(tx, GATEWAY, [row], ["name"], [name for name in row if name != "name"])


def list_gateways(snapshot: Snapshot) -> list[GatewayRow]:
    """All gateways that were ever heard of and not removed, by name."""
    return [
        GatewayRow(lease=_lease(row), held=msgspec.json.decode(row["held"], type=tuple[Held, ...]))
        for row in snapshot.connection.execute(sa.select(GATEWAY).order_by(GATEWAY.c.name)).mappings()
    ]


def _lease(row: sa.RowMapping) -> GatewayLease:
    held = msgspec.json.decode(row["held"], type=tuple[Held, ...])
    return GatewayLease(
        gateway=row["name"],
        started_at=row["started_at"],
        seen_at=row["seen_at"],
        live={one.model: one.revision for one in sorted(held, key=lambda one: one.active_at or 0) if one.active_at is not None},
        is_failing=row["is_failing"],
        requests=row["requests"],
        shed=row["shed"],
        log_waiting_bytes=row["log_waiting_bytes"],
        sealed_through_at=row["sealed_through_at"],
    )


def delete_gateway(tx: Transaction, gateway: str) -> bool:
    """Removes a gateway; whether there was one."""
    return tx.connection.execute(sa.delete(GATEWAY).where(GATEWAY.c.name == gateway)).rowcount > 0


def own_number(tx: Transaction, gateway: str) -> int:
    """The number of the gateway's next own revision; 0 where no numbers are left to lend."""
    found = tx.connection.execute(sa.select(NUMBERS.c.next).where(NUMBERS.c.gateway == gateway)).scalar()
    if found is not None:
        return int(found)
    last = tx.connection.execute(sa.select(sa.func.max(NUMBERS.c.first))).scalar()
    first = int(last or 0) + OWN_NUMBERS
    if first + OWN_NUMBERS > LAST_NUMBER:
        return 0
    upsert(tx, NUMBERS, [{"gateway": gateway, "first": first, "next": first}], ["gateway"])
    return first


def pass_number(tx: Transaction, gateway: str, number: int) -> None:
    """Notes that the gateway has used one of its numbers."""
    where = (NUMBERS.c.gateway == gateway) & (NUMBERS.c.next <= number) & (NUMBERS.c.first + OWN_NUMBERS > number + 1)
    tx.connection.execute(sa.update(NUMBERS).where(where).values(next=number + 1))


def put_seal(tx: Transaction, before: Instant) -> None:
    """Notes that logs are to be sealed up to `before`."""
    upsert(tx, SEAL, [{"id": 1, "before_at": before}], ["id"], ["before_at"])


def seal_before(snapshot: Snapshot) -> Instant:
    """Up to when logs are to be sealed; 0 before anybody wished it."""
    return Instant(snapshot.connection.execute(sa.select(SEAL.c.before_at)).scalar() or 0)

"""The table of skew and all SQL over it: what comparisons of reads with their sources found, by model, view and day. Owns rows."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.core.clock import Instant
from modelyard.monitoring.domain import SkewCause, SkewExample, ViewSkew
from modelyard.registry.domain import ModelName
from modelyard.storage.database import Snapshot, Transaction
from modelyard.storage.schema import METADATA, upsert

SKEW = sa.Table(
    "monitoring_skew",
    METADATA,
    sa.Column("model", sa.String, primary_key=True),
    sa.Column("view", sa.String, primary_key=True),
    sa.Column("until_at", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.String, nullable=False),
    sa.Column("since_at", sa.BigInteger, nullable=False),
    sa.Column("compared", sa.BigInteger, nullable=False),
    sa.Column("different", sa.BigInteger, nullable=False),
    sa.Column("unverifiable", sa.BigInteger, nullable=False),
    # Days that were measured before causes were told apart have none of these.
    sa.Column("logged", sa.BigInteger),
    *(sa.Column(cause.value, sa.BigInteger) for cause in SkewCause),
    sa.Column("lag_s", sa.Float),
    sa.Column("examples", sa.LargeBinary),
    sa.Index(None, "view", "until_at"),
)
_SKEW_COUNTS = ("compared", "different", "unverifiable", "logged", *(cause.value for cause in SkewCause))
_examples = msgspec.json.Decoder(tuple[SkewExample, ...])


def put_skew(tx: Transaction, team: TeamId, skews: Iterable[ViewSkew]) -> None:
    """Writes what comparisons found, over what stood there."""
    rows = [
        {
            "model": one.model, "view": one.view, "since_at": one.since_at, "until_at": one.until_at, "team_id": team,
            "compared": one.compared, "different": one.different, "unverifiable": one.unverifiable, "logged": one.logged,
            **{cause.value: one.causes.get(cause, 0) for cause in SkewCause},
            "lag_s": one.lag_s, "examples": msgspec.json.encode(one.examples),
        }
        for one in skews
    ]  # fmt: skip
    upsert(tx, SKEW, rows, ["model", "view", "until_at"], ["since_at", *_SKEW_COUNTS, "lag_s", "examples"])


def keep_examples(tx: Transaction, day: ViewSkew, is_kept: Callable[[SkewExample], bool]) -> None:
    """Takes the other examples away from a day of a view, as they stand now."""
    mine = (SKEW.c.model == day.model) & (SKEW.c.view == day.view) & (SKEW.c.until_at == day.until_at)
    standing = tx.connection.execute(sa.select(SKEW.c.examples).where(mine)).scalar()
    if standing:
        kept = tuple(filter(is_kept, _examples.decode(standing)))
        tx.connection.execute(sa.update(SKEW).where(mine).values(examples=msgspec.json.encode(kept)))


def sum_skew(snapshot: Snapshot, model: ModelName | None = None, view: str | None = None, since: Instant | None = None) -> list[ViewSkew]:
    """What all comparisons found together, by model and view, without examples; since an instant where it is given."""
    sums = [sa.func.sum(SKEW.c[name]).label(name) for name in _SKEW_COUNTS]
    ends = [sa.func.min(SKEW.c.since_at).label("since_at"), sa.func.max(SKEW.c.until_at).label("until_at")]
    query = sa.select(SKEW.c.model, SKEW.c.view, *ends, sa.func.max(SKEW.c.lag_s).label("lag_s"), *sums)
    query = query.group_by(SKEW.c.model, SKEW.c.view).order_by(SKEW.c.model, SKEW.c.view)
    return [_skew(row) for row in snapshot.connection.execute(_skewed(query, model, view, since)).mappings()]


def list_skew_days(
    snapshot: Snapshot, model: ModelName | None = None, view: str | None = None, since: Instant | None = None
) -> list[ViewSkew]:
    """What comparisons found by day, oldest first."""
    query = _skewed(sa.select(SKEW), model, view, since).order_by(SKEW.c.until_at, SKEW.c.model, SKEW.c.view)
    return [_skew(row) for row in snapshot.connection.execute(query).mappings()]


def _skewed(query: sa.Select[Any], model: ModelName | None, view: str | None, since: Instant | None) -> sa.Select[Any]:
    if model is not None:
        query = query.where(SKEW.c.model == model)
    if view is not None:
        query = query.where(SKEW.c.view == view)
    return query if since is None else query.where(SKEW.c.until_at > since)


def _skew(row: sa.RowMapping) -> ViewSkew:
    return ViewSkew(
        model=ModelName(row["model"]),
        view=row["view"],
        since_at=Instant(row["since_at"]),
        until_at=Instant(row["until_at"]),
        compared=int(row["compared"]),
        different=int(row["different"]),
        unverifiable=int(row["unverifiable"]),
        logged=int(row["logged"] or 0) or int(row["compared"] + row["unverifiable"]),
        causes={cause: int(row[cause.value]) for cause in SkewCause if row[cause.value]},
        lag_s=row["lag_s"],
        examples=_examples.decode(row["examples"]) if row.get("examples") else (),
    )

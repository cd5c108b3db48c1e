"""The tables of access. Owns their columns; the modules beside own the SQL on them."""

import sqlalchemy as sa

from modelyard.storage.schema import METADATA

TEAM = sa.Table(
    "access_team",
    METADATA,
    sa.Column("id", sa.String(120), primary_key=True),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
ACCOUNT = sa.Table(
    "access_account",
    METADATA,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("name", sa.String(120), nullable=False),
    # Two names that differ in case only would be taken for one another, so the folded name is what is unique.
    sa.Column("name_key", sa.String(120), nullable=False, unique=True),
    sa.Column("kind", sa.String(10), nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)
PASSWORD = sa.Table(
    "access_password",
    METADATA,
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), primary_key=True),
    sa.Column("hash", sa.String(200), nullable=False),
    sa.Column("changed_at", sa.BigInteger, nullable=False),
)
MEMBERSHIP = sa.Table(
    "access_membership",
    METADATA,
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), primary_key=True),
    # A team's id or `*`, which is every team.
    sa.Column("team_id", sa.String(120), primary_key=True),
    sa.Column("role", sa.String(20), nullable=False),
)
TOKEN = sa.Table(
    "access_token",
    METADATA,
    sa.Column("id", sa.String(12), primary_key=True),
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), nullable=False, index=True),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("secret_hash", sa.String(64), nullable=False),
    sa.Column("scopes", sa.Text, nullable=False),
    sa.Column("roles", sa.Text, nullable=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
    sa.Column("revoked_at", sa.BigInteger, nullable=True),
    sa.Column("last_used_at", sa.BigInteger, nullable=True),
)
SESSION = sa.Table(
    "access_session",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), nullable=False, index=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("seen_at", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
LINK = sa.Table(
    "access_link",
    METADATA,
    sa.Column("account_id", sa.String(60), sa.ForeignKey("access_account.id"), primary_key=True),
    sa.Column("hash", sa.String(64), nullable=False, unique=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False),
)
THROTTLE = sa.Table(
    "access_throttle",
    METADATA,
    sa.Column("key", sa.String(80), primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
    sa.Column("until_at", sa.BigInteger, nullable=False),
)

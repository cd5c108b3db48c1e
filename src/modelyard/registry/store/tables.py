"""The tables of the registry. Owns their columns; the modules beside own the SQL on them."""

import sqlalchemy as sa

from modelyard.storage.schema import METADATA

# SQLite minds no length, and could not widen a column without writing the table anew.
NAME = sa.String(256).with_variant(sa.String(120), "sqlite")
ALIAS_NAME = sa.String(255).with_variant(sa.String(100), "sqlite")

MODEL = sa.Table(
    "registry_model",
    METADATA,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("id", sa.String(256), nullable=True),
    sa.Column("team_id", sa.String(120), nullable=False, index=True),
    sa.Column("owner", sa.String(200), nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("risk", sa.String(20), nullable=False),
    sa.Column("created_by", sa.String(60), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
ARTIFACT = sa.Table(
    "registry_artifact",
    METADATA,
    sa.Column("digest", sa.String(80), primary_key=True),
    sa.Column("format", sa.String(20), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("content", sa.String(80), nullable=True),
    sa.Column("signature", sa.Text, nullable=True),
)
VERSION = sa.Table(
    "registry_version",
    METADATA,
    sa.Column("model", NAME, sa.ForeignKey("registry_model.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("team_id", sa.String(120), nullable=False),
    sa.Column("format", sa.String(20), nullable=False),
    sa.Column("artifact", sa.String(80), sa.ForeignKey("registry_artifact.digest"), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("content", sa.String(80), nullable=True),
    sa.Column("signature", sa.Text, nullable=True),
    sa.Column("run_id", sa.String(64), nullable=True, index=True),
    sa.Column("snapshot", sa.String(80), nullable=True),
    sa.Column("feature_set", sa.String(80), nullable=True),
    sa.Column("source", sa.String(80), nullable=True),
    sa.Column("environment", sa.String(80), nullable=True),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("author", sa.String(60), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("idempotency_key", sa.String(200), nullable=True),
    sa.UniqueConstraint("model", "idempotency_key"),
)
OF_DIGESTS = (VERSION.c.artifact, VERSION.c.content, VERSION.c.snapshot, VERSION.c.feature_set, VERSION.c.source, VERSION.c.environment)
for _digest in OF_DIGESTS:
    sa.Index(None, _digest, VERSION.c.created_at.desc())

STATE = sa.Table(
    "registry_state",
    METADATA,
    sa.Column("model", NAME, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String(20), primary_key=True),
    sa.Column("entered_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(60), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["registry_version.model", "registry_version.number"]),
)
ALIAS = sa.Table(
    "registry_alias",
    METADATA,
    sa.Column("model", NAME, primary_key=True),
    sa.Column("name", ALIAS_NAME, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("moved_at", sa.BigInteger, nullable=False),
    sa.Column("moved_by", sa.String(60), nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["registry_version.model", "registry_version.number"]),
)
MOVE = sa.Table(
    "registry_alias_move",
    METADATA,
    sa.Column("id", sa.String(60), primary_key=True),
    sa.Column("model", NAME, sa.ForeignKey("registry_model.name"), nullable=False, index=True),
    sa.Column("name", ALIAS_NAME, nullable=False),
    sa.Column("number_before", sa.Integer, nullable=True),
    sa.Column("number_after", sa.Integer, nullable=True),
    sa.Column("moved_at", sa.BigInteger, nullable=False),
    sa.Column("moved_by", sa.String(60), nullable=False),
)
DEPRECATION = sa.Table(
    "registry_deprecation",
    METADATA,
    sa.Column("model", NAME, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("successor", sa.Integer, nullable=True),
    sa.Column("since_at", sa.BigInteger, nullable=False),
    sa.Column("actor", sa.String(60), nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["registry_version.model", "registry_version.number"]),
)
HOLD = sa.Table(
    "registry_hold",
    METADATA,
    sa.Column("model", NAME, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.String(200), primary_key=True),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("since_at", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["registry_version.model", "registry_version.number"]),
)
TAG = sa.Table(
    "registry_tag",
    METADATA,
    sa.Column("model", NAME, sa.ForeignKey("registry_model.name"), primary_key=True),
    # 0 stands for the model itself.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.String(250), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
NOTE = sa.Table(
    "registry_note",
    METADATA,
    sa.Column("model", NAME, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("description", sa.Text, nullable=True),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["model", "number"], ["registry_version.model", "registry_version.number"]),
    sa.Index("ix_registry_note_stage", "model", "stage", "number"),
)
SOURCE = sa.Table(
    "registry_logged_source",
    METADATA,
    sa.Column("model", NAME, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("uri", sa.Text, nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("folder", sa.Text, nullable=False),
    sa.Column("run_link", sa.Text, nullable=False),
    sa.Column("logged_model", sa.String(64), nullable=False),
    # None in rows that are older than the column: it follows from owner and folder there.
    sa.Column("location", sa.Text, nullable=True),
    sa.ForeignKeyConstraint(["model", "number"], ["registry_version.model", "registry_version.number"]),
)
FORMER_NAME = sa.Table(
    "registry_former_name",
    METADATA,
    sa.Column("name", NAME, primary_key=True),
    sa.Column("model_id", sa.String(256), nullable=False),
    sa.Column("last", sa.Integer, nullable=False),
)
WEBHOOK = sa.Table(
    "registry_webhook",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("team_id", sa.String(120), nullable=False, index=True),
    sa.Column("name", sa.String(63), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("events", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("secret", sa.LargeBinary, nullable=True),
    sa.Column("created_by", sa.String(60), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
)
DISPATCH = sa.Table(
    "registry_webhook_dispatch",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    # No foreign key: a webhook that is removed meanwhile must not fail the change that told of itself. The courier clears up.
    sa.Column("webhook_id", sa.String(64), nullable=False, index=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("due_at", sa.BigInteger, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
)

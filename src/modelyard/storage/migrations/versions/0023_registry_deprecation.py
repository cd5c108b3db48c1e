"""Versions that are deprecated, and indexes that find versions among a million: by any of their digests, and by their stage."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the change."""
    op.create_table(
        "registry_deprecation",
        sa.Column("model", sa.String(length=256).with_variant(sa.String(length=120), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("successor", sa.Integer(), nullable=True),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=60), nullable=False),
        sa.ForeignKeyConstraint(
            ["model", "number"],
            ["registry_version.model", "registry_version.number"],
            name=op.f("fk_registry_deprecation_model_number"),
        ),
        sa.PrimaryKeyConstraint("model", "number", name=op.f("pk_registry_deprecation")),
    )
    op.create_index("ix_registry_note_stage", "registry_note", ["model", "stage", "number"])
    for column in ("artifact", "content", "snapshot"):
        op.drop_index(op.f(f"ix_registry_version_{column}"), table_name="registry_version")
    for column in ("artifact", "content", "snapshot", "feature_set", "source", "environment"):
        name = op.f(f"ix_registry_version_{column}_created_at")
        op.create_index(name, "registry_version", [column, sa.literal_column("created_at DESC")])

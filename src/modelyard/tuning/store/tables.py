"""Tuning's tables. Owns their columns and indexes; the SQL over them is in the modules beside.

What Optuna keeps stands in tables of its own names, so that its samplers and pruners see every study through `sampling.storage`.
"""

import sqlalchemy as sa

from modelyard.storage.schema import METADATA

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")

OPTUNA_STUDIES = sa.Table(
    "optuna_studies",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("name", sa.String(400), nullable=False, unique=True),
    sa.Column("document", sa.LargeBinary, nullable=False),
    # An id is never used again, not even that of what was deleted.
    sqlite_autoincrement=True,
)
OPTUNA_TRIALS = sa.Table(
    "optuna_trials",
    METADATA,
    sa.Column("id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("study_id", SERIAL, sa.ForeignKey("optuna_studies.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("loss", sa.String(16), nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("study_id", "number"),
    # How a study stands is looked at with each trial that is given out or ends: without the documents.
    sa.Index("ix_optuna_trials_standing", "study_id", "loss", "state", "lease_until"),
    sqlite_autoincrement=True,
)
OPTUNA_REPORTS = sa.Table(
    "optuna_reports",
    METADATA,
    sa.Column("trial_id", SERIAL, sa.ForeignKey("optuna_trials.id"), primary_key=True, autoincrement=False),
    sa.Column("step", sa.BigInteger, primary_key=True, autoincrement=False),
    # No value stands for "not a number", which SQLite does not keep apart.
    sa.Column("value", sa.Double),
)
STUDIES = sa.Table(
    "studies",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("team_id", sa.String(64), nullable=False),
    sa.Column("model", sa.String(120), nullable=False),
    sa.Column("name", sa.String(120), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("model", "name"),
)

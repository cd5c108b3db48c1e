"""Tracking's tables. Owns their columns and indexes; the SQL over them is in the modules beside.

Rows of a run repeat its experiment, so that one index serves "runs of this experiment whose metric is above that", and its
team, so that no row is without an owner. Texts compare by code point on both databases.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from modelyard.storage.schema import METADATA

TEXT = sa.Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")
VALUE_START = 64
"""How much of a param's or tag's value its index holds; the rest is compared in the row."""


def _column(name: str, *, is_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, TEXT, nullable=False, primary_key=is_key)


def _keyed(name: str, owner: str) -> sa.Table:
    """A table of texts by owner and key, found by experiment, key and value."""
    return sa.Table(
        name,
        METADATA,
        _column(owner, is_key=True),
        _column("key", is_key=True),
        _column("team_id"),
        _column("experiment_id"),
        _column("value"),
        _column("value_start"),
        sa.Index(None, "experiment_id", "key", "value_start", owner),
        sqlite_with_rowid=False,
    )


EXPERIMENTS = sa.Table(
    "experiments",
    METADATA,
    _column("experiment_id", is_key=True),
    _column("team_id"),
    sa.Column("name", TEXT, nullable=False, unique=True),
    _column("artifact_location"),
    _column("lifecycle"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    sa.Index(None, "created_at", "experiment_id"),
)

EXPERIMENT_TAGS = sa.Table(
    "experiment_tags",
    METADATA,
    _column("experiment_id", is_key=True),
    _column("key", is_key=True),
    _column("team_id"),
    _column("value"),
    sqlite_with_rowid=False,
)

RUNS = sa.Table(
    "runs",
    METADATA,
    _column("run_id", is_key=True),
    _column("team_id"),
    sa.Column("experiment_id", TEXT, sa.ForeignKey(EXPERIMENTS.c.experiment_id), nullable=False),
    _column("name"),
    _column("user_name"),
    _column("status"),
    sa.Column("started_at", sa.BigInteger, nullable=False),
    sa.Column("ended_at", sa.BigInteger),
    _column("lifecycle"),
    _column("artifact_uri"),
    _column("created_by"),
    sa.Column("source_digest", TEXT),
    sa.Column("environment_digest", TEXT),
    sa.Column("snapshot_digest", TEXT),
    sa.Column("content_digest", TEXT),
)
sa.Index(None, RUNS.c.experiment_id, RUNS.c.lifecycle, RUNS.c.started_at.desc(), RUNS.c.run_id)
for _ordered in (RUNS.c.ended_at, RUNS.c.name):
    sa.Index(None, RUNS.c.experiment_id, RUNS.c.lifecycle, _ordered, RUNS.c.run_id)
for _digest in (RUNS.c.source_digest, RUNS.c.snapshot_digest):
    sa.Index(None, _digest, sqlite_where=_digest.is_not(None), postgresql_where=_digest.is_not(None))

RUN_PARAMS = _keyed("run_params", "run_id")
RUN_TAGS = _keyed("run_tags", "run_id")

# A NaN is kept as 0 and a flag: SQLite has no NaN. The latest point is the highest of (step, at, value, is_nan).
RUN_SERIES = sa.Table(
    "run_series",
    METADATA,
    sa.Column("series_id", SERIAL, primary_key=True, autoincrement=True),
    _column("run_id"),
    _column("key"),
    _column("team_id"),
    _column("experiment_id"),
    sa.Column("latest_step", sa.BigInteger, nullable=False),
    sa.Column("latest_at", sa.BigInteger, nullable=False),
    sa.Column("latest_value", sa.Double, nullable=False),
    sa.Column("latest_is_nan", sa.Boolean, nullable=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Column("loose_chunks", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("run_id", "key"),
    sa.Index(None, "experiment_id", "key", "latest_is_nan", "latest_value", "run_id"),
)
SCATTERED = RUN_SERIES.c.loose_chunks >= sa.literal_column("64")
"""Whether a series has so many loose chunks that reading them one by one costs; a literal, so that the index serves it."""
sa.Index(None, RUN_SERIES.c.loose_chunks, sqlite_where=SCATTERED, postgresql_where=SCATTERED)

# A chunk as it was appended is loose; many of them are merged into one, once.
RUN_POINTS = sa.Table(
    "run_points",
    METADATA,
    sa.Column("chunk_id", SERIAL, primary_key=True, autoincrement=True),
    sa.Column("series_id", sa.BigInteger, nullable=False),
    _column("team_id"),
    sa.Column("is_merged", sa.Boolean, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.Index(None, "series_id", "chunk_id"),
)

# How far each spool that logs to a run was taken in: what comes again is answered and not logged twice.
RUN_SOURCES = sa.Table(
    "run_sources",
    METADATA,
    _column("source_id", is_key=True),
    _column("team_id"),
    _column("run_id"),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Index(None, "run_id"),
)

# A saved view of an experiment's table of runs; one without an experiment is for all of the team's.
RUN_VIEWS = sa.Table(
    "run_views",
    METADATA,
    _column("view_id", is_key=True),
    _column("team_id"),
    _column("experiment_id"),
    _column("name"),
    _column("query"),
    _column("saved_by"),
    sa.Column("saved_at", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("team_id", "experiment_id", "name"),
)

RUN_DATASETS = sa.Table(
    "run_datasets",
    METADATA,
    _column("dataset_id", is_key=True),
    _column("team_id"),
    _column("experiment_id"),
    _column("name"),
    _column("digest"),
    _column("source_type"),
    _column("source"),
    sa.Column("schema", TEXT),
    sa.Column("profile", TEXT),
    sa.UniqueConstraint("experiment_id", "name", "digest"),
)

RUN_DATASET_INPUTS = sa.Table(
    "run_dataset_inputs",
    METADATA,
    _column("run_id", is_key=True),
    _column("dataset_id", is_key=True),
    _column("team_id"),
    sa.Column("context", TEXT),
    sa.Column("tags", sa.LargeBinary, nullable=False),
    sa.Index(None, "dataset_id"),
)

RUN_MODELS = sa.Table(
    "run_models",
    METADATA,
    _column("run_id", is_key=True),
    _column("direction", is_key=True),
    _column("model_id", is_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True, nullable=False),
    _column("team_id"),
    sa.Index(None, "model_id"),
)

# Files of runs and of logged models, by the id of either.
RUN_ARTIFACTS = sa.Table(
    "run_artifacts",
    METADATA,
    _column("owner_id", is_key=True),
    _column("path", is_key=True),
    _column("team_id"),
    _column("digest"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("put_at", sa.BigInteger, nullable=False),
    sa.Index(None, "digest"),
)

# A file that is on its way in parts. Each part is a blob of its own, sealed so that no other content has its digest.
RUN_UPLOADS = sa.Table(
    "run_uploads",
    METADATA,
    _column("upload_id", is_key=True),
    _column("team_id"),
    _column("owner_id"),
    _column("path"),
    _column("created_by"),
    sa.Column("parts", sa.BigInteger, nullable=False),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)

RUN_UPLOAD_PARTS = sa.Table(
    "run_upload_parts",
    METADATA,
    _column("upload_id", is_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    _column("team_id"),
    _column("digest"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
)

LOGGED_MODELS = sa.Table(
    "logged_models",
    METADATA,
    _column("model_id", is_key=True),
    _column("team_id"),
    _column("experiment_id"),
    _column("name"),
    _column("artifact_uri"),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("updated_at", sa.BigInteger, nullable=False),
    _column("status"),
    _column("model_type"),
    _column("source_run_id"),
    _column("lifecycle"),
    sa.Column("content_digest", TEXT),
)
sa.Index(None, LOGGED_MODELS.c.experiment_id, LOGGED_MODELS.c.created_at.desc(), LOGGED_MODELS.c.model_id)

LOGGED_MODEL_PARAMS = _keyed("logged_model_params", "model_id")
LOGGED_MODEL_TAGS = _keyed("logged_model_tags", "model_id")

LOGGED_MODEL_METRICS = sa.Table(
    "logged_model_metrics",
    METADATA,
    _column("model_id", is_key=True),
    _column("key", is_key=True),
    sa.Column("at", sa.BigInteger, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    _column("run_id", is_key=True),
    _column("team_id"),
    _column("experiment_id"),
    sa.Column("value", sa.Double, nullable=False),
    sa.Column("is_nan", sa.Boolean, nullable=False),
    sa.Column("dataset_name", TEXT),
    sa.Column("dataset_digest", TEXT),
)

# What was brought in from other tracking servers, by its id there; the registry notes its models and versions here too.
IMPORTED = sa.Table(
    "tracking_imported",
    METADATA,
    _column("source", is_key=True),
    _column("kind", is_key=True),
    _column("their_id", is_key=True),
    _column("our_id"),
    _column("team_id"),
    _column("fingerprint"),
    sa.Column("imported_at", sa.BigInteger, nullable=False),
    _column("imported_by"),
    sqlite_with_rowid=False,
)

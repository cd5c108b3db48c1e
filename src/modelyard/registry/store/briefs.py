"""The SQL behind lists on MLflow's wire: what they show of models and versions and no more, each list a few prepared queries."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.registry.domain import AliasName, ModelName
from modelyard.registry.store.events import is_retired
from modelyard.registry.store.notes import Key
from modelyard.registry.store.tables import ALIAS, DEPRECATION, MODEL, NOTE, SOURCE, VERSION
from modelyard.storage.database import Snapshot
from modelyard.storage.prepared import PreparedPairs, PreparedSelect

ACTIVE_STAGES = ("Archived", "Production", "Staging")
NO_STAGE = "None"


def _on(table: sa.Table) -> sa.ColumnElement[bool]:
    return (table.c.model == VERSION.c.model) & (table.c.number == VERSION.c.number)


_HEADS = PreparedSelect(
    lambda names: sa.select(MODEL.c.name, MODEL.c.created_by, MODEL.c.purpose, MODEL.c.created_at, MODEL.c.updated_at).where(
        MODEL.c.name.in_(names)
    ),
    "names",
)
_ALIASES = PreparedSelect(
    lambda names: sa.select(ALIAS.c.model, ALIAS.c.name, ALIAS.c.number).where(ALIAS.c.model.in_(names)).order_by(ALIAS.c.name), "names"
)
_VERSIONS = PreparedPairs(
    lambda pairs: (
        sa.select(
            VERSION.c.model,
            VERSION.c.number,
            VERSION.c.artifact,
            VERSION.c.run_id,
            VERSION.c.author,
            sa.func.coalesce(NOTE.c.description, VERSION.c.description),
            sa.func.coalesce(NOTE.c.stage, NO_STAGE),
            VERSION.c.created_at,
            sa.func.coalesce(NOTE.c.updated_at, VERSION.c.created_at),
            SOURCE.c.uri,
            SOURCE.c.run_link,
            SOURCE.c.logged_model,
            DEPRECATION.c.why,
            DEPRECATION.c.successor,
        )
        .join(pairs, (VERSION.c.model == pairs.c.text) & (VERSION.c.number == pairs.c.number))
        .outerjoin(NOTE, _on(NOTE))
        .outerjoin(SOURCE, _on(SOURCE))
        .outerjoin(DEPRECATION, _on(DEPRECATION))
    )
)


def _newest(names: Any) -> sa.Select[Any]:
    """The newest version of each model that is in no stage: a look from its last number down, whatever it has in all."""
    staged = sa.exists().where(_on(NOTE), NOTE.c.stage != NO_STAGE)
    number = (
        sa.select(VERSION.c.number)
        .where(VERSION.c.model == MODEL.c.name, sa.not_(staged), sa.not_(is_retired(VERSION.c.model, VERSION.c.number)))
        .order_by(VERSION.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return sa.select(MODEL.c.name, number).where(MODEL.c.name.in_(names))


def _newest_staged(names: Any) -> sa.Select[Any]:
    stages: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{stage}'") for stage in ACTIVE_STAGES]
    return (
        sa.select(NOTE.c.model, NOTE.c.stage, sa.func.max(NOTE.c.number))
        .where(NOTE.c.model.in_(names), NOTE.c.stage.in_(stages), sa.not_(is_retired(NOTE.c.model, NOTE.c.number)))
        .group_by(NOTE.c.model, NOTE.c.stage)
    )


_NEWEST = PreparedSelect(_newest, "names")
_NEWEST_STAGED = PreparedSelect(_newest_staged, "names")


def list_heads(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[str, Any]:
    """Rows of name, maker, purpose, and when the model was made and changed last, by name."""
    return {row[0]: row for row in _HEADS.tuples(snapshot, names)}


def list_versions(snapshot: Snapshot, keys: Sequence[Key]) -> dict[Key, Any]:
    """Rows of what the wire tells of those versions beside their tags, by name and number."""
    return {(row[0], row[1]): row for row in _VERSIONS.tuples(snapshot, keys)}


def list_aliases(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[str, list[tuple[AliasName, int]]]:
    """The aliases of those models and the versions that they point to, by name."""
    found: dict[str, list[tuple[AliasName, int]]] = {}
    for model, alias, number in _ALIASES.tuples(snapshot, names):
        found.setdefault(model, []).append((alias, number))
    return found


def latest_by_stage(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[ModelName, dict[str, int]]:
    """For each model the newest version in each of MLflow's stages, in the order of their words, retired ones left out."""
    found: dict[ModelName, dict[str, int]] = {}
    for model, stage, number in _NEWEST_STAGED.tuples(snapshot, names):
        found.setdefault(model, {})[stage] = number
    for model, number in _NEWEST.tuples(snapshot, names):
        if number is not None:
            found.setdefault(model, {})[NO_STAGE] = number
    return {model: stages if len(stages) == 1 else dict(sorted(stages.items())) for model, stages in found.items()}

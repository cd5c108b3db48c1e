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


def _on(table: sa.FromClause, version: sa.FromClause = VERSION) -> sa.ColumnElement[bool]:
    return (table.c.model == version.c.model) & (table.c.number == version.c.number)


def _newest_number() -> sa.ScalarSelect[int]:
    """The newest version of a row's model that is in no stage: a look from its last number down, whatever it has in all."""
    version, note = VERSION.alias("candidate"), NOTE.alias("noted")
    staged = sa.exists().where(_on(note, version), note.c.stage != NO_STAGE)
    return (
        sa.select(version.c.number)
        .where(version.c.model == MODEL.c.name, sa.not_(staged), sa.not_(is_retired(version.c.model, version.c.number)))
        .order_by(version.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )


def _newest_staged(names: Any) -> sa.Select[Any]:
    stages: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{stage}'") for stage in ACTIVE_STAGES]
    return (
        sa.select(NOTE.c.model, NOTE.c.stage, sa.func.max(NOTE.c.number))
        .where(NOTE.c.model.in_(names), NOTE.c.stage.in_(stages), sa.not_(is_retired(NOTE.c.model, NOTE.c.number)))
        .group_by(NOTE.c.model, NOTE.c.stage)
    )


_HEAD = (MODEL.c.name, MODEL.c.created_by, MODEL.c.purpose, MODEL.c.created_at, MODEL.c.updated_at)
_TOLD = (
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


def _with_notes(query: sa.Select[Any]) -> sa.Select[Any]:
    return query.outerjoin(NOTE, _on(NOTE)).outerjoin(SOURCE, _on(SOURCE)).outerjoin(DEPRECATION, _on(DEPRECATION))


_HEADS = PreparedSelect(
    lambda names: _with_notes(
        sa.select(*_HEAD, *_TOLD)
        .select_from(MODEL)
        .outerjoin(VERSION, (VERSION.c.model == MODEL.c.name) & (VERSION.c.number == _newest_number()))
        .where(MODEL.c.name.in_(names))
    ),
    "names",
)
_ALIASES = PreparedSelect(
    lambda names: sa.select(ALIAS.c.model, ALIAS.c.name, ALIAS.c.number).where(ALIAS.c.model.in_(names)).order_by(ALIAS.c.name), "names"
)
_VERSIONS = PreparedPairs(
    lambda pairs: _with_notes(
        sa.select(*_TOLD).select_from(pairs).join(VERSION, (VERSION.c.model == pairs.c.text) & (VERSION.c.number == pairs.c.number))
    )
)
_NEWEST = PreparedSelect(lambda names: sa.select(MODEL.c.name, _newest_number()).where(MODEL.c.name.in_(names)), "names")
_NEWEST_STAGED = PreparedSelect(_newest_staged, "names")


def list_heads(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """By name: maker, purpose, and when the model was made and changed last, behind the name; and its newest version in no stage.

    The version is a row as `list_versions` has them, of None where the model has no such version.
    """
    size = len(_HEAD)
    return {row[0]: (row[:size], row[size:]) for row in _HEADS.tuples(snapshot, names)}


def list_versions(snapshot: Snapshot, keys: Sequence[Key]) -> dict[Key, Any]:
    """Rows of what the wire tells of those versions beside their tags, by name and number."""
    return {(row[0], row[1]): row for row in _VERSIONS.tuples(snapshot, keys)}


def list_aliases(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[str, list[tuple[AliasName, int]]]:
    """The aliases of those models and the versions that they point to, by name."""
    found: dict[str, list[tuple[AliasName, int]]] = {}
    for model, alias, number in _ALIASES.tuples(snapshot, names):
        found.setdefault(model, []).append((alias, number))
    return found


def newest_staged(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[ModelName, dict[str, int]]:
    """For each model that has any the newest version in each stage other than none, retired ones left out."""
    found: dict[ModelName, dict[str, int]] = {}
    for model, stage, number in _NEWEST_STAGED.tuples(snapshot, names):
        found.setdefault(model, {})[stage] = number
    return found


def latest_by_stage(snapshot: Snapshot, names: Sequence[ModelName]) -> dict[ModelName, dict[str, int]]:
    """For each model the newest version in each of MLflow's stages, in the order of their words, retired ones left out."""
    found = newest_staged(snapshot, names)
    for model, number in _NEWEST.tuples(snapshot, names):
        if number is not None:
            found.setdefault(model, {})[NO_STAGE] = number
    return {model: stages if len(stages) == 1 else dict(sorted(stages.items())) for model, stages in found.items()}

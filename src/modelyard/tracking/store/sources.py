"""Rows of sources: which batch of each spool was taken in last."""

import sqlalchemy as sa

from modelyard.access.domain import TeamId
from modelyard.storage.database import Dialect, Snapshot, Transaction
from modelyard.storage.prepared import Prepared, insert_of
from modelyard.tracking.domain import RunId
from modelyard.tracking.spooled import SourceId
from modelyard.tracking.store.tables import RUN_SOURCES


def _insert(dialect: Dialect) -> sa.Executable:
    columns = [column.name for column in RUN_SOURCES.c]
    inserted: sa.Executable = insert_of(RUN_SOURCES, columns, dialect).on_conflict_do_nothing(index_elements=["source_id"])
    return inserted


_INSERT = Prepared(_insert)
_ADVANCE = (
    sa.update(RUN_SOURCES)
    .where(
        RUN_SOURCES.c.source_id == sa.bindparam("source"),
        RUN_SOURCES.c.run_id == sa.bindparam("run"),
        RUN_SOURCES.c.sequence < sa.bindparam("number"),
    )
    .values(sequence=sa.bindparam("number"))
)


def is_advanced(tx: Transaction, source: SourceId, run_id: RunId, team: TeamId, sequence: int) -> bool:
    """Whether the source stands at batch `sequence` from now on, and stood before it until now.

    Of two transactions at once the second waits for the first, and then finds the source advanced.
    """
    _INSERT.run(tx, [{"source_id": source, "team_id": team, "run_id": run_id, "sequence": 0}])
    return tx.connection.execute(_ADVANCE, {"source": source, "run": run_id, "number": sequence}).rowcount > 0


def has_source(snapshot: Snapshot, source: SourceId, run_id: RunId) -> bool:
    """Whether anything of that source was taken into that run."""
    query = sa.select(sa.literal(1)).where(RUN_SOURCES.c.source_id == source, RUN_SOURCES.c.run_id == run_id)
    return snapshot.connection.execute(query).first() is not None


def has_later(snapshot: Snapshot, source: SourceId, run_id: RunId) -> bool:
    """Whether anything was taken into the run of a source that was made after that one."""
    query = sa.select(sa.literal(1)).where(RUN_SOURCES.c.run_id == run_id, RUN_SOURCES.c.source_id > source).limit(1)
    return snapshot.connection.execute(query).first() is not None

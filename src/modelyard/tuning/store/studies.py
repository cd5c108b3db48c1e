"""Studies as Modelyard knows them: whose, of which model, taken up by whom. Rows to domain types and back."""

from collections.abc import Collection
from typing import Any

import msgspec
import sqlalchemy as sa

from modelyard.core.clock import Instant
from modelyard.storage.database import Snapshot, Transaction
from modelyard.tuning.domain import OPEN, Study, StudyState
from modelyard.tuning.store.tables import STUDIES


def insert_study(tx: Transaction, study: Study) -> None:
    """Inserts a new study."""
    tx.connection.execute(sa.insert(STUDIES).values(_row(study) | {"lease_until": 0}))


def update_study(tx: Transaction, study: Study, fence: int, lease_until: Instant | None = None) -> bool:
    """Whether the study still stood under `fence`, and so was overwritten; without an instant its lease stays."""
    values = _row(study) | ({} if lease_until is None else {"lease_until": lease_until})
    return tx.connection.execute(sa.update(STUDIES).where(STUDIES.c.id == study.id, STUDIES.c.fence == fence).values(values)).rowcount == 1


def extend_study(tx: Transaction, study: Study, lease_until: Instant) -> bool:
    """Whether the study was still being prepared under its own fence, and so its lease was extended."""
    own = (STUDIES.c.id == study.id, STUDIES.c.fence == study.fence, STUDIES.c.state == StudyState.PREPARING)
    return tx.connection.execute(sa.update(STUDIES).where(*own).values(lease_until=lease_until)).rowcount == 1


def find_study(snapshot: Snapshot, study: str) -> Study | None:
    """The study of that id; a transaction holds it against others from then on."""
    query = sa.select(STUDIES.c.document).where(STUDIES.c.id == study)
    return _found(snapshot, query)


def find_study_by_name(snapshot: Snapshot, model: str, name: str) -> Study | None:
    """The model's study of that name; a transaction holds it against others from then on."""
    return _found(snapshot, sa.select(STUDIES.c.document).where(STUDIES.c.model == model, STUDIES.c.name == name))


def list_studies(snapshot: Snapshot, teams: Collection[str] | None, model: str | None, name: str | None, limit: int) -> list[Study]:
    """Studies of these teams, or of all, newest first; of a model and a name where these are given."""
    query = sa.select(STUDIES.c.document).order_by(STUDIES.c.id.desc()).limit(limit)
    query = query if teams is None else query.where(STUDIES.c.team_id.in_(teams))
    for column, wanted in ((STUDIES.c.model, model), (STUDIES.c.name, name)):
        query = query if wanted is None else query.where(column == wanted)
    return [msgspec.json.decode(one, type=Study) for one in snapshot.connection.execute(query).scalars()]


def list_open(snapshot: Snapshot, lease_now: Instant) -> list[tuple[Study, bool]]:
    """The studies that are not over, oldest first, and whether the one who prepares it has let its lease run out."""
    query = sa.select(STUDIES.c.document, STUDIES.c.lease_until).where(STUDIES.c.state.in_(_words(OPEN))).order_by(STUDIES.c.id)
    return [(msgspec.json.decode(row.document, type=Study), row.lease_until < lease_now) for row in snapshot.connection.execute(query)]


def _words(states: Collection[StudyState]) -> list[str]:
    return sorted(str(state) for state in states)


def _found(snapshot: Snapshot, query: sa.Select[Any]) -> Study | None:
    found = snapshot.connection.execute(query.with_for_update() if isinstance(snapshot, Transaction) else query).scalar()
    return None if found is None else msgspec.json.decode(found, type=Study)


def _row(study: Study) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(study, name) for name in ("id", "team_id", "model", "name", "state", "fence")}
    return row | {"document": msgspec.json.encode(study)}

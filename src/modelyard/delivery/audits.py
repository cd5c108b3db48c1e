"""The scheduled audit: champions are made again before somebody asks whether they still can be. Owns when, and of which."""

from cronsim import CronSim, CronSimError

from modelyard.access.domain import SYSTEM
from modelyard.core.clock import SECOND, Instant, instant, moment
from modelyard.core.errors import InvalidInput
from modelyard.delivery.domain import NewReproduction, NotReproducible, ReproductionId
from modelyard.delivery.reproductions import check_reproducible, list_version_reproductions, start_reproduction
from modelyard.delivery.service import list_declared
from modelyard.registry.domain import CHAMPION, ModelName, ModelVersion
from modelyard.registry.service import find_alias, get_version
from modelyard.storage.database import Database, Snapshot

AGAIN_AFTER_S = 30 * 86_400


def audit_champions(database: Database, cron: str) -> list[ReproductionId]:
    """Asks for every champion to be made again that was there when the schedule was due last, and was not made again lately.

    One that was never tried, or not in the 30 days before that instant, is due. Each is asked for once, by whichever worker
    comes first, and one that was missed while no worker ran is made up for. Raises InvalidInput for a schedule that names no
    time; an empty one audits nothing.
    """
    if not cron:
        return []
    with database.read() as snapshot:
        due_at = last_due(cron, snapshot.now())
        due = [version for version in _champions(snapshot) if _is_due(snapshot, version, due_at)]
    found = []
    for version in due:
        body = NewReproduction(key=f"audit/{version.model}/{version.number}/{due_at}")
        asked = database.write(lambda tx, version=version, body=body: start_reproduction(tx, SYSTEM, version.model, version.number, body))  # type: ignore[misc]  # bound defaults
        found.append(asked.id)
    return found


def last_due(cron: str, before: Instant) -> Instant:
    """The last instant before `before` that a cron expression names, in UTC. Raises InvalidInput.

    >>> last_due("0 3 * * 0", instant(moment(Instant(1_767_225_600_000_000)))) == Instant(1_766_890_800_000_000)
    True
    """
    try:
        return instant(next(CronSim(cron, moment(before), reverse=True)))
    except (CronSimError, StopIteration) as error:
        raise InvalidInput(
            f"reproduction.audit={cron!r} names no time: {error}", hint='"0 3 * * 0" is every Sunday at three; "" audits nothing'
        ) from error


def _champions(snapshot: Snapshot) -> list[ModelVersion]:
    """The champions of all declared models; what was registered by hand has no records to be made again from."""
    names = [ModelName(one.declared.declaration.name) for one in list_declared(snapshot)]
    aliases = [(name, find_alias(snapshot, name, CHAMPION)) for name in names]
    return [get_version(snapshot, name, alias.version) for name, alias in aliases if alias is not None]


def _is_due(snapshot: Snapshot, version: ModelVersion, due_at: Instant) -> bool:
    if version.created_at > due_at:
        return False
    try:
        check_reproducible(version)
    except NotReproducible:
        return False
    asked = (one.asked_at for one in list_version_reproductions(snapshot, SYSTEM, version.model, version.number) if one.is_whole)
    return max(asked, default=Instant(0)) < due_at - AGAIN_AFTER_S * SECOND

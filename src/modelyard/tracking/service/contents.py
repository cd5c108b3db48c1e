"""What runs and logged models hold, told in full for whoever compares or takes it away; and the end of bringing them in."""

from collections.abc import Mapping, Sequence

import msgspec

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.core.errors import InvalidInput
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking.domain import ExperimentId, LoggedModel, LoggedModelId, ModelStatus, RunFacts, RunId, SeriesId
from modelyard.tracking.imports import (
    Finished,
    ImportEnd,
    ImportKind,
    Mark,
    ModelContent,
    PackedSeries,
    RunContent,
    SeriesContent,
    SourceName,
)
from modelyard.tracking.rules.series import by_step, content_digest, packed_points
from modelyard.tracking.service.content import SeriesDigest, model_digest, run_digest, series_digests
from modelyard.tracking.service.guard import get_facts, get_model, home_team, visible_ids
from modelyard.tracking.service.importing import checked_source
from modelyard.tracking.store import artifacts, imports, models, runs, series

MOST_AT_ONCE = 500
POINTS_A_PAGE = 500_000


def read_run_contents(snapshot: Snapshot, principal: Principal, run_ids: tuple[RunId, ...]) -> list[RunContent]:
    """All that those runs hold, whatever their lifecycle; runs that the caller does not see are left out."""
    _check_count(run_ids)
    known = runs.find_facts(snapshot, run_ids)
    seen = [known[one] for one in dict.fromkeys(run_ids) if one in known and principal.may(Role.VIEWER, known[one].team_id)]
    found = []
    for run in runs.load_runs(snapshot, seen):
        rows = series.list_series(snapshot, run.facts.id)
        points = series.load_points(snapshot, [row.id for row in rows]) if rows else {}
        held = {row.facts.key: by_step(points[row.id]) for row in rows}
        contents = {key: SeriesContent(points=len(one.step), digest=content_digest(one)) for key, one in held.items()}
        found.append(RunContent(run=run, series=contents, artifacts=tuple(artifacts.list_artifacts(snapshot, run.facts.id))))
    return found


def read_model_contents(snapshot: Snapshot, principal: Principal, model_ids: tuple[LoggedModelId, ...]) -> list[ModelContent]:
    """All that those logged models hold, whatever their lifecycle; models that the caller does not see are left out."""
    _check_count(model_ids)
    known = models.find_models(snapshot, model_ids)
    seen = [known[one] for one in dict.fromkeys(model_ids) if one in known and principal.may(Role.VIEWER, known[one].team_id)]
    return [ModelContent(model=one, artifacts=tuple(artifacts.list_artifacts(snapshot, one.id))) for one in seen]


def _check_count(ids: Sequence[str]) -> None:
    if len(ids) > MOST_AT_ONCE:
        raise InvalidInput(f"{len(ids)} at once", hint=f"ask for at most {MOST_AT_ONCE}")


def read_points(snapshot: Snapshot, principal: Principal, run_id: RunId, after: str = "") -> list[PackedSeries]:
    """The points of a run's metrics by step, repeated ones once; metrics by name behind `after`, about half a million points at a time.

    There is nothing more where the answer is empty. Raises NoSuchRun.
    """
    get_facts(snapshot, principal, run_id)
    rows = [row for row in series.list_series(snapshot, run_id) if row.facts.key > after]
    found: list[PackedSeries] = []
    count = 0
    for row in sorted(rows, key=lambda row: row.facts.key):
        count += row.facts.points
        if found and count > POINTS_A_PAGE:
            break
        points = by_step(series.load_points(snapshot, [row.id])[row.id])
        found.append(PackedSeries(key=row.facts.key, points=packed_points(points)))
    return found


def list_logged_models(
    snapshot: Snapshot, principal: Principal, experiment_id: ExperimentId, after: str = "", limit: int = 100
) -> list[ModelContent]:
    """The logged models of an experiment by id, those in the bin too, with their files; behind the id `after`."""
    if not 1 <= limit <= MOST_AT_ONCE:
        raise InvalidInput(f"{limit} logged models", hint=f"ask for 1 to {MOST_AT_ONCE}")
    ids = visible_ids(snapshot, principal, (experiment_id,))
    found = models.list_models(snapshot, ids[0], after, limit) if ids else []
    return read_model_contents(snapshot, principal, tuple(found))


def finish_imports(database: Database, principal: Principal, source: SourceName, kind: ImportKind, items: tuple[Finished, ...]) -> None:
    """Notes runs or logged models as brought: they get their lifecycle, and the digest of their content goes into the ledger.

    Raises InvalidInput for one that was not brought from there, or that is neither.
    """
    if kind not in ("run", "logged_model"):
        raise InvalidInput(f"{kind} is not finished apart", hint="runs and logged models are")
    checked_source(source)
    for item in items:
        if kind == "run":
            with database.read() as snapshot:
                known = series_digests(snapshot, RunId(item.id))
            database.write(lambda tx, item=item, known=known: _finish_run(tx, principal, source, item, known))  # type: ignore[misc] # bound now
        else:
            database.write(lambda tx, item=item: _finish_model(tx, principal, source, item))  # type: ignore[misc] # bound now


def _finish_run(tx: Transaction, principal: Principal, source: SourceName, item: Finished, known: Mapping[SeriesId, SeriesDigest]) -> None:
    facts = get_facts(tx, principal, RunId(item.id), Role.CONTRIBUTOR)
    _check_brought(tx, source, "run", item)
    done = msgspec.structs.replace(facts, lifecycle=item.lifecycle)
    if done.status.is_final:
        run = msgspec.structs.replace(runs.load_runs(tx, [facts])[0], facts=facts)
        done = msgspec.structs.replace(done, content_digest=run_digest(tx, run, artifacts.list_artifacts(tx, facts.id), known))
    runs.update_run(tx, facts.id, {"lifecycle": done.lifecycle, "content_digest": done.content_digest})
    if done != facts:
        _record(tx, principal, "tracking.run_imported", source, done)
    _put_mark(tx, principal, (source, "run"), item, done.team_id)


def _finish_model(tx: Transaction, principal: Principal, source: SourceName, item: Finished) -> None:
    found = get_model(tx, principal, LoggedModelId(item.id), Role.CONTRIBUTOR)
    _check_brought(tx, source, "logged_model", item)
    digest = model_digest(found, artifacts.list_artifacts(tx, found.id)) if found.status == ModelStatus.READY else found.content_digest
    done = msgspec.structs.replace(found, lifecycle=item.lifecycle, content_digest=digest)
    models.update_model(tx, found.id, {"lifecycle": done.lifecycle, "content_digest": digest})
    if done != found:
        _record(tx, principal, "tracking.model_imported", source, done)
    _put_mark(tx, principal, (source, "logged_model"), item, done.team_id)


def _check_brought(tx: Transaction, source: SourceName, kind: ImportKind, item: Finished) -> None:
    if not imports.find_marks(tx, source, kind, [item.id]):
        raise InvalidInput(f"{item.id[:60]!r} was not brought from {source[:60]}", hint="bring it first")


def _put_mark(tx: Transaction, principal: Principal, what: tuple[SourceName, ImportKind], item: Finished, team: TeamId) -> None:
    mark = Mark(their_id=item.id, our_id=item.id, fingerprint=item.fingerprint)
    imports.put_marks(tx, *what, [(mark, team)], principal.id)


def _record(tx: Transaction, principal: Principal, what: str, source: SourceName, done: RunFacts | LoggedModel) -> None:
    entry = NewEntry(
        type=what,
        subject=f"run:{done.id}" if isinstance(done, RunFacts) else f"logged_model:{done.id}",
        actor=principal.id,
        data={"from": source, "experiment": done.experiment_id, "lifecycle": done.lifecycle},
        digest=done.content_digest,
        team_id=done.team_id,
    )
    record(tx, entry)


def end_import(tx: Transaction, principal: Principal, body: ImportEnd) -> None:
    """Writes into the ledger what an import brought, and the digest of the report that its importer was given."""
    source = checked_source(body.source)
    entry = NewEntry(
        type="tracking.import_ended",
        subject=f"import:{source}",
        actor=principal.id,
        data={"brought": dict(body.brought), "mismatches": body.mismatches},
        digest=body.report,
        team_id=home_team(principal),
    )
    record(tx, entry)

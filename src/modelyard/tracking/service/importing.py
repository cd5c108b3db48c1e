"""Use cases of moving in: experiments, runs and logged models as another server has them, with its ids and times.

What is here and did not come from the same source is never touched. Called again with the same, nothing changes.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from modelyard.access.domain import Principal, Role, TeamId
from modelyard.access.service import require
from modelyard.core.errors import InvalidInput, ModelyardError
from modelyard.ledger.domain import NewEntry
from modelyard.ledger.service import record
from modelyard.storage.database import Database, Snapshot, Transaction
from modelyard.tracking.domain import Experiment, ExperimentId, Lifecycle, LoggedModel, ModelOutput, ParamIsSet, RunFacts, RunId
from modelyard.tracking.imports import (
    IMPORTED_FROM_TAG,
    ExperimentHere,
    ImportedExperiment,
    ImportedModel,
    ImportedRun,
    ImportKind,
    Mark,
    PackedSeries,
    Refusal,
    SourceName,
    TakenHere,
)
from modelyard.tracking.rules.names import check_dataset, checked_experiment_name, checked_key, checked_text
from modelyard.tracking.rules.paths import SCHEME
from modelyard.tracking.rules.series import (
    BYTES_A_POINT,
    LARGEST,
    Latest,
    Points,
    by_step,
    latest_of_points,
    missing_from,
    packed_points,
    part,
    unpacked,
)
from modelyard.tracking.service.batches import DIGEST_TAGS
from modelyard.tracking.service.guard import find_experiment, home_team
from modelyard.tracking.store import experiments, imports, models, runs, series
from modelyard.tracking.store.series import Chunk, Owner, SeriesRow
from modelyard.tracking.store.tables import LOGGED_MODEL_PARAMS, LOGGED_MODEL_TAGS, RUN_PARAMS, RUN_TAGS

LONGEST_SOURCE = 300
LONGEST_VALUE = 1_000_000
POINTS_A_WRITE = 250_000
ROWS_A_WRITE = 400
_RUN = re.compile(r"[0-9a-f]{32}")
_MODEL = re.compile(r"m-[0-9a-f]{32}")
_EXPERIMENT = re.compile(r"0|[1-9][0-9]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
Item = TypeVar("Item", ImportedRun, ImportedModel)


class _Fresh(NamedTuple):
    """What is new of a metric, packed, next to the `known` points that it had here; None where nothing is."""

    known: int
    chunk: Chunk | None


Ahead = Mapping[RunId, Mapping[str, _Fresh]]
"""What was compared before the transaction, by run and metric."""


def checked_source(source: SourceName) -> SourceName:
    """`source` where it may name one. Raises InvalidInput."""
    if not 1 <= len(source) <= LONGEST_SOURCE or not source.isprintable():
        raise InvalidInput(f"{source[:60]!r} names no source", hint=f"1 to {LONGEST_SOURCE} printable characters, such as its address")
    return source


def list_marks(snapshot: Snapshot, principal: Principal, source: SourceName, kind: ImportKind, ids: tuple[str, ...]) -> list[Mark]:
    """Those of the things that were brought from the source before, as far as the caller sees them."""
    found = imports.find_marks(snapshot, checked_source(source), kind, ids)
    return [mark for mark, team in found.values() if principal.may(Role.VIEWER, team)]


def marks_of(snapshot: Snapshot, source: SourceName, kind: ImportKind, ids: Sequence[str]) -> dict[str, Mark]:
    """The marks of those things by their id there, whoever asks: for components, which check their own callers."""
    return {their_id: mark for their_id, (mark, _) in imports.find_marks(snapshot, source, kind, ids).items()}


def mark_imported(tx: Transaction, principal: Principal, source: SourceName, kind: ImportKind, mark: tuple[Mark, TeamId]) -> None:
    """Notes a thing of another component as brought."""
    imports.put_marks(tx, source, kind, [mark], principal.id)


def forget_imported(tx: Transaction, kind: ImportKind, our_id: str) -> list[tuple[SourceName, str]]:
    """Notes that a thing of another component is no more: another that gets its id was not brought. Its sources, and its id there."""
    return imports.remove_marks(tx, kind, our_id)


def rename_imported(tx: Transaction, kind: ImportKind, our_id: str, new_id: str) -> None:
    """Notes that a thing of another component has another id here."""
    imports.rename_marks(tx, kind, our_id, new_id)


def mark_anew(tx: Transaction, source: SourceName, kind: ImportKind, fingerprints: Mapping[str, str]) -> None:
    """Changes what is noted of things of another component, by id there; what was not brought stays without a note."""
    imports.put_fingerprints(tx, source, kind, fingerprints)


def import_experiments(
    tx: Transaction, principal: Principal, source: SourceName, experiments: tuple[ImportedExperiment, ...], team: TeamId | None = None
) -> list[ExperimentHere]:
    """Where the runs of those experiments come to; experiments that are new here are made, those brought before brought up to date.

    One that is here under the same name from elsewhere is joined: runs come to it, its own facts stay. Raises TakenHere
    where the one of that name is a team's that the caller may not write to.
    """
    checked_source(source)
    home = team or home_team(principal)
    require(principal, Role.CONTRIBUTOR, home)
    known = imports.find_marks(tx, source, "experiment", [one.id for one in experiments])
    return [_import_experiment(tx, principal, (source, home), one, known.get(one.id)) for one in experiments]


def _import_experiment(
    tx: Transaction, principal: Principal, into: tuple[SourceName, TeamId], one: ImportedExperiment, known: tuple[Mark, TeamId] | None
) -> ExperimentHere:
    source, home = into
    name = checked_experiment_name(one.name)
    tags = _texts(one.tags) | {IMPORTED_FROM_TAG: source}
    if known is not None:
        if not principal.may(Role.VIEWER, known[1]):
            raise TakenHere(
                f"the experiment {name[:120]!r} was brought from there by another team and is theirs",
                hint="rename it there, and give the source another name: --as",
            )
        here = find_experiment(tx, principal, ExperimentId(known[0].our_id), Role.CONTRIBUTOR)
        is_joined = here.tags.get(IMPORTED_FROM_TAG) != source
        if not is_joined:
            experiments.put_tags(tx, here, tags)
            experiments.update_experiment(tx, here.id, {"lifecycle": one.lifecycle, "updated_at": one.updated_at})
        return ExperimentHere(their_id=one.id, our_id=here.id, is_joined=is_joined)
    named = experiments.find_by_name(tx, name)
    if named is not None:
        if not principal.may(Role.CONTRIBUTOR, named.team_id):
            raise TakenHere(f"an experiment {name[:120]!r} is here and is another team's", hint="rename one of the two")
        made = named
    else:
        made = _made(tx, one, home, tags)
        data: dict[str, object] = {"name": name, "from": source, "their_id": one.id}
        kind, subject = "tracking.experiment_imported", f"experiment:{made.id}"
        record(tx, NewEntry(type=kind, subject=subject, actor=principal.id, data=data, team_id=made.team_id))
    imports.put_marks(tx, source, "experiment", [(Mark(their_id=one.id, our_id=made.id), made.team_id)], principal.id)
    return ExperimentHere(their_id=one.id, our_id=made.id, is_joined=named is not None)


def _made(tx: Transaction, one: ImportedExperiment, team: TeamId, tags: dict[str, str]) -> Experiment:
    """The experiment under its id there, or under a new one where that is taken."""
    free = _EXPERIMENT.fullmatch(one.id) and not experiments.find_experiments(tx, [ExperimentId(one.id)])
    our_id = ExperimentId(one.id if free else experiments.free_id(tx))
    made = Experiment(
        id=our_id,
        name=one.name,
        team_id=team,
        artifact_location=f"{SCHEME}{our_id}",
        created_at=one.created_at,
        updated_at=one.updated_at,
        lifecycle=one.lifecycle,
        tags=tags,
    )
    experiments.insert_experiment(tx, made)
    return made


def _texts(texts: Mapping[str, str]) -> dict[str, str]:
    """Tags or params as they are, where a database can hold them. They are longer than ours may be, and never cut."""
    for key, value in texts.items():
        checked_text(checked_key(key, "key"), "key")
        if len(checked_text(value, key)) > LONGEST_VALUE:
            raise InvalidInput(f"{key[:60]!r} has {len(value)} characters", hint=f"at most {LONGEST_VALUE}")
    return dict(texts)


def import_runs(database: Database, principal: Principal, source: SourceName, runs: tuple[ImportedRun, ...]) -> list[Refusal]:
    """Takes runs in, each whole or not at all; those that were refused. A run counts as brought only once `finish_imports` says so.

    Runs that were brought before get what is new: points that are not here yet, params and tags. Until it is finished
    a run is active, so that its files can come.
    """
    checked_source(source)
    refused: list[Refusal] = []
    for some in _slices(runs):
        with database.read() as snapshot:
            ahead = _compared(snapshot, principal, source, some)
        refused += database.write(lambda tx, some=some, ahead=ahead: _import_runs(tx, principal, source, (some, ahead)))  # type: ignore[misc] # defaults bind them now
    return refused


def _slices(items: Sequence[ImportedRun]) -> list[list[ImportedRun]]:
    """The runs in parts that a short transaction takes."""
    parts: list[list[ImportedRun]] = [[]]
    rows = points = 0
    for run in items:
        rows += 4 + len(run.params) + len(run.tags) + len(run.series)
        points += sum(len(one.points) for one in run.series) // BYTES_A_POINT
        if parts[-1] and (rows > ROWS_A_WRITE or points > POINTS_A_WRITE):
            parts.append([])
            rows = points = 0
        parts[-1].append(run)
    return parts


def _compared(snapshot: Snapshot, principal: Principal, source: SourceName, items: Sequence[ImportedRun]) -> Ahead:
    """What is new of the metrics of runs that may be taken in: reading and comparing long series would hold the writer up."""
    marked = imports.find_marks(snapshot, source, "run", [one.id for one in items])
    here = [one.id for one in items if one.id in marked and one.series and principal.may(Role.CONTRIBUTOR, marked[one.id][1])]
    rows = {run_id: {row.facts.key: row for row in series.list_series(snapshot, run_id)} for run_id in here}
    found: dict[RunId, dict[str, _Fresh]] = {}
    for one in items:
        if one.id not in found:  # one that comes twice is refused the second time
            held = rows.get(one.id, {})
            found[one.id] = {packed.key: _fresh(snapshot, packed, held.get(packed.key)) for packed in one.series}
    return found


def _import_runs(tx: Transaction, principal: Principal, source: SourceName, asked: tuple[Sequence[ImportedRun], Ahead]) -> list[Refusal]:
    items, ahead = asked
    known = runs.find_facts(tx, [one.id for one in items])
    marked = imports.find_marks(tx, source, "run", [one.id for one in items])
    refused, kept = [], []
    seen: set[RunId] = set()
    for one in items:
        try:
            if one.id in seen:
                raise InvalidInput(f"the run {one.id[:60]!r} comes twice in one request", hint="send it once")
            seen.add(one.id)
            here = known.get(one.id)
            team, home = _allowed(tx, principal, one, None if here is None else (here.team_id, one.id in marked))
            kept.append((_checked_run(one), _facts(principal, one, here, (team, home))))
        except ModelyardError as error:
            refused.append(Refusal(id=one.id, code=error.code, message=error.message))
    _put_runs(tx, source, (kept, ahead), known)
    imports.put_marks(tx, source, "run", [(Mark(their_id=one.id, our_id=one.id), facts.team_id) for one, facts in kept], principal.id)
    return refused


def _allowed(tx: Snapshot, principal: Principal, one: Item, here: tuple[TeamId, bool] | None) -> tuple[TeamId, str]:
    """The team that the thing is or becomes, and where its artifacts lie. Raises TakenHere, NotAllowed and NoSuchExperiment."""
    experiment = find_experiment(tx, principal, one.experiment_id, Role.CONTRIBUTOR)
    if here is not None and (not here[1] or not principal.may(Role.VIEWER, here[0])):
        raise TakenHere(f"{one.id} is here already and did not come from there, or under another --as", hint="it stays as it is")
    if here is not None:
        require(principal, Role.CONTRIBUTOR, here[0])
    return here[0] if here else experiment.team_id, experiment.artifact_location.rstrip("/")


def _checked_run(one: ImportedRun) -> ImportedRun:
    if not _RUN.fullmatch(one.id):
        raise InvalidInput(f"{one.id[:60]!r} is no id of a run", hint="an id has 32 hexadecimal digits")
    _texts(one.params)
    _texts(one.tags)
    checked_text(one.name + one.user, "name")
    checked_text("".join((*one.model_inputs, *(output.model_id for output in one.model_outputs))), "model_id")
    for found in one.datasets:
        check_dataset(found.dataset)
    if len({packed.key for packed in one.series}) < len(one.series):
        raise InvalidInput(f"a metric of run {one.id} comes twice in one request", hint="send its points together")
    for packed in one.series:
        checked_key(packed.key, "key", "Metric name")
        if len(packed.points) % BYTES_A_POINT:
            raise InvalidInput(f"the points of {packed.key[:60]!r} are not whole", hint=f"{BYTES_A_POINT} bytes a point")
    return one


def _facts(principal: Principal, one: ImportedRun, here: RunFacts | None, place: tuple[TeamId, str]) -> RunFacts:
    team, home = place
    digests = {column: one.tags[tag] for tag, column in DIGEST_TAGS.items() if _DIGEST.fullmatch(one.tags.get(tag, ""))}
    changed = [column for column, digest in digests.items() if here is not None and getattr(here, column) not in (None, digest)]
    if changed:
        raise ParamIsSet(f"the {changed[0]} of run {one.id} is another here and stays", hint="what a run was made of does not change")
    values: dict[str, Any] = {
        "name": one.name,
        "user": one.user,
        "status": one.status,
        "started_at": one.started_at,
        "ended_at": one.ended_at,
        "lifecycle": Lifecycle.ACTIVE,
        **digests,
    }
    if here is not None:
        return msgspec.structs.replace(here, **values)
    uri = f"{home}/{one.id}/artifacts"
    return RunFacts(id=one.id, experiment_id=one.experiment_id, team_id=team, artifact_uri=uri, created_by=principal.id, **values)


Kept = Sequence[tuple[ImportedRun, RunFacts]]


def _put_runs(tx: Transaction, source: SourceName, found: tuple[Kept, Ahead], known: Mapping[RunId, RunFacts]) -> None:
    kept, ahead = found
    owners = {facts.id: Owner(facts.team_id, facts.experiment_id) for _, facts in kept}
    chunks: dict[series.SeriesKey, Chunk] = {}
    for one, facts in kept:
        if one.id in known:
            runs.overwrite_run(tx, facts)
        else:
            runs.insert_run(tx, facts, {})
        if one.datasets:
            runs.put_datasets(tx, one.id, owners[one.id], one.datasets)
        runs.put_models(tx, one.id, facts.team_id, "input", [ModelOutput(model_id=model) for model in one.model_inputs])
        runs.put_models(tx, one.id, facts.team_id, "output", one.model_outputs)
        chunks |= {(one.id, key): chunk for key, chunk in _chunks(tx, one, ahead[one.id], is_new=one.id not in known).items()}
    params = [(one.id, key, value) for one, _ in kept for key, value in one.params.items()]
    tags = [(one.id, key, value) for one, _ in kept for key, value in {**one.tags, IMPORTED_FROM_TAG: source}.items()]
    runs.put_texts(tx, RUN_PARAMS, params, owners, overwrites=False)
    runs.put_texts(tx, RUN_TAGS, tags, owners)
    series.append_chunks(tx, chunks, owners)


def _chunks(tx: Snapshot, one: ImportedRun, ahead: Mapping[str, _Fresh], *, is_new: bool) -> dict[str, Chunk]:
    """The points that are not here yet, ready to be appended. What was compared ahead holds for series that have not grown since."""
    here = {} if is_new or not one.series else {row.facts.key: row for row in series.list_series(tx, one.id)}
    found = {}
    for packed in one.series:
        row = here.get(packed.key)
        fresh = ahead[packed.key]
        if fresh.known != (row.facts.points if row else 0):
            fresh = _fresh(tx, packed, row)
        if fresh.chunk is not None:
            found[packed.key] = fresh.chunk
    return found


def _fresh(snapshot: Snapshot, packed: PackedSeries, row: SeriesRow | None) -> _Fresh:
    """The points that the series here has not. Those behind its latest point are new without a look at the others."""
    points = by_step(_bounded(unpacked([packed.points])))
    known = row.facts.points if row else 0
    if not len(points.step):
        return _Fresh(known, None)
    if row is not None and latest_of_points(part(points, 0, 1)) <= _latest(row):
        points = missing_from(series.load_between(snapshot, row.id, int(points.step[0]), int(points.step[-1])), points)
    return _Fresh(known, Chunk(latest_of_points(points), len(points.step), packed_points(points)) if len(points.step) else None)


def _latest(row: SeriesRow) -> Latest:
    facts = row.facts
    return Latest(facts.step, facts.at, 0.0 if facts.value is None else facts.value, facts.value is None)


def _bounded(points: Points) -> Points:
    """Points with infinities as MLflow keeps them."""
    return Points(points.at, points.step, np.nan_to_num(points.value, nan=np.nan, posinf=LARGEST, neginf=-LARGEST))


def import_logged_models(database: Database, principal: Principal, source: SourceName, models: tuple[ImportedModel, ...]) -> list[Refusal]:
    """Takes logged models in, each whole or not at all; those that were refused. They are finished as runs are."""
    checked_source(source)
    refused: list[Refusal] = []
    for one in models:
        refused += database.write(lambda tx, one=one: _import_model(tx, principal, source, one))  # type: ignore[misc] # a default binds it now
    return refused


def _import_model(tx: Transaction, principal: Principal, source: SourceName, one: ImportedModel) -> list[Refusal]:
    here = models.find_models(tx, [one.id]).get(one.id)
    marked = imports.find_marks(tx, source, "logged_model", [one.id])
    try:
        if not _MODEL.fullmatch(one.id):
            raise InvalidInput(f"{one.id[:60]!r} is no id of a logged model", hint="m- and 32 hexadecimal digits")
        team, home = _allowed(tx, principal, one, None if here is None else (here.team_id, bool(marked)))
        checked_text(one.name + one.model_type + one.source_run_id, "name")
        texts = _texts(one.params), _texts(one.tags) | {IMPORTED_FROM_TAG: source}
    except ModelyardError as error:
        return [Refusal(id=one.id, code=error.code, message=error.message)]
    uri = here.artifact_uri if here else f"{home}/models/{one.id}/artifacts"
    _put_model(tx, one, (team, uri), texts, is_new=here is None)
    imports.put_marks(tx, source, "logged_model", [(Mark(their_id=one.id, our_id=one.id), team)], principal.id)
    return []


def _put_model(
    tx: Transaction, one: ImportedModel, place: tuple[TeamId, str], texts: tuple[dict[str, str], dict[str, str]], *, is_new: bool
) -> None:
    values = {name: getattr(one, name) for name in ("name", "model_type", "source_run_id", "status", "created_at", "updated_at")}
    owner = Owner(place[0], one.experiment_id)
    if is_new:
        made = LoggedModel(id=one.id, experiment_id=one.experiment_id, team_id=place[0], artifact_uri=place[1], **values)
        models.insert_model(tx, made)
    else:
        models.update_model(tx, one.id, {**values, "lifecycle": Lifecycle.ACTIVE})
    for table, found, overwrites in ((LOGGED_MODEL_PARAMS, texts[0], False), (LOGGED_MODEL_TAGS, texts[1], True)):
        runs.put_texts(tx, table, [(one.id, key, value) for key, value in found.items()], {one.id: owner}, overwrites=overwrites)
    models.put_imported_metrics(tx, one.id, owner, one.metrics)

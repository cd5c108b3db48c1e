"""Makes a version or run again from its records alone, in a fresh environment, and holds it against what was recorded.

Owns the steps and their order. It changes nothing of the original; the rebuilt files are stored by digest beside it.
"""

import os
import shutil
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.enclosure import is_enclosing
from modelyard.core.processor import processor
from modelyard.delivery.children import ChildLimits
from modelyard.delivery.domain import NO_SWAPS, Comparison, Difference, Ingredient, Reproduction, Swaps, TrainingFailed, Verdict
from modelyard.delivery.environments import Environment, locked_requirements
from modelyard.delivery.rebuilding.comparison import MODEL, allowed, compared, compared_metrics, compared_predictions, verdict_of
from modelyard.delivery.rebuilding.differences import (
    OWN_PACKAGE,
    PROCESSOR,
    PYTHON,
    UNREPEATED,
    file_differences,
    library_differences,
    surrounding_differences,
    told,
)
from modelyard.delivery.rebuilding.environment import Fresh, Wanted, fresh_environment
from modelyard.delivery.rebuilding.records import Records, records_of
from modelyard.delivery.rebuilding.room import Room, check_left, opened_room, sound
from modelyard.delivery.rebuilding.rows import Rows, current_rows, snapshot_rows
from modelyard.delivery.rebuilding.steps import Steps
from modelyard.delivery.rebuilding.tracked import ReadOutcome, made_again
from modelyard.delivery.reproductions import failed
from modelyard.delivery.sources import unpack_source
from modelyard.delivery.stages.learning import metrics_of
from modelyard.delivery.stages.splitting import split
from modelyard.delivery.stages.yard import Yard
from modelyard.delivery.training import TRAIN_TIMEOUT_S, Learned, Lesson, lesson_of, trained
from modelyard.features.domain import Push, Sql
from modelyard.monitoring.rules.metrics import measured
from modelyard.registry.artifacts import fetch_folder, put_folder
from modelyard.registry.encoding import Vector, matrix
from modelyard.registry.formats import content_digest, load, read_header


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild was made of, and how the model that came out of it compares with the original."""

    records: Records
    fresh: Fresh
    rows: Rows
    comparisons: tuple[Comparison, ...] = ()
    differences: tuple[Difference, ...] = ()


def rebuilt(yard: Yard, held: Reproduction, hidden: tuple[Path, ...], read: ReadOutcome) -> Reproduction:
    """The reproduction with its verdict and every comparison, not ended yet. The training finds nothing of what is `hidden`.

    What came of a run that our client tracked, and no delivery made, is told by `read`.

    Raises FencedOff once the claim was lost, and whatever keeps the original from being made again.
    """
    with opened_room(held, hidden) as room:
        if held.model is None:
            return made_again(yard, Steps(yard, held), room, read)
        return _made_again(yard, Steps(yard, held), room)


def _made_again(yard: Yard, steps: Steps, room: Room) -> Reproduction:
    swaps = steps.held.swaps
    records = steps.taken("records", lambda: _records(yard, steps.held, room), _said_of_records)
    wanted = Wanted(
        folder=room.environment,
        python=records.training.python,
        modelyard=records.training.modelyard,
        source=room.source,
        packages=swaps.packages,
    )
    fresh = steps.taken("environment", lambda: fresh_environment(yard.blobs, wanted, yard.beat), lambda found: found.said)
    rows = steps.taken("data", lambda: (current_rows if swaps.data else snapshot_rows)(yard.blobs, records), lambda found: found.said)
    learned, _ = split(rows.frame, records.declaration)
    kept = records.training
    lesson = lesson_of(records.declaration, learned, records.parameters, seed=kept.seed, threads=kept.threads)
    limits = ChildLimits(timeout_s=TRAIN_TIMEOUT_S, beat=yard.beat, enclosure=room.enclosure(fresh.environment))
    made = Made(records=records, fresh=fresh, rows=rows)
    differences = [*_swapped(yard, swaps, room, made), *surrounding_differences({one.what: one for one in _surroundings(made)})]
    try:
        steps.taken(
            "train",
            lambda: _trained(fresh.environment, room, lesson, limits),
            lambda found: f"a {found.kind} on {learned.height:,} rows, seed {kept.seed}, {kept.threads} threads",
        )
    except TrainingFailed as error:
        found = failed(steps.held, error.message)
        return msgspec.structs.replace(found, differences=tuple(differences), is_enclosed=is_enclosing(), snapshot=rows.verdict)
    comparisons = steps.taken("compare", lambda: _models(yard, records, room, rows), _said_of_comparisons)
    return _judged(yard, steps.held, room, msgspec.structs.replace(made, comparisons=tuple(comparisons), differences=tuple(differences)))


def _records(yard: Yard, held: Reproduction, room: Room) -> Records:
    """What the records say, with the source unpacked and the recorded artifact checked: whatever was tampered with ends it here.

    The artifact does not stay: nothing of it is on the disk while the training runs.
    """
    with yard.database.read() as state:
        records = records_of(state, held)
    with sound("the source archive that it was trained with"):
        unpack_source(yard.blobs.get_bytes(records.training.source), room.recorded_source)
    with sound("the recorded artifact"):
        fetch_folder(yard.blobs, records.original.artifact, room.artifact)
    shutil.rmtree(room.artifact)
    unpack_source(yard.blobs.get_bytes(held.swaps.source or records.training.source), room.source)
    return records


def _trained(environment: Environment, room: Room, lesson: Lesson, limits: ChildLimits) -> Learned:
    found = trained(environment, room.source, lesson, room.model, limits)
    check_left(room.model)
    return found


def _models(yard: Yard, records: Records, room: Room, rows: Rows) -> list[Comparison]:
    """The recorded and the rebuilt model: what they compute, how they were measured, what they answer for rows that none has seen."""
    fetch_folder(yard.blobs, records.original.artifact, room.artifact)
    _, unseen = split(rows.recorded, records.declaration)
    before, again = _answers(room.artifact, unseen), _answers(room.model, unseen)
    labels = unseen[records.declaration.label].cast(pl.Float64).to_numpy()
    metrics: dict[str, float] = {name: measured(name, labels, again).value for name in metrics_of(records.declaration)}
    return [
        compared(MODEL, records.original.content, content_digest(room.model), decides=True, note="normalised: what the model computes"),
        *compared_metrics(records.original.metrics, metrics),
        compared_predictions(before, again),
    ]


def _answers(folder: Path, rows: pl.DataFrame) -> Vector:
    signature = read_header(folder).signature
    return load(folder).predict(matrix({name: rows[name] for name in signature.names}, signature))


def _judged(yard: Yard, held: Reproduction, room: Room, made: Made) -> Reproduction:
    kept = made.records.training
    within = allowed(kept.reproduce_within, is_same_family=kept.processor == processor())
    verdict, found = verdict_of(made.comparisons, within)
    differences = made.differences
    if verdict is Verdict.DIFFERENT:
        differences = differences or (Difference(ingredient=Ingredient.TRAINING, said=UNREPEATED),)
        found = f"{told(differences)}different: {found}"
    artifact, _ = put_folder(yard.blobs, room.model)
    return msgspec.structs.replace(
        held,
        verdict=verdict,
        reason=found[:2000],
        comparisons=(*made.comparisons, made.rows.comparison, *_surroundings(made)),
        differences=differences,
        snapshot=made.rows.verdict,
        tolerance=within or None,
        artifact=artifact,
        content=content_digest(room.model),
        processor=processor(),
        is_enclosed=is_enclosing(),
    )


def _swapped(yard: Yard, swaps: Swaps, room: Room, made: Made) -> list[Difference]:
    """What of data, code and libraries was taken otherwise than recorded, because that was asked for."""
    found = []
    if not made.rows.is_as_recorded:
        found.append(Difference(ingredient=Ingredient.DATA, said=made.rows.comparison.note))
    if swaps.source is not None:
        recorded, declared = yard.blobs.get_bytes(made.records.training.source), made.records.declaration
        # A file that rows are read from may lie in the project, and is no code.
        sources = (declared.observations.source, *(view.source for view in declared.views))
        data = {os.path.normpath(source.path) for source in sources if not isinstance(source, Sql | Push)}
        found += file_differences(recorded, yard.blobs.get_bytes(swaps.source), besides=data)
    if swaps != NO_SWAPS:
        found += library_differences(locked_requirements(room.recorded_source, yard.beat), made.fresh.requirements)
    return found


def _surroundings(made: Made) -> list[Comparison]:
    """What was built around the model. uv may write the same lock otherwise one day: the verdict rests on the model alone."""
    kept, built = made.records.training, made.fresh.environment
    own = "not recorded when this was made: today's package was used" if kept.modelyard is None else "from its recorded archive"
    return [
        compared("environment", kept.environment, built.digest, decides=False, note=made.fresh.said),
        compared("locked requirements", kept.requirements, built.requirements, decides=False),
        compared(OWN_PACKAGE, kept.modelyard or "", built.modelyard, decides=False, note=own),
        compared(PYTHON, kept.python, built.python, decides=False),
        compared(PROCESSOR, kept.processor, processor(), decides=False, note="" if kept.processor else "not recorded"),
    ]


def _said_of_records(records: Records) -> str:
    return f"source {records.training.source[7:19]} and the recorded artifact, digests checked; Python {records.training.python}"


def _said_of_comparisons(comparisons: list[Comparison]) -> str:
    equal = sum(one.is_equal for one in comparisons)
    return f"{equal} of {len(comparisons)} equal"

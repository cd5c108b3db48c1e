"""Makes a run again that our own client tracked: its command, in its environment and source, with the client logging to a folder.

Owns the record's reading and the comparison. How the client's folder is read is handed down, for the client lies above.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import polars as pl

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest, digest_file
from modelyard.core.enclosure import is_enclosing
from modelyard.core.processor import processor
from modelyard.delivery.children import ChildLimits, called
from modelyard.delivery.domain import Comparison, Difference, Ingredient, NotReproducible, Reproduction, TrainingFailed, Verdict
from modelyard.delivery.environments import own_words
from modelyard.delivery.rebuilding.comparison import FILE, allowed, compared, compared_metrics, verdict_of
from modelyard.delivery.rebuilding.differences import PROCESSOR, PYTHON, UNREPEATED, told
from modelyard.delivery.rebuilding.environment import Fresh, Wanted, fresh_environment
from modelyard.delivery.rebuilding.room import Room, check_left, sound
from modelyard.delivery.rebuilding.steps import Steps
from modelyard.delivery.reproductions import failed
from modelyard.delivery.sources import unpack_source
from modelyard.delivery.stages.yard import Yard
from modelyard.delivery.training import TRAIN_TIMEOUT_S
from modelyard.ledger.service import first_positions, list_events
from modelyard.storage.blobs import Blobs
from modelyard.storage.database import Snapshot
from modelyard.storage.rows import digest_frame
from modelyard.tracking.domain import Artifact, Run, RunId
from modelyard.tracking.service import current_digest, get_run, list_all_files

RECORDS = "modelyard/"
CONTENT = "content at its end"
CHANGED = "something of the run, if only a tag, was changed since it ended"
SYSTEM_METRICS = "system/"
DATA = "MODELYARD_DATA"
PINNED_LINE = re.compile(rb"(?!modelyard==)[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")


class RecordedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left: params, the latest value of each metric, and its files by their digests."""

    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    files: dict[str, Digest] = {}


ReadOutcome = Callable[[Path], RecordedOutcome]
"""Reads what the one run left that our client logged to a data folder of its own."""


class RecordedData(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that a run read. `path` counts from the source's root, or is absolute; None where it is not known."""

    name: str
    digest: str
    path: str | None = None
    rows: int | None = None


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What `modelyard/record.json` says that a run can be made again from. `root` is where its source lay, where that is known."""

    command: tuple[str, ...] | None
    folder: str
    # uv takes the path of a program, too, and runs it.
    python: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)*[A-Za-z0-9+]{0,20}$")]
    root: str = ""
    seeds: dict[str, int] = {}
    processor: str = ""
    tolerance: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    datasets: tuple[RecordedData, ...] = ()
    source_skipped: str = ""


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it is on record, and what it left; `content` is its digest as the ledger has it from its end, and as it is now."""

    record: RunRecord
    requirements: bytes
    outcome: RecordedOutcome
    content: tuple[str, str]


def made_again(yard: Yard, steps: Steps, room: Room, read: ReadOutcome) -> Reproduction:
    """The run, made again and held against what it left. Raises NotReproducible, and whatever keeps it from being made again."""
    tracked = steps.taken("records", lambda: _tracked(yard, steps.held.run or "", room), _said_of_records)
    record = tracked.record
    wanted = Wanted(folder=room.environment, python=record.python, requirements=tracked.requirements)
    fresh = steps.taken("environment", lambda: fresh_environment(yard.blobs, wanted, yard.beat), lambda found: found.said)
    changed = steps.taken("data", lambda: _changed_data(room, record), _said_of_data(record))
    if record.processor != processor():
        said = f"{processor()} instead of {record.processor or 'one that was not recorded'}"
        changed = [*changed, Difference(ingredient=Ingredient.PROCESSOR, said=said)]
    try:
        steps.taken("train", lambda: _trained(yard, record, room, fresh), lambda _: " ".join(record.command or ()))
    except TrainingFailed as error:
        found = failed(steps.held, f"{told(changed)}{error.message}")
        return msgspec.structs.replace(found, differences=tuple(changed), is_enclosed=is_enclosing())
    again = steps.taken("compare", lambda: read(room.logged), lambda found: f"{len(found.metrics)} metrics, {len(found.files)} files")
    return _judged(steps.held, tracked, again, changed)


def run_record(files: Mapping[str, Digest], blobs: Blobs) -> RunRecord:
    """The record of a run with these files. Raises NotReproducible where it is not enough to make the run again from."""
    if f"{RECORDS}record.json" not in files:
        raise NotReproducible("the run has no record that it could be made again from", hint="modelyard.start(record=True) keeps one")
    with sound("the record of the run"):
        content = blobs.get_bytes(files[f"{RECORDS}record.json"])
    try:
        record = msgspec.json.decode(content, type=RunRecord)
    except msgspec.MsgspecError as error:
        raise NotReproducible(f"the record of the run cannot be read: {error}", hint="was it written by modelyard.start?") from error
    if record.command is None or record.command[:1] != ("python",):
        raise NotReproducible("the run was made in a notebook or console: no command is on record", hint="train from a script")
    for name in ("source.tar", "environment.txt"):
        if f"{RECORDS}{name}" not in files:
            why = f": {record.source_skipped}" if record.source_skipped else ""
            raise NotReproducible(f"the run has no {RECORDS}{name}{why}", hint="keep data out of the project, or have git ignore it")
    return record


def _tracked(yard: Yard, run: str, room: Room) -> Tracked:
    with yard.database.read() as state:
        found = get_run(state, SYSTEM, RunId(run))
        there = list_all_files(state, SYSTEM, RunId(run))
        _check_ended(state, found, there)
        content = (found.facts.content_digest or "", current_digest(state, SYSTEM, RunId(run)))
    files = {one.path: one.digest for one in there}
    record = run_record(files, yard.blobs)
    facts = found.facts
    for name, tagged in (("source.tar", facts.source_digest), ("environment.txt", facts.environment_digest)):
        if tagged not in (None, files[f"{RECORDS}{name}"]):
            raise NotReproducible(
                f"{RECORDS}{name} of the run is not what its tag says: {tagged}", hint="it was written to after its start"
            )
    with sound("the source archive of the run"):
        unpack_source(yard.blobs.get_bytes(files[f"{RECORDS}source.tar"]), room.source)
    with sound("the list of the run's packages"):
        lines = yard.blobs.get_bytes(files[f"{RECORDS}environment.txt"]).splitlines()
    outcome = RecordedOutcome(
        params=found.params, metrics={one.key: one.value for one in found.metrics if one.value is not None}, files=_own(files)
    )
    requirements = b"".join(line + b"\n" for line in lines if PINNED_LINE.fullmatch(line))
    return Tracked(record=record, requirements=requirements, outcome=outcome, content=content)


def _check_ended(state: Snapshot, run: Run, files: Sequence[Artifact]) -> None:
    """Raises NotReproducible for a run that goes on, and for one whose record was written after its end: it names the tolerance."""
    if not run.facts.status.is_final:
        raise NotReproducible(f"the run {run.facts.id} has not ended", hint="make it again once it has")
    subject = f"run:{run.facts.id}"
    first = first_positions(state, "tracking.run_ended", [subject]).get(subject)
    ends = [] if first is None else list_events(state, first - 1, limit=1)
    late = [one.path for one in files if one.path.startswith(RECORDS) and any(one.put_at > end.occurred_at for end in ends)]
    if late:
        raise NotReproducible(f"{late[0]} of the run was written after the run had ended", hint="what it was to be held to is not known")


def _changed_data(room: Room, record: RunRecord) -> list[Difference]:
    """The datasets that are no longer what the run read. Raises NotReproducible for one that is gone, or the installation's own."""
    found = []
    for one in record.datasets:
        if one.path is None:
            continue
        path = _laid(one.path, record.root, room.source)
        if any(path.resolve().is_relative_to(hidden.resolve()) for hidden in room.hidden):
            raise NotReproducible(
                f"the data at {one.path[:200]} is the installation's own", hint="a run's data lies outside of the data folder"
            )
        digest, rows = _digest(path)
        if digest != one.digest:
            instead = f", {rows:,} rows instead of {one.rows:,}" if rows is not None and one.rows is not None and rows != one.rows else ""
            found.append(Difference(ingredient=Ingredient.DATA, said=f"{one.path} is no longer what {one.name} was read from{instead}"))
    return found


def _laid(name: str, root: str, source: Path) -> Path:
    """The file of a dataset: where it lies, or in the source, linked to where the project lies if the source left it out.

    Raises NotReproducible where it is gone.
    """
    path, kept = source / name, Path(root, name)
    if ".." in Path(name).parts:
        raise NotReproducible(f"the data at {name[:200]} leads out of the source", hint="was the record written by modelyard.start?")
    if not path.exists() and kept.is_absolute() and kept.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(kept)
    if not path.is_file():
        raise NotReproducible(f"the data at {name} is gone, and it is not in the recorded source", hint="put it back where the run read it")
    return path


def _digest(path: Path) -> tuple[Digest, int | None]:
    """The digest of a file's rows, and how many there are; of what is no table, of its bytes."""
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path) if path.suffix == ".csv" else None
    except pl.exceptions.PolarsError:
        frame = None
    return (digest_file(path), None) if frame is None else (digest_frame(frame), frame.height)


def _trained(yard: Yard, record: RunRecord, room: Room, fresh: Fresh) -> None:
    environment = fresh.environment
    enclosure = room.enclosure(environment)
    laid = [room.source / one.path for one in record.datasets if one.path is not None]
    data = [str(path.resolve()) for path in laid if not path.resolve().is_relative_to(room.work.resolve())]
    enclosure = msgspec.structs.replace(enclosure, shown=(*enclosure.shown, *dict.fromkeys(data)))
    room.logged.mkdir()
    words = {**own_words(environment), DATA: str(room.logged)}
    if "PYTHONHASHSEED" in record.seeds:
        words["PYTHONHASHSEED"] = str(record.seeds["PYTHONHASHSEED"])
    limits = ChildLimits(timeout_s=TRAIN_TIMEOUT_S, beat=yard.beat, enclosure=enclosure)
    called([environment.interpreter, *(record.command or ())[1:]], words, room.source / record.folder, limits)
    check_left(room.logged)


def _judged(held: Reproduction, tracked: Tracked, again: RecordedOutcome, changed: list[Difference]) -> Reproduction:
    record, before = tracked.record, tracked.outcome
    files = _own(again.files)
    comparisons = [
        *compared_metrics(_figures(before.metrics), _figures(again.metrics)),
        *(compared(f"{FILE}{path}", digest, files.get(path, ""), decides=True) for path, digest in sorted(before.files.items())),
        *(
            msgspec.structs.replace(compared(f"param {name}", value, again.params.get(name, ""), decides=False), difference=None)
            for name, value in sorted(before.params.items())
        ),
    ]
    if not any(one.decides for one in comparisons):
        raise NotReproducible("the run left neither metrics nor files to compare", hint="log what it was measured at")
    around: list[Comparison] = [
        compared(PYTHON, record.python, record.python, decides=False),
        compared(PROCESSOR, record.processor, processor(), decides=False),
        compared(CONTENT, *tracked.content, decides=False, note="" if len(set(tracked.content)) == 1 else CHANGED),
    ]
    within = allowed(record.tolerance, is_same_family=record.processor == processor())
    verdict, found = verdict_of(comparisons, within)
    if verdict is Verdict.IDENTICAL:
        found = "every figure and file is the same, bit for bit"
    if verdict is Verdict.DIFFERENT:
        changed = changed or [Difference(ingredient=Ingredient.TRAINING, said=UNREPEATED)]
        found = f"{told(changed)}different: {found}"
    return msgspec.structs.replace(
        held,
        verdict=verdict,
        reason=found[:2000],
        comparisons=(*comparisons, *around),
        differences=tuple(changed),
        tolerance=within or None,
        processor=processor(),
        is_enclosed=is_enclosing(),
    )


def _figures(metrics: Mapping[str, float]) -> dict[str, Any]:
    """What the training measured; what the machine did meanwhile is never the same."""
    return {name: value for name, value in metrics.items() if not name.startswith(SYSTEM_METRICS)}


def _own(files: Mapping[str, Digest]) -> dict[str, Digest]:
    """What the training left; the record is not of its making."""
    return {path: digest for path, digest in files.items() if not path.startswith(RECORDS)}


def _said_of_records(found: Tracked) -> str:
    return f"source and {len(found.requirements.splitlines())} packages, digests checked; Python {found.record.python}"


def _said_of_data(record: RunRecord) -> Callable[[list[Difference]], str]:
    return lambda changed: "; ".join(one.said for one in changed) or f"{len(record.datasets)} datasets, those with a path as they were"

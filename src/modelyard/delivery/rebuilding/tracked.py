"""Makes a run again that our own client tracked: its command, in its environment and source, with the client logging to a folder.

Owns the record's reading and the comparison. How the client's folder is read is handed down, for the client lies above.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from modelyard.access.domain import SYSTEM
from modelyard.core.digests import Digest, digest_bytes
from modelyard.core.enclosure import is_enclosing
from modelyard.core.processor import processor
from modelyard.delivery.children import ChildLimits, called
from modelyard.delivery.domain import Comparison, Difference, Ingredient, NotReproducible, Reproduction, TrainingFailed, Verdict
from modelyard.delivery.environments import EnvironmentFailed, own_words
from modelyard.delivery.rebuilding.comparison import FILE, allowed, compared, compared_metrics, verdict_of
from modelyard.delivery.rebuilding.datasets import Laid, Places, RecordedData, laid
from modelyard.delivery.rebuilding.differences import PROCESSOR, PYTHON, UNREPEATED, file_differences, library_differences, told
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
from modelyard.tracking.domain import Artifact, Run, RunId
from modelyard.tracking.service import current_digest, get_run, list_all_files

RECORDS = "modelyard/"
CONTENT = "content at its end"
CHANGED = "something of the run, if only a tag, was changed since it ended"
SYSTEM_METRICS = "system/"
DATA = "MODELYARD_DATA"
PACKAGES = "packages"
PINNED_LINE = re.compile(rb"(?!modelyard==)[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")


class RecordedOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left: params, the latest value of each metric, and its files by their digests."""

    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    files: dict[str, Digest] = {}


ReadOutcome = Callable[[Path], RecordedOutcome]
"""Reads what the one run left that our client logged to a data folder of its own."""


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
    source: bytes
    requirements: bytes
    outcome: RecordedOutcome
    content: tuple[str, str]


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What the run was made again of, and what of it was not as recorded."""

    tracked: Tracked
    fresh: Fresh
    data: Laid
    differences: tuple[Difference, ...]


def made_again(yard: Yard, steps: Steps, room: Room, read: ReadOutcome) -> Reproduction:
    """The run, made again and held against what it left. Raises NotReproducible, and whatever keeps it from being made again."""
    swaps = steps.held.swaps
    tracked = steps.taken("records", lambda: _tracked(yard, steps.held, room), _said_of_records)
    record = tracked.record
    requirements = repinned(tracked.requirements, swaps.packages)
    wanted = Wanted(folder=room.environment, python=record.python, requirements=requirements)
    fresh = steps.taken("environment", lambda: fresh_environment(yard.blobs, wanted, yard.beat), lambda found: found.said)
    places = Places(root=record.root, room=room)
    data = steps.taken("data", lambda: laid(record.datasets, places, swaps), lambda found: found.said)
    differences = (*data.differences, *_other_code(yard, steps.held, tracked), *library_differences(tracked.requirements, requirements))
    made = Made(tracked=tracked, fresh=fresh, data=data, differences=(*differences, *_other_processor(record)))
    try:
        steps.taken("train", lambda: _trained(yard, record, room, fresh), lambda _: " ".join(record.command or ()))
    except TrainingFailed as error:
        found = failed(steps.held, error.message)
        return msgspec.structs.replace(found, differences=made.differences, is_enclosed=is_enclosing(), snapshot=data.verdict)
    again = steps.taken("compare", lambda: read(room.logged), _said_of_outcome)
    return _judged(steps.held, made, again)


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


def _tracked(yard: Yard, held: Reproduction, room: Room) -> Tracked:
    run = held.run or ""
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
        source = yard.blobs.get_bytes(files[f"{RECORDS}source.tar"])
        unpack_source(source, room.recorded_source)
    with sound("the list of the run's packages"):
        lines = yard.blobs.get_bytes(files[f"{RECORDS}environment.txt"]).splitlines()
    unpack_source(source if held.swaps.source is None else yard.blobs.get_bytes(held.swaps.source), room.source)
    _check_callable(record, room)
    outcome = RecordedOutcome(
        params=found.params, metrics={one.key: one.value for one in found.metrics if one.value is not None}, files=files
    )
    requirements = b"".join(line + b"\n" for line in lines if PINNED_LINE.fullmatch(line))
    return Tracked(record=record, source=source, requirements=requirements, outcome=outcome, content=content)


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


def _check_callable(record: RunRecord, room: Room) -> None:
    """Raises NotReproducible where another source was given that does not hold what the command names in the recorded one."""
    for word in (".", *(record.command or ())[1:]):
        recorded, taken = (folder / record.folder / word for folder in (room.recorded_source, room.source))
        if recorded.exists() and not taken.exists():
            name = record.folder if word == "." else word
            raise NotReproducible(
                f"the source of today has no {name[:200]}, which the run's command names", hint=f"give the folder that lay at {record.root}"
            )


def repinned(requirements: bytes, packages: Sequence[str]) -> bytes:
    """The packages of a run, one `name==version` a line, with some in other versions. Raises EnvironmentFailed for one that it had not.

    >>> repinned(b"numpy==2.4.0\\npolars==2.1.0\\n", ("NumPy==2.3.5",))
    b'numpy==2.3.5\\npolars==2.1.0\\n'
    """
    lines = dict(line.split("==", 1) for line in requirements.decode().splitlines())
    for package in packages:
        name, _, version = package.partition("==")
        known = re.sub(r"[-_.]+", "-", name).lower()
        if known not in lines:
            raise EnvironmentFailed(f"{name} is not among the packages of the run", hint="modelyard/environment.txt of the run lists them")
        lines[known] = version
    return "".join(f"{name}=={version}\n" for name, version in lines.items()).encode()


def _other_code(yard: Yard, held: Reproduction, tracked: Tracked) -> list[Difference]:
    """The files by which another source differs that was asked for; data is no code, whichever of it was taken."""
    if held.swaps.source is None:
        return []
    data = {one.path for one in tracked.record.datasets if one.path is not None}
    return file_differences(tracked.source, yard.blobs.get_bytes(held.swaps.source), besides=data)


def _other_processor(record: RunRecord) -> list[Difference]:
    if record.processor == processor():
        return []
    said = f"{processor()} instead of {record.processor or 'one that was not recorded'}"
    return [Difference(ingredient=Ingredient.PROCESSOR, said=said)]


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


def _judged(held: Reproduction, made: Made, again: RecordedOutcome) -> Reproduction:
    tracked, differences = made.tracked, made.differences
    record, before = tracked.record, tracked.outcome
    files = _own(again.files)
    comparisons = [
        *compared_metrics(_figures(before.metrics), _figures(again.metrics)),
        *(compared(f"{FILE}{path}", digest, files.get(path, ""), decides=True) for path, digest in sorted(_own(before.files).items())),
        *(
            msgspec.structs.replace(compared(f"param {name}", value, again.params.get(name, ""), decides=False), difference=None)
            for name, value in sorted(before.params.items())
        ),
    ]
    if not any(one.decides for one in comparisons):
        raise NotReproducible("the run left neither metrics nor files to compare", hint="log what it was measured at")
    packages = [digest_bytes(one) for one in (tracked.requirements, made.fresh.requirements)]
    around: list[Comparison] = [
        *made.data.comparisons,
        compared(PACKAGES, packages[0], packages[1], decides=False, note=made.fresh.said),
        compared(PYTHON, record.python, record.python, decides=False),
        compared(PROCESSOR, record.processor, processor(), decides=False),
        compared(CONTENT, *tracked.content, decides=False, note="" if len(set(tracked.content)) == 1 else CHANGED),
    ]
    within = allowed(record.tolerance, is_same_family=record.processor == processor())
    verdict, found = verdict_of(comparisons, within)
    if verdict is Verdict.IDENTICAL:
        found = "every figure and file is the same, bit for bit"
    if verdict is Verdict.DIFFERENT:
        differences = differences or (Difference(ingredient=Ingredient.TRAINING, said=UNREPEATED),)
        found = f"{told(differences)}different: {found}"
    return msgspec.structs.replace(
        held,
        verdict=verdict,
        reason=found[:2000],
        comparisons=(*comparisons, *around),
        differences=differences,
        snapshot=made.data.verdict,
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


def _said_of_outcome(found: RecordedOutcome) -> str:
    return f"{len(_figures(found.metrics))} metrics, {len(_own(found.files))} files"

"""One trial from its parameters to its value: trained by the very code of a delivery's train stage, in a child, watched while it runs.

Owns the order of what is done and the reading of reports, not where the child runs. No code of the project's runs in this process.
"""

import math
import tempfile
import time
from pathlib import Path

import msgspec
import polars as pl

from modelyard.core.digests import Digest
from modelyard.delivery.declaration import ModelDeclaration
from modelyard.delivery.search_space import Reports
from modelyard.delivery.sources import own_package, unpack_source
from modelyard.delivery.stages.learning import SEED, THREADS, metrics_of
from modelyard.delivery.stages.yard import Yard
from modelyard.delivery.training import lesson_of
from modelyard.monitoring.rules.metrics import measured
from modelyard.registry.encoding import matrix
from modelyard.registry.formats import load, read_header
from modelyard.tuning.domain import HeldTrial, TrialState
from modelyard.tuning.places import Place, Work
from modelyard.tuning.rows import declared_as, parts_of
from modelyard.tuning.sampling.proposals import Proposal
from modelyard.tuning.sampling.storage import DatabaseStorage
from modelyard.tuning.service import Outcome, began_trial, reported

READ_S = 0.1
MOST_REPORTS = 100_000
MOST_AT_ONCE = 500
MOST_READ = 1 << 20


class Hopeless(Exception):
    """No error: the trial does worse than the others did, and its child is ended."""


def tried(yard: Yard, storage: DatabaseStorage, held: HeldTrial, place: Place) -> Outcome:
    """What came of the trial, trained at that place.

    Raises FencedOff once the claim was lost, and whatever the place and `yard.beat` raise.
    """
    study = held.study
    assert study.rows is not None  # it gives out trials
    with yard.database.read() as snapshot:
        declared = declared_as(snapshot, study)
    declaration = declared.declaration
    proposal = Proposal(storage, held)
    parts = parts_of(yard, study.rows, declaration)
    lesson = lesson_of(declaration, parts.learned, proposal.parameters, seed=SEED, threads=THREADS)
    archive = yard.blobs.get_bytes(declared.source)
    with tempfile.TemporaryDirectory(prefix="modelyard-trial-") as scratch:
        source, model, reports = Path(scratch, "source"), Path(scratch, "model"), Path(scratch, "reports")
        unpack_source(archive, source)
        lesson = msgspec.structs.replace(lesson, reports=Reports(path=str(reports), higher_is_better=study.higher_is_better))
        watch = _Watch(reports, yard, held, proposal)
        try:
            place.train(Work(source=archive, folder=source, own=own_package(), lesson=lesson), model, watch)
        except Hopeless:
            return Outcome(state=TrialState.PRUNED, reason=f"worse at step {watch.last_step} than half of the others were")
        finally:
            watch.read()
        metrics = _measured(declaration, model, parts.validated)
    if not math.isfinite(metrics[study.metric]):
        return Outcome(state=TrialState.FAIL, reason=f"its {study.metric} is {metrics[study.metric]}, which is no value to go by")
    return Outcome(state=TrialState.COMPLETE, metrics=metrics)


class _Watch:
    """Reads what the child reports while it runs, keeps it, and asks after each reading whether that is worth going on with."""

    def __init__(self, path: Path, yard: Yard, held: HeldTrial, proposal: Proposal) -> None:
        self._path, self._yard, self._held, self._proposal = path, yard, held, proposal
        self._position = self._count = 0
        self._next = 0.0
        self.last_step = 0

    def began(self, environment: Digest) -> None:
        """Notes what the trial is given, and in which environment. Raises FencedOff."""
        self._yard.database.write(lambda tx: began_trial(tx, self._held, self._proposal.parameters, environment))

    def beat(self) -> None:
        """Raises whatever says that the work is to end."""
        self._yard.beat()

    def look(self) -> None:
        """Raises Hopeless, and whatever says that the work is to end."""
        self._yard.beat()
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + READ_S
        if self.read() and self._proposal.is_hopeless():
            raise Hopeless

    def read(self) -> bool:
        """Keeps what was reported since the last reading; whether there was anything. What is beyond 100,000 reports is left."""
        told = self._told()
        if not told:
            return False
        held, items = self._held, list(told.items())
        for start in range(0, len(items), MOST_AT_ONCE):
            some = dict(items[start : start + MOST_AT_ONCE])
            self._yard.database.write(lambda tx, some=some: reported(tx, held, some))  # type: ignore[misc]  # bound now
        self.last_step = items[-1][0]
        return True

    def _told(self) -> dict[int, float]:
        if not self._path.exists() or self._count >= MOST_REPORTS:
            return {}
        with self._path.open("rb") as stream:
            stream.seek(self._position)
            content = stream.read(MOST_READ)
        # A line that is longer than all that is read at once is none of ours.
        whole = content if len(content) == MOST_READ and b"\n" not in content else content[: content.rfind(b"\n") + 1]
        self._position += len(whole)
        told: dict[int, float] = {}
        for line in whole.decode("ascii", "replace").splitlines()[: MOST_REPORTS - self._count]:
            step, _, value = line.partition(" ")
            if step.isdecimal() and len(step) < 17:
                told[int(step)] = _number(value)
        self._count += len(told)
        return told


def _number(text: str) -> float:
    """A number that the child wrote; the file lies open to the project's code, so anything may stand in it."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _measured(declaration: ModelDeclaration, folder: Path, rows: pl.DataFrame) -> dict[str, float]:
    """What the model in `folder` is worth on `rows`, asked as the gateway would ask it."""
    signature = read_header(folder).signature
    scores = load(folder).predict(matrix({name: rows[name] for name in signature.names}, signature))
    labels = rows[declaration.label].cast(pl.Float64).to_numpy()
    return {name: measured(name, labels, scores).value for name in metrics_of(declaration)}

"""The worker's end of a cluster: hands trainings to the carrier, waits for what comes of them, and ends those that nobody wants."""

import contextlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import msgspec

from modelyard.core.clusters import is_installed
from modelyard.core.digests import digest_bytes
from modelyard.core.errors import ErrorBody
from modelyard.core.processes import end_child, words_for_child
from modelyard.delivery.domain import TrainingFailed
from modelyard.delivery.environments import OUTSIDE_WORDS, PYTHON, EnvironmentFailed, environment_digest, locked_requirements
from modelyard.delivery.training import TRAIN_TIMEOUT_S, job_of
from modelyard.tuning.cluster.messages import (
    ANSWER,
    AWAY,
    DIFFERS,
    LOG,
    LOST,
    MODEL,
    ORDER,
    OWN,
    RESULT,
    ROWS,
    SOURCE,
    STOPPED,
    Errand,
    Order,
    Result,
)
from modelyard.tuning.domain import ClusterAway, ClusterDiffers, RayMissing, TrialLost
from modelyard.tuning.places import Watch, Work

PATIENCE_S = 60.0
POLL_S = 0.05
ENDING_S = 10.0
MOST_BYTES = 4_000_000_000
MOST_FILES = 1_000
SAME = "install the same Modelyard, with the extras server and ray, and the same Python on every node"


class Carrier:
    """A carrier's process. Several threads give it errands; it may end at any moment, as its cluster may."""

    def __init__(self, address: str, patience_s: float) -> None:
        self._address, self._lock = address, threading.Lock()
        self._folder = Path(tempfile.mkdtemp(prefix="modelyard-ray-"))
        words = {name: value for name, value in os.environ.items() if name in OUTSIDE_WORDS or name.startswith("RAY_")}
        # Nodes on this machine import what this process does.
        words = words_for_child(words | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)})
        with (self._folder / LOG).open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words
                [sys.executable, "-P", "-m", "modelyard.tuning.cluster.carrier", address, str(patience_s)],
                cwd=self._folder,
                env=words,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def tell(self, errand: Errand) -> None:
        """Gives it an errand. Raises ClusterAway where it has ended."""
        assert self._process.stdin is not None  # a pipe was asked for
        try:
            with self._lock:
                self._process.stdin.write(msgspec.json.encode(errand) + b"\n")
                self._process.stdin.flush()
        except OSError as error:
            raise self.away() from error

    def away(self) -> ClusterAway:
        """Why it has ended."""
        told, log = self._folder / AWAY, self._folder / LOG
        said = told.read_text("utf-8", "replace") if told.exists() else log.read_text("utf-8", "replace").strip()[-500:]
        return ClusterAway(
            f"the Ray cluster at {self._address} cannot be reached: {said or 'the connection ended'}",
            hint="ray status says whether it runs; worker.ray names its address, and empty means this machine: see docs/tuning.md",
        )

    def close(self) -> None:
        """Has it end all that it does, and waits for that."""
        assert self._process.stdin is not None  # a pipe was asked for
        self._process.stdin.close()
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            end_child(self._process)
        shutil.rmtree(self._folder, ignore_errors=True)


class Cluster:
    """The nodes of a Ray cluster. The carrier to it is started for the first training, and anew for the next one after it ended."""

    def __init__(self, address: str, patience_s: float = PATIENCE_S) -> None:
        self._address, self._patience_s = address, patience_s
        self._lock = threading.Lock()
        self._carrier: Carrier | None = None

    def train(self, work: Work, model: Path, watch: Watch) -> None:
        """As `Place` has it."""
        if not is_installed():
            raise RayMissing(f"worker.ray is {self._address}, and Ray is not installed", hint='pip install "modelyard[server,ray]"')
        requirements = locked_requirements(work.folder, watch.beat)
        own = digest_bytes(work.own)
        environment = environment_digest(digest_bytes(requirements), own, PYTHON)
        watch.began(environment)
        with tempfile.TemporaryDirectory(prefix="modelyard-errand-") as made:
            folder = Path(made)
            _put(folder, work, requirements)
            result = unpacked(self._answer(folder, watch), folder / "answer")
            if result.error is not None:
                raise _raised(result.error)
            if result.environment != environment:
                raise ClusterDiffers("a node trained in another environment than it was asked to", hint=SAME)
            shutil.move(folder / "answer" / MODEL, model)

    def close(self) -> None:
        """Ends the carrier."""
        with self._lock:
            if self._carrier is not None:
                self._carrier.close()
                self._carrier = None

    def _answer(self, folder: Path, watch: Watch) -> Path:
        """The archive that the carrier brought. Raises ClusterAway, TrialLost, and what `watch` raises, once the training has ended."""
        carrier = self._running()
        carrier.tell(Errand(folder=str(folder), is_wanted=True))
        try:
            while not (folder / ANSWER).exists():
                watch.look()
                _check(folder, carrier)
                time.sleep(POLL_S)
        finally:
            _end(folder, carrier)
        return folder / ANSWER

    def _running(self) -> Carrier:
        with self._lock:
            if self._carrier is not None and not self._carrier.is_alive:
                self._carrier.close()
                self._carrier = None
            if self._carrier is None:
                self._carrier = Carrier(self._address, self._patience_s)
            return self._carrier


def _put(folder: Path, work: Work, requirements: bytes) -> None:
    """Lays out what a node is asked to train."""
    lesson = work.lesson
    assert lesson.reports is not None  # a trial's has them
    lesson.rows.write_parquet(folder / ROWS)
    (folder / SOURCE).write_bytes(work.source)
    (folder / OWN).write_bytes(work.own)
    order = Order(
        requirements=requirements.decode(),
        python=PYTHON,
        modelyard=digest_bytes(work.own),
        job=job_of(lesson),
        threads=lesson.threads,
        timeout_s=TRAIN_TIMEOUT_S,
        reports=lesson.reports.path,
        higher_is_better=lesson.reports.higher_is_better,
    )
    (folder / ORDER).write_bytes(msgspec.json.encode(order))


def _check(folder: Path, carrier: Carrier) -> None:
    """Raises TrialLost and ClusterAway."""
    if (folder / LOST).exists():
        said = (folder / LOST).read_text("utf-8", "replace").strip()[-1500:]
        raise TrialLost(
            f"its process on the Ray cluster ended before it did: {said}", hint=SAME if "No module" in said else "it is tried again"
        )
    if not carrier.is_alive and not (folder / ANSWER).exists():
        raise carrier.away()


def _end(folder: Path, carrier: Carrier) -> None:
    """Has the carrier leave off, and waits until it has."""
    with contextlib.suppress(ClusterAway):
        carrier.tell(Errand(folder=str(folder), is_wanted=False))
    until = time.monotonic() + ENDING_S
    while carrier.is_alive and time.monotonic() < until and not any((folder / one).exists() for one in (ANSWER, LOST, STOPPED)):
        time.sleep(POLL_S)


def unpacked(archive: Path, into: Path) -> Result:
    """What a node answered, its model unpacked: plain files alone, and no more than a model may be. Raises ClusterDiffers."""
    try:
        with tarfile.open(archive, mode="r:") as opened:
            members = opened.getmembers()
            if (
                len(members) > MOST_FILES
                or sum(one.size for one in members) > MOST_BYTES
                or not all(one.isreg() or one.isdir() for one in members)
            ):
                raise ClusterDiffers(f"a node answered with no plain files, or over {MOST_FILES}, or over {MOST_BYTES} bytes", hint=SAME)
            opened.extractall(into, filter="data")
        return msgspec.json.decode((into / RESULT).read_bytes(), type=Result)
    except (tarfile.TarError, OSError, msgspec.MsgspecError) as error:
        raise ClusterDiffers(f"what a node answered cannot be read: {error}", hint=SAME) from error


def _raised(error: ErrorBody) -> Exception:
    """The error that a node told of, as it would be raised here."""
    if error.code == DIFFERS:
        return ClusterDiffers(error.message, hint=SAME)
    kind = EnvironmentFailed if error.code == "environment_failed" else TrainingFailed
    return kind(error.message, hint=error.hint)

"""A run as the training code holds it: what is logged, how it ends. Owns the interface; disk and server are `outbox`'s."""

import atexit
import contextlib
import os
import sys
import weakref
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from time import time_ns
from types import MappingProxyType, TracebackType
from typing import Any, Self

import msgspec

from modelyard.core.clock import Instant
from modelyard.core.errors import Conflict, InvalidInput, NotFound
from modelyard.sdk.tracking.outbox import MOST_WAITING, Outbox
from modelyard.sdk.tracking.packing import MOST, Noted, number, whole
from modelyard.sdk.tracking.record import UsedDataset, is_notebook, path_in
from modelyard.sdk.tracking.recording import Recording
from modelyard.sdk.tracking.sending import LOG
from modelyard.sdk.tracking.spool import Head, SpoolUnavailable
from modelyard.sdk.tracking.system import SystemMetrics
from modelyard.sdk.tracking.targets import Target
from modelyard.tracking.domain import RunId, RunStatus
from modelyard.tracking.rules.names import MOST_PARAMS_OR_TAGS, checked_key, checked_param, checked_tag
from modelyard.tracking.rules.paths import checked_path
from modelyard.tracking.spooled import Ended, File, Input, Record, Resumed, Started, Texts

WAIT_S = 10.0
"""How long the end of a run waits for the server to take what is left."""

RECORD_S = 60.0
"""How long the end of a run waits for its record: source, environment, git."""


class RunIsOver(Conflict):
    """The run was finished: nothing more is logged to it."""


class Birth(msgspec.Struct, frozen=True, kw_only=True):
    """What a run starts with, in this process. Without an interval in seconds the machine is not measured."""

    begun: Started | Resumed
    params: dict[str, str]
    tags: dict[str, str]
    recording: Recording | None
    interval_s: float
    is_quiet: bool


class Run:
    """A run under way: `modelyard.start` makes it. Use it as a context, or call `finish`; else it ends with the process.

    Nothing that is logged waits for a disk or a server. What was logged is durable at the latest some 0.2 s later, on a disk that keeps
    up, or when `flush` returns; from then on neither a kill nor a power cut nor a server that is away loses or doubles it.
    """

    def __init__(self, head: Head, target: Target, birth: "Birth") -> None:
        self.id: RunId = head.run_id
        self.name: str = head.name
        self._target, self._tells = target, not birth.is_quiet
        self._outbox = Outbox(target, head)
        self._put = self._outbox.put
        self._waiting: Any = self._outbox.waiting
        self._keys: set[str] = set()
        self._latest: dict[str, float] = {}
        self._step = -1
        self._is_over = False
        _LIVE.add(self)
        atexit.register(self._end_with_process)
        self._note(birth.begun)
        self.log_params(birth.params)
        self.tag(**birth.tags)
        self._recording = birth.recording
        if self._recording is not None:
            self._recording.begin(self._put_file, lambda tags: self.tag(**tags))
        self._system = SystemMetrics(self._put_system, target.data.parent, birth.interval_s) if birth.interval_s else None
        if self._system is not None:
            self._system.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.finish(_status_of(error))

    @property
    def url(self) -> str:
        """The page of the run, where a server shows it; empty where none runs yet."""
        return self._target.page_of(self.id)

    @property
    def summary(self) -> Mapping[str, float]:
        """The latest value of each metric that this process logged."""
        return MappingProxyType(self._latest)

    def log(self, metrics: Mapping[str, float], *, step: int | None = None) -> None:
        """Logs values of metrics. It never waits.

        Without a step, each call is one step further than the one before. Raises InvalidInput for what is no number or no name, and
        RunIsOver.
        """
        for key, value in metrics.items():
            if key not in self._keys or type(value) is not float:
                metrics = self._checked(metrics)
                break
        if step is None:
            step = min(self._step + 1, MOST)
        elif type(step) is not int or not -MOST <= step <= MOST:
            step = whole(step)
        self._step = step
        self._latest.update(metrics)
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((time_ns() // 1000, step, tuple(metrics.items())))
        else:
            self._outbox.dropped += 1

    def log_param(self, key: str, value: object) -> None:
        """Logs a param, which keeps its value."""
        self.log_params({key: value})

    def log_params(self, params: Mapping[str, object]) -> None:
        """Logs params, which keep their values. Raises InvalidInput for a name or text that no server takes."""
        self._put_texts("params", [checked_param(key, str(value), "params.") for key, value in params.items()])

    def tag(self, **tags: object) -> None:
        """Sets tags, over those that stand. Names with other characters: `run.tag(**{"ops/team": "a"})`."""
        self._put_texts("tags", [checked_tag(key, str(value), "tags.") for key, value in tags.items()])

    def log_artifact(self, path: str | os.PathLike[str], *, folder: str = "") -> None:
        """Logs a file, or all files of a folder, below `folder` of the run's artifacts, as they are now: they are copied at once.

        Where the disk takes no copy, a warning says so and the run goes on. Raises NotFound and PathRefused.
        """
        source = Path(path)
        if source.is_dir():
            files = {one: f"{source.name}/{one.relative_to(source).as_posix()}" for one in sorted(source.rglob("*")) if one.is_file()}
        elif source.is_file():
            files = {source: source.name}
        else:
            raise NotFound(f"there is no file {source}", hint="log the artifact after it was written")
        for file, name in files.items():
            self._put_file(checked_path(f"{folder.strip('/')}/{name}" if folder.strip("/") else name), file)

    def log_estimator(self, estimator: Any) -> None:
        """Notes in tags how an estimator of scikit-learn or LightGBM was made, so that `yard adopt` can write it down again."""
        self.tag(**import_module("modelyard.sdk.tracking.estimators").told(estimator))

    def log_dataset(
        self,
        data: Any,
        *,
        name: str = "",
        context: str = "training",
        path: str | os.PathLike[str] | None = None,
        target: str = "",
    ) -> str:
        """Notes a dataset that the run reads, with columns and profile; its digest, by the rows in it.

        `data` is a frame of Polars or pandas, an array of NumPy, or a path; `path` says where a frame was read from, `target` which
        column is learned. Raises InvalidInput and NotFound.
        """
        given = Path(path) if path is not None else Path(data) if isinstance(data, str | os.PathLike) else None
        # Loaded with the first dataset: a run without one needs neither Polars nor NumPy.
        found = import_module("modelyard.sdk.tracking.data").described(data, name, context, given, target)
        dataset = found.input.dataset
        self._note(Input(dataset=found.input))
        if self._recording is not None:
            root = self._recording.origin.root
            place = path_in(root, given) if given is not None else None
            used = UsedDataset(name=dataset.name, digest=dataset.digest, context=context, path=place, rows=found.rows, file=found.file)
            self._recording.add(used)
        return str(dataset.digest)

    def flush(self) -> None:
        """Returns once all that was logged is durable in the spool: acknowledged. Raises SpoolUnavailable where the disk takes nothing."""
        self._outbox.flush()

    def finish(self, status: RunStatus | str = RunStatus.FINISHED, *, wait_s: float = WAIT_S) -> None:
        """Ends the run and waits up to `wait_s` for the server to take what is left; the rest stays in the spool.

        A run that is over stays as it is.
        """
        if self._is_over:
            return
        self._is_over = True
        atexit.unregister(self._end_with_process)
        if self._system is not None:
            self._system.stop()
        if self._recording is not None:
            self._recording.join(RECORD_S)
        self._note(Ended(status=RunStatus(status), at=_now()))
        self._put = _refused
        self._waiting = _Over()
        left: int | None = None
        try:
            left = self._outbox.close(wait_s)
        except SpoolUnavailable as error:
            LOG.warning("run %s: what was logged last is lost: %s", self.name, error.message)
        if self._outbox.dropped:
            LOG.warning("run %s: %d calls were dropped while the disk took nothing", self.name, self._outbox.dropped)
        if left and self._tells:
            self._target.tell_left(self.name)

    def _checked(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The metrics as numbers under names that are accepted."""
        values = {}
        for key, value in metrics.items():
            if key not in self._keys:
                self._keys.add(checked_key(key, "key", "Metric name"))
            values[key] = number(key, value)
        return values

    def _put_texts(self, what: str, texts: list[tuple[str, str]]) -> None:
        for start in range(0, len(texts), MOST_PARAMS_OR_TAGS):
            self._note(Texts(**{what: dict(texts[start : start + MOST_PARAMS_OR_TAGS])}))

    def _put_file(self, name: str, content: Path | bytes) -> None:
        try:
            stored = self._outbox.store(content)
        except SpoolUnavailable as error:
            LOG.warning("run %s: the artifact %s is not logged: %s", self.name, name, error.message)
            return
        self._note(File(path=name, digest=stored.digest, size_bytes=stored.size_bytes), stored.name)

    def _note(self, record: Record, content: str = "") -> None:
        try:
            msgspec.msgpack.encode(record)
        except UnicodeEncodeError as error:  # here it has a caller who is told
            raise InvalidInput(f"a text holds what UTF-8 has no place for: {error.reason}", hint="encode it otherwise") from error
        self._put(Noted(_now(), record, content))

    def _put_system(self, step: int, values: dict[str, float]) -> None:
        self._put((_now(), step, tuple(values.items())))

    def _end_with_process(self) -> None:
        error = None if is_notebook() or hasattr(sys, "ps1") else getattr(sys, "last_value", None)
        self.finish(_status_of(error))

    def _forget(self) -> None:
        """In a forked child: the run is its parent's."""
        self._is_over = True
        self._outbox.detach()
        self._waiting = self._outbox.waiting


_LIVE: "weakref.WeakSet[Run]" = weakref.WeakSet()


def _forget_in_child() -> None:
    for run in list(_LIVE):
        with contextlib.suppress(OSError):
            run._forget()
    _LIVE.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _now() -> Instant:
    return Instant(time_ns() // 1000)


class _Over:
    """Where a run that was finished would put what is logged."""

    def __len__(self) -> int:
        return 0

    def append(self, item: object) -> None:
        _refused(item)


def _refused(item: object) -> None:
    raise RunIsOver("the run was finished", hint="start another one, or resume it: modelyard.start(resume=RUN_ID)")


def _status_of(error: BaseException | None) -> RunStatus:
    """How a run ends that this error ends: killed by Ctrl-C, failed by any other but a plain exit."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return RunStatus.FINISHED
    return RunStatus.KILLED if isinstance(error, KeyboardInterrupt) else RunStatus.FAILED

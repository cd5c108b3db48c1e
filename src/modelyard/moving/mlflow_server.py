"""A running MLflow server as a source, read over its REST interface, as its clients read it. Opens no file that it names."""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np

from modelyard.moving import mlflow_messages as said
from modelyard.moving.domain import FilesUnreadable, Holder, SourceOdd, TheirFile, TheirModel, TheirRegistered, TheirRun
from modelyard.moving.reached import Reached, SourceFailed
from modelyard.tracking.imports import ImportedExperiment
from modelyard.tracking.rules.names import LATEST_MILLISECOND, MILLISECOND
from modelyard.tracking.rules.series import Points

API = "/api/2.0/mlflow"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
AT_ONCE = 8
RUNS_A_PAGE = 200
POINTS_A_PAGE = 25_000
MOST_POINTS = 200_000_000
MOST_FILES = 1_000_000
DEEPEST = 64
_PROXIED = re.compile(r"mlflow-artifacts:(?://[^/]*)?/+(.+)")
_GONE = (404, 405, 501)
Page = TypeVar("Page", bound=said.Paged)
Ask = Callable[[str], Page]


class ServerSource:
    """An MLflow server."""

    def __init__(self, reached: Reached) -> None:
        self._reached = reached
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mlflow")

    def close(self) -> None:
        """Ends what it asks for."""
        self._pool.shutdown(cancel_futures=True)
        self._reached.close()

    def experiments(self) -> Iterator[ImportedExperiment]:
        """Every experiment, those in the bin too."""
        for page in self._searched("experiments/search", said.Experiments, {"view_type": "ALL", "max_results": 1000}):
            yield from (said.experiment_of(one) for one in page.experiments)

    def runs(self, experiment_id: str) -> Iterator[list[TheirRun]]:
        """The runs of an experiment, oldest first: those that start meanwhile come last."""
        asked = {"experiment_ids": [experiment_id], "run_view_type": "ALL", "max_results": RUNS_A_PAGE}
        for page in self._searched("runs/search", said.Runs, {**asked, "order_by": ["attributes.start_time ASC"]}):
            yield [said.run_of(one) for one in page.runs]

    def points(self, run: TheirRun) -> Iterator[tuple[str, Points]]:
        """Each metric of a run with all of its points; several metrics are asked for at once."""
        keys = sorted(run.latest)
        yield from zip(keys, self._pool.map(lambda key: self._history(run.run.id, key), keys), strict=True)

    def _history(self, run_id: str, key: str) -> Points:
        query = {"run_id": run_id, "metric_key": key, "max_results": POINTS_A_PAGE}
        parts, count = [], 0
        for page in _paged(
            lambda token: self._reached.asked(
                "GET", f"{API}/metrics/get-history", said.Metrics, query=query | ({"page_token": token} if token else {})
            )
        ):
            parts.append(_points(page.metrics))
            count += len(page.metrics)
            if count > MOST_POINTS:
                raise SourceOdd(f"the metric {key[:60]!r} of run {run_id} does not end", hint=f"at most {MOST_POINTS:,} points are read")
        return Points(*(np.concatenate([getattr(part, name) for part in parts]) for name in Points._fields))

    def logged_models(self, experiment_id: str) -> Iterator[TheirModel]:
        """The active logged models of an experiment: a server does not list those in the bin. One before MLflow 3 has none."""
        try:
            for page in self._searched("logged-models/search", said.LoggedModels, {"experiment_ids": [experiment_id], "max_results": 50}):
                yield from (said.model_of(one) for one in page.models)
        except SourceFailed as error:
            if error.status not in _GONE:
                raise

    def registered(self) -> Iterator[TheirRegistered]:
        """The registered models with their versions."""
        versions: dict[str, list[said.Version]] = {}
        for found in self._listed("model-versions/search", said.Versions, {"max_results": 1000}):
            for version in found.model_versions:
                versions.setdefault(version.name, []).append(version)
        for page in self._listed("registered-models/search", said.Models, {"max_results": 100}):
            for one in page.registered_models:
                yield said.registered_of(one, versions.get(one.name, []))

    def _searched(self, path: str, kind: type[Page], body: Mapping[str, Any]) -> Iterator[Page]:
        def ask(token: str) -> Page:
            return self._reached.asked("POST", f"{API}/{path}", kind, body={**body, **({"page_token": token} if token else {})})

        return _paged(ask)

    def _listed(self, path: str, kind: type[Page], query: Mapping[str, Any]) -> Iterator[Page]:
        def ask(token: str) -> Page:
            return self._reached.asked("GET", f"{API}/{path}", kind, query={**query, **({"page_token": token} if token else {})})

        return _paged(ask)

    def files(self, holder: Holder) -> Iterator[TheirFile]:
        """The files of a run or logged model as the server lists them."""
        folders, count = [""], 0
        while folders:
            folder = folders.pop()
            for found in self._folder(holder, folder):
                if not found.path.startswith(f"{folder}/" if folder else "") or found.path.count("/") > DEEPEST:
                    raise SourceOdd(f"{found.path[:120]!r} is listed in {folder[:120]!r}", hint="no MLflow server lists such a path")
                count += 1
                if count > MOST_FILES:
                    raise SourceOdd(f"the files of {holder.id} do not end", hint=f"at most {MOST_FILES:,} are read")
                if found.is_dir:
                    folders.append(found.path)
                else:
                    yield TheirFile(path=found.path, size_bytes=found.file_size)

    def _folder(self, holder: Holder, folder: str) -> list[said.File]:
        path, query = f"{API}/artifacts/list", {"run_id": holder.id, "path": folder}
        if holder.id.startswith("m-"):
            path, query = f"{API}/logged-models/{holder.id}/artifacts/directories", {"artifact_directory_path": folder}
        asked = {name: value for name, value in query.items() if value}

        def ask(token: str) -> said.Files:
            return self._reached.asked("GET", path, said.Files, query=asked | ({"page_token": token} if token else {}))

        try:
            return [file for page in _paged(ask) for file in page.files]
        except SourceFailed as error:
            raise FilesUnreadable(f"{holder.artifact_uri[:200]}: {error.message}", hint="can the server itself read there?") from error

    def content(self, holder: Holder, path: str) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        """A file's content, through the server's proxy where it has one for it."""
        match = _PROXIED.fullmatch(holder.artifact_uri)
        if match:
            return self._reached.streamed(f"{PROXY}/{quote(match[1].rstrip('/'))}/{quote(path)}")
        if holder.id.startswith("m-"):
            place = f"/ajax-api/2.0/mlflow/logged-models/{holder.id}/artifacts/files"
            return self._reached.streamed(place, {"artifact_file_path": path})
        return self._reached.streamed("/get-artifact", {"run_id": holder.id, "path": path})


def _paged(ask: Callable[[str], Page]) -> Iterator[Page]:
    """Pages until there is no token. Raises SourceOdd for a server that goes round in circles."""
    seen: set[str] = set()
    token = ""
    while True:
        page = ask(token)
        yield page
        token = page.next_page_token
        if not token:
            return
        if token in seen or page.is_empty:
            raise SourceOdd(f"the server's pages go round: {token[:60]!r} again, or after an empty page", hint="no MLflow server does that")
        seen.add(token)


def _points(metrics: list[said.Point]) -> Points:
    try:
        at = np.array([one.timestamp for one in metrics], np.int64)
        step = np.array([one.step for one in metrics], np.int64)
        value = np.array([float(one.value) for one in metrics], np.float64)
    except (OverflowError, ValueError) as error:
        raise SourceOdd(f"a point of a metric is no number that fits 64 bits: {error}", hint="no MLflow server says that") from error
    return Points(checked_times(at) * MILLISECOND, step, value)


def checked_times(milliseconds: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """`milliseconds` where microseconds in 64 bits can say them. Raises SourceOdd."""
    if len(milliseconds) and (milliseconds.max() > LATEST_MILLISECOND or milliseconds.min() < -LATEST_MILLISECOND):
        raise SourceOdd("a point's time in milliseconds is beyond what microseconds in 64 bits can say", hint="mend it there")
    return milliseconds

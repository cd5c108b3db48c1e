"""An export: everything that tracking and the registry hold, as Parquet, JSON and plain files, in memory that stays flat."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import msgspec
import polars as pl

from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.moving.accounts import Watch, patiently
from modelyard.moving.papers import README
from modelyard.moving.written import Manifest, Written
from modelyard.registry.domain import ModelName
from modelyard.registry.imports import ModelRecord, VersionRecord
from modelyard.sdk.client import Client
from modelyard.sdk.transport import RemoteError
from modelyard.tracking.domain import Artifact, Experiment, ExperimentId, Run, RunSearch, View
from modelyard.tracking.imports import ModelContent, RunContent
from modelyard.tracking.rules.paths import checked_path
from modelyard.tracking.rules.series import Points, unpacked

RUNS_A_UNIT = 200
POINTS_A_FILE = 2_000_000
INSTANT = pl.Datetime("us", "UTC")


class AskedOut(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be taken away: experiments and models by name; everything where none is named."""

    place: Path
    experiments: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether everything is asked for."""
        return not self.experiments and not self.models


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was written where."""

    folder: str
    counts: dict[str, int]
    files: int
    size_bytes: int
    notes: tuple[str, ...]
    took_s: float


class Export:
    """An export that is under way."""

    def __init__(self, client: Client, asked: AskedOut, watch: Watch) -> None:
        client.get_me()
        self._client = client
        self._asked = asked
        self._watch = watch
        self._notes: list[str] = []
        self._began_s = time.monotonic()
        words = {"experiments": list(asked.experiments), "models": list(asked.models)}
        self._written = Written(asked.place.resolve(), client.url, words)

    def ran(self) -> ExportReport:
        """Writes everything that is not written yet; the folder appears under its name once it is whole."""
        if self._asked.is_all or self._asked.experiments:
            for experiment in self._experiments():
                self._watch.begins(experiment.name)
                self._experiment(experiment)
        if self._asked.is_all or self._asked.models:
            for name in self._models():
                self._watch.begins(name)
                self._model(name)
        if self._written.unit("README") is None:
            self._written.put_text("README.md", README)
            self._written.end_unit("README", {})
        return self._reported(self._written.finish())

    def _reported(self, manifest: Manifest) -> ExportReport:
        return ExportReport(
            folder=str(self._asked.place),
            counts=manifest.counts,
            files=len(manifest.files) + 1,
            size_bytes=sum(file.size_bytes for file in manifest.files),
            notes=tuple(self._notes),
            took_s=round(time.monotonic() - self._began_s, 3),
        )

    # -- tracking --

    def _experiments(self) -> list[Experiment]:
        found: list[Experiment] = []
        page = ""
        while True:
            answer = patiently(lambda page=page: self._client.list_experiments(limit=1000, page=page, view=View.ALL))  # type: ignore[misc]
            found += answer.experiments
            page = answer.next
            if not page:
                break
        names = {one.name for one in found}
        for name in self._asked.experiments:
            if name not in names:
                raise InvalidInput(f"there is no experiment {name[:120]!r}", hint=nearest(name, names))
        return [one for one in found if not self._asked.experiments or one.name in self._asked.experiments]

    def _experiment(self, one: Experiment) -> None:
        home = f"experiments/{one.id}"
        if self._written.unit(home) is None:
            self._written.put_json(f"{home}/experiment.json", one)
            self._written.end_unit(home, {"experiments": 1})
        page, number = "", 0
        while number == 0 or page:
            number += 1
            unit = self._written.unit(f"{home}/runs-{number:05}") or self._runs(one.id, page, number)
            for kind, count in unit.counts.items():
                self._watch.counts(kind, count)
            page = unit.next
        self._logged_models(one.id, home)

    def _runs(self, experiment_id: ExperimentId, page: str, number: int) -> Any:
        home, name = f"experiments/{experiment_id}", f"{number:05}"
        search = RunSearch(experiment_ids=(experiment_id,), view=View.ALL, limit=RUNS_A_UNIT, page=page)
        answer = patiently(lambda: self._client.search_runs(search))
        ids = tuple(run.facts.id for run in answer.runs)
        contents = patiently(lambda: self._client.read_run_contents(run_ids=ids)) if ids else []
        counts = {"runs": len(contents)}
        if contents:
            self._written.put_lines(f"{home}/runs-{name}.jsonl", contents)
            self._written.put_table(f"{home}/runs-{name}.parquet", runs_table([one.run for one in contents]))
            self._written.put_table(f"{home}/params-{name}.parquet", texts_table(contents, "params"))
            self._written.put_table(f"{home}/tags-{name}.parquet", texts_table(contents, "tags"))
            counts["points"] = self._points(contents, f"{home}/points-{name}")
            for one in contents:
                counts |= self._files(one.run.facts.artifact_uri, f"{home}/artifacts/{one.run.facts.id}", one.artifacts, counts)
        return self._written.end_unit(f"{home}/runs-{name}", counts, answer.next)

    def _points(self, contents: Sequence[RunContent], path: str) -> int:
        """Writes the points of some runs, so many in a file; how many."""
        tables: list[pl.DataFrame] = []
        total = held = part = 0
        for table in self._tables(contents):
            tables.append(table)
            held, total = held + table.height, total + table.height
            if held >= POINTS_A_FILE:
                part += 1
                self._written.put_table(f"{path}-{part:03}.parquet", pl.concat(tables))
                tables, held = [], 0
        if tables:
            self._written.put_table(f"{path}-{part + 1:03}.parquet", pl.concat(tables))
        return total

    def _tables(self, contents: Sequence[RunContent]) -> Iterator[pl.DataFrame]:
        for one in contents:
            run_id, after = one.run.facts.id, ""
            while one.series:
                found = patiently(lambda run_id=run_id, after=after: self._client.read_points(run_id, after=after))  # type: ignore[misc]
                if not found:
                    break
                yield from (points_table(run_id, series.key, unpacked([series.points])) for series in found)
                after = found[-1].key

    def _files(self, uri: str, home: str, artifacts: Sequence[Artifact], counts: dict[str, int]) -> dict[str, int]:
        folders = {str(folder) for artifact in artifacts for folder in PurePosixPath(artifact.path).parents}
        for artifact in artifacts:
            # A folder of a disk has no file and folder of one name, as the artifacts of a run may.
            place = f"{artifact.path}.file" if artifact.path in folders else artifact.path
            content = self._client.open_artifact(uri, artifact.path)
            self._written.put_chunks(f"{home}/{checked_path(place)}", artifact.digest, content)
        size = sum(artifact.size_bytes for artifact in artifacts)
        return {"artifacts": counts.get("artifacts", 0) + len(artifacts), "bytes": counts.get("bytes", 0) + size}

    def _logged_models(self, experiment_id: ExperimentId, home: str) -> None:
        after, number = "", 0
        while True:
            number += 1
            name = f"{home}/logged-models-{number:05}"
            unit = self._written.unit(name)
            if unit is None:
                found = patiently(lambda after=after: self._client.list_logged_models(experiment_id, after=after))  # type: ignore[misc]
                unit = self._logged(name, home, found)
            if not unit.next:
                return
            after = unit.next

    def _logged(self, name: str, home: str, found: list[ModelContent]) -> Any:
        counts: dict[str, int] = {"logged models": len(found)}
        if found:
            self._written.put_lines(f"{name}.jsonl", found)
        for one in found:
            counts |= self._files(one.model.artifact_uri, f"{home}/logged-models/{one.model.id}", one.artifacts, counts)
        return self._written.end_unit(name, counts, found[-1].model.id if found else "")

    # -- registry --

    def _models(self) -> list[ModelName]:
        found: list[ModelName] = []
        after = ""
        while page := patiently(lambda after=after: self._client.list_models(after=after, limit=500)):  # type: ignore[misc] # bound now
            found += [one.model.name for one in page]
            after = found[-1]
        for name in self._asked.models:
            if name not in found:
                raise InvalidInput(f"there is no model {name[:120]!r}", hint=nearest(name, found))
        return [name for name in found if not self._asked.models or name in self._asked.models]

    def _model(self, name: ModelName) -> None:
        home = f"models/{quote(name, safe=' ')}"
        before = 0
        while True:
            unit = self._written.unit(f"{home}/{before}")
            if unit is None:
                record = patiently(lambda before=before: self._client.get_model_record(name, before=before))  # type: ignore[misc] # bound now
                unit = self._versions(record, home, before)
            for kind, count in unit.counts.items():
                self._watch.counts(kind, count)
            if not unit.next:
                return
            before = int(unit.next)

    def _versions(self, record: ModelRecord, home: str, before: int) -> Any:
        counts = {"versions": len(record.versions), "models": int(before == 0)}
        if before == 0:
            counts["aliases"] = len(record.detail.aliases)
            self._written.put_json(f"{home}/model.json", msgspec.structs.replace(record, versions=()))
        for one in record.versions:
            counts["version files"] = counts.get("version files", 0) + self._version(one, home)
        following = str(record.versions[-1].detail.version.number) if record.versions else ""
        return self._written.end_unit(f"{home}/{before}", counts, following)

    def _version(self, one: VersionRecord, home: str) -> int:
        """Writes a version with its files; how many."""
        version = one.detail.version
        self._written.put_json(f"{home}/{version.number}/version.json", one)
        try:
            manifest = patiently(lambda: self._client.list_version_files(version.model, version.number))
        except RemoteError as error:
            if error.code != "not_found":
                raise
            self._notes.append(f"{version.model}/{version.number}: {error.message}")
            return 0
        for file in manifest.files:
            content = self._client.open_version_file(version.model, version.number, file.path)
            self._written.put_chunks(f"{home}/{version.number}/files/{checked_path(file.path)}", file.digest, content)
        return len(manifest.files)


def runs_table(runs: Sequence[Run]) -> pl.DataFrame:
    """The facts of runs, a row each."""
    rows = [msgspec.to_builtins(run.facts) for run in runs]
    schema: dict[str, Any] = {name: _TIMES.get(name, pl.String) for name in rows[0]}
    table = pl.DataFrame(rows, schema=schema)
    return table.rename({"id": "run_id"}).with_columns(pl.col("started_at", "ended_at").cast(INSTANT))


_TIMES = {"started_at": pl.Int64, "ended_at": pl.Int64}


def texts_table(contents: Sequence[RunContent], which: str) -> pl.DataFrame:
    """Params or tags of runs, a row each."""
    rows = [(one.run.facts.id, key, value) for one in contents for key, value in getattr(one.run, which).items()]
    return pl.DataFrame(rows, schema={"run_id": pl.String, "key": pl.String, "value": pl.String}, orient="row")


def points_table(run_id: str, key: str, points: Points) -> pl.DataFrame:
    """Points of a metric, a row each, by step; NaN is NaN."""
    columns = {"step": points.step, "at": points.at, "value": points.value}
    return pl.DataFrame(columns).select(
        pl.lit(run_id).alias("run_id"), pl.lit(key).alias("key"), "step", pl.col("at").cast(INSTANT), "value"
    )

"""MLflow's database as a source, of its present release and of those some years old. Its files are read from a folder, or by a server."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

from modelyard.moving import mlflow_messages as said
from modelyard.moving.databases import ReadDatabase
from modelyard.moving.domain import Holder, LatestPoint, SourceOdd, TheirFile, TheirModel, TheirRegistered, TheirRun
from modelyard.moving.mlflow_server import checked_times
from modelyard.tracking.domain import LoggedModelId, ModelOutput
from modelyard.tracking.imports import ImportedExperiment
from modelyard.tracking.rules.names import MILLISECOND
from modelyard.tracking.rules.series import Points

RUNS_AT_ONCE = 200
WORKSPACE = "default"
IS_PROMPT = "mlflow.prompt.is_prompt"
MODEL_STATUSES = {0: "UNSPECIFIED", 1: "PENDING", 2: "READY", 3: "FAILED"}
T = TypeVar("T")
Fields = dict[str, Any]


class Files(Protocol):
    """Where the files of what a database names are read."""

    def files(self, holder: Holder) -> Iterator[TheirFile]:
        """The files of a run or logged model. Raises FilesUnreadable."""
        ...

    def content(self, holder: Holder, path: str) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        """A file's content in chunks."""
        ...


class DatabaseSource:
    """MLflow's database."""

    def __init__(self, database: ReadDatabase, files: Files) -> None:
        self._database = database
        self._files = files
        self._columns: dict[str, set[str]] = {}
        if "run_uuid" not in self._columns_of("runs"):
            raise SourceOdd("the database has no runs as MLflow keeps them", hint="is it MLflow's?")

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def experiments(self) -> Iterator[ImportedExperiment]:
        """Every experiment, those in the bin too."""
        names = ("experiment_id", "name", "lifecycle_stage", "creation_time", "last_update_time")
        tags = self._texts("experiment_tags", "experiment_id")
        for one in list(self._dicts("experiments", names, self._at_home("experiments"))):
            fields = {**one, "experiment_id": str(one["experiment_id"]), "tags": tags.get(one["experiment_id"], [])}
            yield said.experiment_of(_as(fields, said.Experiment))

    def runs(self, experiment_id: str) -> Iterator[list[TheirRun]]:
        """The runs of an experiment, oldest first."""
        query = "SELECT run_uuid FROM runs WHERE experiment_id = ? ORDER BY start_time, run_uuid"
        ids = [str(row[0]) for row in self._database.rows(query, (int(experiment_id),))]
        for start in range(0, len(ids), RUNS_AT_ONCE):
            yield self._runs(ids[start : start + RUNS_AT_ONCE])

    def _runs(self, ids: Sequence[str]) -> list[TheirRun]:
        names = (
            "run_uuid", "name", "user_id", "status", "start_time", "end_time", "lifecycle_stage", "artifact_uri", "experiment_id",
        )  # fmt: skip
        params, tags = self._texts("params", "run_uuid", ids), self._texts("tags", "run_uuid", ids)
        latest, inputs = self._latest(ids), self._inputs(ids)
        read, made = self._links("RUN_INPUT", ids), self._links("RUN_OUTPUT", ids)
        found = {}
        for one in self._dicts("runs", names, ("run_uuid IN (??)", [ids])):
            run_id = one["run_uuid"]
            info = {**one, "run_id": run_id, "run_name": one.get("name", ""), "experiment_id": str(one["experiment_id"])}
            data = {"params": params.get(run_id, []), "tags": tags.get(run_id, [])}
            run = said.run_of(_as({"info": info, "data": data, "inputs": {"dataset_inputs": inputs.get(run_id, [])}}, said.Run))
            links = {"model_inputs": tuple(link.model_id for link in read.get(run_id, ())), "model_outputs": tuple(made.get(run_id, ()))}
            found[run_id] = msgspec.structs.replace(run, run=msgspec.structs.replace(run.run, **links), latest=latest.get(run_id, {}))
        return [found[one] for one in ids if one in found]

    def _latest(self, ids: Sequence[str]) -> dict[str, dict[str, LatestPoint]]:
        query = "SELECT run_uuid, key, value, is_nan, timestamp, step FROM latest_metrics WHERE run_uuid IN (??)"
        counts = {
            (row[0], row[1]): row[2]
            for row in self._database.rows(
                "SELECT run_uuid, key, count(*) FROM metrics WHERE run_uuid IN (??) GROUP BY run_uuid, key", (ids,)
            )
        }
        found: dict[str, dict[str, LatestPoint]] = {}
        for run_id, key, value, is_nan, at, step in self._database.rows(query, (ids,)):
            point = LatestPoint("nan" if is_nan else repr(value), at, step, counts.pop((run_id, key), 0))
            found.setdefault(run_id, {})[key] = point
        for (run_id, key), count in counts.items():
            found.setdefault(run_id, {})[key] = LatestPoint("", 0, 0, count)
        return found

    def _inputs(self, ids: Sequence[str]) -> dict[str, list[Fields]]:
        if "dataset_uuid" not in self._columns_of("datasets"):
            return {}
        names = ("name", "digest", "dataset_source_type", "dataset_source", "dataset_schema", "dataset_profile")
        query = (
            f"SELECT i.destination_id, i.input_uuid, {', '.join(f'd.{name}' for name in names)} FROM inputs i "
            "JOIN datasets d ON d.dataset_uuid = i.source_id "
            "WHERE i.source_type = 'DATASET' AND i.destination_type = 'RUN' AND i.destination_id IN (??)"
        )
        rows = list(self._database.rows(query, (ids,)))
        tags = self._texts("input_tags", "input_uuid", [row[1] for row in rows], name="name") if rows else {}
        found: dict[str, list[Fields]] = {}
        for run_id, input_id, *values in rows:
            dataset = _present(zip(("name", "digest", "source_type", "source", "schema", "profile"), values, strict=True))
            found.setdefault(run_id, []).append({"dataset": dataset, "tags": tags.get(input_id, [])})
        return found

    def _links(self, kind: str, ids: Sequence[str]) -> dict[str, list[ModelOutput]]:
        """The logged models that runs read or made."""
        if "step" not in self._columns_of("inputs"):
            return {}
        query = "SELECT source_id, destination_id, step FROM inputs WHERE source_type = ? AND source_id IN (??)"
        found: dict[str, list[ModelOutput]] = {}
        for run_id, model_id, step in self._database.rows(query, (kind, ids)):
            found.setdefault(run_id, []).append(ModelOutput(model_id=LoggedModelId(model_id), step=step))
        return found

    def points(self, run: TheirRun) -> Iterator[tuple[str, Points]]:
        """Each metric of a run with all of its points, one after the other."""
        query = "SELECT key, timestamp, step, value, is_nan FROM metrics WHERE run_uuid = ? ORDER BY key"
        key, parts = None, list[Points]()
        for rows in self._database.batches(query, (run.run.id,)):
            for found, part in _split(rows):
                if found != key and key is not None:
                    yield key, _joined(parts)
                    parts = []
                key = found
                parts.append(part)
        if key is not None:
            yield key, _joined(parts)

    def logged_models(self, experiment_id: str) -> Iterator[TheirModel]:
        """The logged models of an experiment, those in the bin too."""
        if "model_id" not in self._columns_of("logged_models"):
            return
        names = (
            "model_id", "name", "artifact_location", "creation_timestamp_ms", "last_updated_timestamp_ms", "status", "lifecycle_stage",
            "model_type", "source_run_id",
        )  # fmt: skip
        where = ("experiment_id = ?", [int(experiment_id)])
        for one in list(self._dicts("logged_models", names, where)):
            ids = [one["model_id"]]
            info = {
                **one,
                "experiment_id": experiment_id,
                "artifact_uri": one["artifact_location"],
                "status": MODEL_STATUSES.get(one["status"], "UNSPECIFIED"),
                "tags": self._texts("logged_model_tags", "model_id", ids, name="tag_key", value="tag_value").get(ids[0], []),
            }
            params = self._texts("logged_model_params", "model_id", ids, name="param_key", value="param_value").get(ids[0], [])
            model = said.model_of(_as({"info": info, "data": {"params": params, "metrics": self._measured(ids[0])}}, said.LoggedModel))
            yield msgspec.structs.replace(model, lifecycle=said.lifecycle_of(one.get("lifecycle_stage")))

    def _measured(self, model_id: str) -> list[Fields]:
        names = ("metric_name", "metric_value", "metric_timestamp_ms", "metric_step", "run_id", "dataset_name", "dataset_digest")
        keys = ("key", "value", "timestamp", "step", "run_id", "dataset_name", "dataset_digest")
        found = self._dicts("logged_model_metrics", names, ("model_id = ?", [model_id]))
        return [{"value": "nan"} | {key: one[name] for key, name in zip(keys, names, strict=True) if name in one} for one in found]

    def registered(self) -> Iterator[TheirRegistered]:
        """The registered models with their versions; prompts, which MLflow keeps beside them, are none."""
        tags, version_tags = self._texts("registered_model_tags", "name"), self._version_tags()
        aliases: dict[str, list[Fields]] = {}
        for one in self._dicts("registered_model_aliases", ("name", "alias", "version"), self._at_home("registered_model_aliases")):
            aliases.setdefault(one["name"], []).append({"alias": one["alias"], "version": one["version"]})
        names = ("name", "creation_time", "last_updated_time", "description")
        for one in list(self._dicts("registered_models", names, self._at_home("registered_models"))):
            own = tags.get(one["name"], [])
            if {"key": IS_PROMPT, "value": "true"} in own:
                continue
            model = {**_renamed(one), "tags": own, "aliases": aliases.get(one["name"], [])}
            yield said.registered_of(_as(model, said.Model), self._versions(one["name"], version_tags))

    def _versions(self, name: str, tags: dict[tuple[str, int], list[Fields]]) -> list[said.Version]:
        names = (
            "name", "version", "creation_time", "last_updated_time", "description", "user_id", "current_stage", "source", "run_id",
            "run_link", "status",
        )  # fmt: skip
        where, values = self._at_home("model_versions")
        found = list(self._dicts("model_versions", names, (f"{where} AND name = ?", [*values, name])))
        # A version that was deleted keeps its row, in a stage of its own.
        kept = [one for one in found if one.get("current_stage") != "Deleted_Internal"]
        return [_as({**_renamed(one), "tags": tags.get((name, one["version"]), [])}, said.Version) for one in kept]

    def _version_tags(self) -> dict[tuple[str, int], list[Fields]]:
        found: dict[tuple[str, int], list[Fields]] = {}
        names = ("name", "version", "key", "value")
        for one in self._dicts("model_version_tags", names, self._at_home("model_version_tags")):
            found.setdefault((one["name"], one["version"]), []).append({"key": one["key"], "value": one.get("value", "")})
        return found

    def files(self, holder: Holder) -> Iterator[TheirFile]:
        """The files of a run or logged model."""
        return self._files.files(holder)

    def content(self, holder: Holder, path: str) -> contextlib.AbstractContextManager[Iterator[bytes]]:
        """A file's content."""
        return self._files.content(holder, path)

    def _columns_of(self, table: str) -> set[str]:
        if table not in self._columns:
            self._columns[table] = self._database.columns(table)
        return self._columns[table]

    def _at_home(self, table: str) -> tuple[str, list[Any]]:
        """The condition for the one workspace that is read, where the release has workspaces."""
        return ("workspace = ?", [WORKSPACE]) if "workspace" in self._columns_of(table) else ("1 = 1", [])

    def _dicts(self, table: str, names: Sequence[str], where: tuple[str, list[Any]]) -> Iterator[Fields]:
        """Rows of a table by column, without what is NULL and without columns that the release does not have."""
        known = [name for name in names if name in self._columns_of(table)]
        if known:
            for row in self._database.rows(f"SELECT {', '.join(known)} FROM {table} WHERE {where[0]}", where[1]):
                yield _present(zip(known, row, strict=True))

    def _texts(
        self, table: str, owner: str, ids: Sequence[str] | None = None, *, name: str = "key", value: str = "value"
    ) -> dict[Any, list[Fields]]:
        """Params or tags by owner, as MLflow's answers have them."""
        if owner not in self._columns_of(table):
            return {}
        found: dict[Any, list[Fields]] = {}
        where, values = self._at_home(table) if ids is None else (f"{owner} IN (??)", [ids])
        for one, key, text in self._database.rows(f"SELECT {owner}, {name}, {value} FROM {table} WHERE {where}", values):
            found.setdefault(one, []).append({"key": key, "value": "" if text is None else text})
        return found


def _present(pairs: Any) -> Fields:
    return {name: value for name, value in pairs if value is not None}


def _renamed(one: Fields) -> Fields:
    names = {"creation_time": "creation_timestamp", "last_updated_time": "last_updated_timestamp"}
    return {names.get(name, name): value for name, value in one.items()}


def _as(fields: Fields, kind: type[T]) -> T:
    try:
        return msgspec.convert(fields, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SourceOdd(f"a row of the database is not MLflow's: {error}", hint="is it MLflow's?") from error


def _split(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, Points]]:
    """Rows that are ordered by key, by key, as points."""
    keys, at, step, value, is_nan = zip(*rows, strict=True)
    starts = [place for place in range(len(keys)) if not place or keys[place] != keys[place - 1]]
    try:
        columns = checked_times(np.array(at, np.int64)) * MILLISECOND, np.array(step, np.int64), np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise SourceOdd(f"a point of a metric is no number that fits 64 bits: {error}", hint="is the database MLflow's?") from error
    values = np.where(np.array(is_nan, bool), np.nan, columns[2])
    for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
        yield keys[start], Points(columns[0][start:end], columns[1][start:end], values[start:end])


def _joined(parts: list[Points]) -> Points:
    return Points(*(np.concatenate([getattr(part, name) for part in parts]) for name in Points._fields))

"""What a tracked run says of the model that it made: by our client or by MLflow's. Owns reading it; decides nothing about files."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
import yaml

from modelyard.cli.adoption.estimators import Call as Estimator
from modelyard.cli.adoption.estimators import NotWritable, logged, parsed
from modelyard.core.digests import Digest
from modelyard.core.errors import Kind
from modelyard.sdk.client import Client
from modelyard.sdk.tracking.estimators import CLASS_TAG, MADE_TAG, Made
from modelyard.sdk.tracking.record import ENVIRONMENT, SOURCE
from modelyard.sdk.transport import RemoteError
from modelyard.tracking.domain import DATASET_CONTEXT_TAG, TARGET_TAG, DatasetInput, Run, RunId

NOTE_TAG = "mlflow.note.content"
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([A-Za-z0-9][A-Za-z0-9.+!-]*)")
MOST_TEXT_BYTES = 1_000_000
LEARNED_FROM = ("training", "train", "")


class TrackedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset that the run read. An empty path was not recorded; an empty target neither. The digest is of its rows where it is ours."""

    path: str
    context: str
    target: str
    digest: Digest | None


class Tracked(msgspec.Struct, frozen=True, kw_only=True):
    """A run, read. `inputs` are the columns that its logged model takes, where one says so.

    `estimator` is None where it cannot be written down again, for the reason `why_not`. `versions` are by distribution.
    """

    run: Run
    experiment: str
    datasets: tuple[TrackedDataset, ...]
    inputs: tuple[str, ...] = ()
    versions: Mapping[str, str] = {}
    estimator: Estimator | None = None
    why_not: str = ""
    source: bytes | None = None


class _LoggedModel(msgspec.Struct, frozen=True, kw_only=True):
    """What a logged model's own files say."""

    inputs: tuple[str, ...] = ()
    kind: str = ""
    versions: Mapping[str, str] = {}


def tracked(client: Client, run_id: RunId) -> Tracked:
    """The run with all that is of use. Raises RemoteError where it is not there."""
    run = client.get_run(run_id)
    model = _logged_model(client, run)
    ours = _text(_run_file(client, run.facts.id, ENVIRONMENT))
    versions = dict(model.versions) | pins(ours)
    estimator, why_not = None, ""
    try:
        estimator = _estimator(run, model, versions)
    except NotWritable as error:
        why_not = str(error)
    return Tracked(
        run=run,
        experiment=client.get_experiment(run.facts.experiment_id).name,
        datasets=tuple(sorted(map(_dataset, run.datasets), key=_rank)),
        inputs=model.inputs,
        versions=versions,
        estimator=estimator,
        why_not=why_not,
        source=_run_file(client, run.facts.id, SOURCE) if estimator is None else None,
    )


def pins(requirements: str) -> dict[str, str]:
    """The versions that lines such as `lightgbm==4.7.0` pin, by distribution; other lines say nothing.

    >>> pins("LightGBM==4.7.0\\n# editable: mine==1\\nx @ file:///y\\n")
    {'lightgbm': '4.7.0'}
    """
    found = filter(None, (PIN.fullmatch(line.strip()) for line in requirements.splitlines()))
    return {re.sub(r"[-_.]+", "-", one[1]).lower(): one[2] for one in found}


def model_said(content: str) -> tuple[tuple[str, ...], str]:
    """The columns that an `MLmodel` file names as inputs, and the class of the model where its flavor names one."""
    try:
        told = yaml.safe_load(content)
        signature = told.get("signature") or {}
        columns = msgspec.json.decode(signature.get("inputs") or "[]", type=list[dict[str, Any]])
        flavor = (told.get("flavors") or {}).get("lightgbm") or {}
        return tuple(str(one["name"]) for one in columns if one.get("name")), str(flavor.get("model_class", ""))
    except (yaml.YAMLError, msgspec.MsgspecError, AttributeError, TypeError, RecursionError, ValueError):
        return (), ""


def _estimator(run: Run, model: _LoggedModel, versions: Mapping[str, str]) -> Estimator:
    if MADE_TAG in run.tags:
        try:
            made = msgspec.json.decode(run.tags[MADE_TAG], type=Made)
        except msgspec.MsgspecError as error:
            raise NotWritable("what it says of its estimator cannot be read") from error
        return parsed(made.expression, made.modules)
    path = run.tags.get(CLASS_TAG) or model.kind
    if not path:
        raise NotWritable("it does not say what its estimator was")
    return logged(path, run.params, versions)


def _dataset(given: DatasetInput) -> TrackedDataset:
    dataset = given.dataset
    return TrackedDataset(
        path=_path(dataset.source) if dataset.source_type == "local" else "",
        context=given.tags.get(DATASET_CONTEXT_TAG, ""),
        target=given.tags.get(TARGET_TAG, ""),
        digest=Digest(dataset.digest) if dataset.digest.startswith("sha256:") else None,
    )


def _rank(dataset: TrackedDataset) -> tuple[bool, int]:
    """Those that say where they lie come first, then those that were trained on."""
    return not dataset.path, LEARNED_FROM.index(dataset.context) if dataset.context in LEARNED_FROM else len(LEARNED_FROM)


def _path(source: str) -> str:
    try:
        uri = str(msgspec.json.decode(source, type=dict[str, Any]).get("uri", ""))
    except msgspec.MsgspecError:
        return ""
    if uri.startswith("file:"):
        return unquote(urlsplit(uri).path)
    return "" if "://" in uri or "\0" in uri else uri


def _logged_model(client: Client, run: Run) -> _LoggedModel:
    if not run.model_outputs:
        return _LoggedModel()
    address = f"/api/2.0/mlflow/logged-models/{quote(run.model_outputs[-1].model_id, safe='')}/artifacts/files"
    inputs, kind = model_said(_text(_file(client, address, {"artifact_file_path": "MLmodel"})))
    return _LoggedModel(inputs=inputs, kind=kind, versions=pins(_text(_file(client, address, {"artifact_file_path": "requirements.txt"}))))


def _run_file(client: Client, run_id: RunId, path: str) -> bytes | None:
    return _file(client, "/api/2.0/mlflow/get-artifact", {"run_id": run_id, "path": path})


def _file(client: Client, address: str, query: Mapping[str, str]) -> bytes | None:
    try:
        return client.send("GET", address, content=None, query=query)
    except RemoteError as error:
        if error.kind is Kind.MISSING:
            return None
        raise


def _text(content: bytes | None) -> str:
    return "" if content is None or len(content) > MOST_TEXT_BYTES else content.decode("utf-8", "replace")

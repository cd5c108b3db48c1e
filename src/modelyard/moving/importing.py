"""An import: experiments, runs and logged models from there to here, compared as they come; registered models come last.

It may be killed at any moment: what is not finished is brought again, and nothing is brought twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from modelyard.core.digests import digest_bytes
from modelyard.core.errors import InvalidInput
from modelyard.core.names import nearest
from modelyard.moving.accounts import Account, Watch, patiently
from modelyard.moving.comparing import experiment_differences, model_differences, run_differences
from modelyard.moving.domain import Asked, ImportReport, Mismatch, Source, TheirModel, TheirRun, fingerprint
from modelyard.moving.files import Carried, Place, carried
from modelyard.moving.registered import bring_registered
from modelyard.moving.series import Sent, sent_runs
from modelyard.sdk.client import Client
from modelyard.tracking.domain import DEFAULT_EXPERIMENT_NAME, Artifact, ExperimentId
from modelyard.tracking.imports import (
    ExperimentHere,
    Finished,
    ImportedExperiment,
    ImportEnd,
    ImportKind,
    ModelContent,
    RunContent,
)

FILES_AT_ONCE = 6
MODELS_AT_ONCE = 100
Prints = Mapping[str, str]
"""The fingerprints of states there, by id."""
Their = TypeVar("Their", TheirRun, TheirModel)


class Import:
    """An import that is under way."""

    def __init__(self, source: Source, client: Client, asked: Asked, watch: Watch) -> None:
        self._source = source
        self._client = client
        self._asked = asked
        self._account = Account(watch)
        self._pool = ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="files")

    def ran(self) -> ImportReport:
        """Brings everything; what came of it."""
        self._client.get_me()  # not patiently: a server that is not there, or lets nobody in, is told at once
        try:
            chosen = self._chosen()
            homes = self._experiments(chosen)
            for one in chosen:
                self._account.watch.begins(one.name)
                for page in self._source.runs(one.id):
                    self._runs(page, homes.get(one.id))
                self._models(one.id, homes.get(one.id))
            bring_registered(self._source, self._client, self._asked, self._account)
        finally:
            self._pool.shutdown(cancel_futures=True)
        return self._reported()

    def _chosen(self) -> list[ImportedExperiment]:
        found = list(self._source.experiments())
        names = {one.name for one in found}
        for name in self._asked.experiments:
            if name not in names:
                raise InvalidInput(f"there is no experiment {name[:120]!r}", hint=nearest(name, names))
        return [one for one in found if not self._asked.experiments or one.name in self._asked.experiments]

    def _experiments(self, chosen: Sequence[ImportedExperiment]) -> Mapping[str, ExperimentHere]:
        """Where each experiment's runs come to, by its id there; in a dry run, as far as they are here."""
        marks = self._marks("experiment", [one.id for one in chosen])
        self._account.there("experiments", len(chosen))
        if self._asked.is_dry:
            self._account.brought("experiments", sum(one.id not in marks for one in chosen))
            self._account.unchanged("experiments", len(marks))
            return {}
        source, team = self._asked.source, self._asked.team
        here = {
            one.their_id: one
            for one in patiently(lambda: self._client.import_experiments(source=source, experiments=tuple(chosen), team=team))
        }
        for one in chosen:
            count = self._account.unchanged if one.id in marks else self._account.brought
            count("experiments")
            if here[one.id].is_joined:
                if one.name != DEFAULT_EXPERIMENT_NAME:
                    self._account.notes.append(f"runs of {one.name!r} came to the experiment of that name that was here; its own tags stay")
                continue
            held = patiently(lambda at=here[one.id].our_id: self._client.get_experiment(at))  # type: ignore[misc] # bound now
            self._differ(experiment_differences(one, held))
        return here

    def _marks(self, kind: ImportKind, ids: Sequence[str]) -> dict[str, str]:
        """The fingerprints of those of the things that were brought before, by their id there."""
        found = patiently(lambda: self._client.list_import_marks(source=self._asked.source, kind=kind, ids=tuple(ids)))
        return {mark.their_id: mark.fingerprint for mark in found}

    # -- runs --

    def _runs(self, page: list[TheirRun], home: ExperimentHere | None) -> None:
        marks, prints = self._marks("run", [one.run.id for one in page]), {str(one.run.id): run_print(one) for one in page}
        fresh = [one for one in page if self._asked.is_full or marks.get(one.run.id) != prints[one.run.id]]
        for one in page:
            self._account.there("runs")
            self._account.there("params", len(one.run.params))
            self._account.there("tags", len(one.run.tags))
        self._account.unchanged("runs", len(page) - len(fresh))
        if home is None:
            self._account.brought("runs", len(fresh))
            return
        moved = [_moved(one, home.our_id) for one in fresh]
        for sent in sent_runs(self._source, self._client, self._asked.source, moved):
            self._finish_runs(sent, prints)

    def _finish_runs(self, sent: Sent, prints: Prints) -> None:
        for refusal in sent.refused:
            self._account.differs("run", refusal.id, "there", f"not brought: {refusal.message}")
        ids = tuple(one.run.id for one in sent.runs)
        if not ids:
            return
        held = {one.run.facts.id: one for one in patiently(lambda: self._client.read_run_contents(run_ids=ids))}
        files = self._carried(sent.runs, {one: Place(artifact_uri=held[one].run.facts.artifact_uri, held=_paths(held[one])) for one in ids})
        finished = []
        for one in sent.runs:
            found = [*run_differences(one, sent.contents[one.run.id], held[one.run.id]), *files[one.run.id].mismatches]
            self._differ(found)
            self._account.there("points", sum(content.points for content in sent.contents[one.run.id].values()))
            finished.append(Finished(id=one.run.id, fingerprint="" if found else prints[one.run.id], lifecycle=one.lifecycle))
            if not found:
                self._count_run(one, sent)
        self._finished("run", finished)

    def _count_run(self, one: TheirRun, sent: Sent) -> None:
        self._account.brought("runs")
        self._account.brought("params", len(one.run.params))
        self._account.brought("tags", len(one.run.tags))
        self._account.brought("points", sum(content.points for content in sent.contents[one.run.id].values()))

    def _finished(self, kind: ImportKind, items: Sequence[Finished]) -> None:
        if items:
            patiently(lambda: self._client.finish_imports(source=self._asked.source, kind=kind, items=tuple(items)))

    # -- logged models --

    def _models(self, experiment_id: str, home: ExperimentHere | None) -> None:
        for some in _parts(self._source.logged_models(experiment_id), MODELS_AT_ONCE):
            prints = {str(one.model.id): fingerprint(one.model, one.lifecycle) for one in some}
            marks = self._marks("logged_model", list(prints))
            fresh = [one for one in some if self._asked.is_full or marks.get(one.model.id) != prints[one.model.id]]
            self._account.there("logged models", len(some))
            self._account.unchanged("logged models", len(some) - len(fresh))
            if home is None:
                self._account.brought("logged models", len(fresh))
            elif fresh:
                self._bring_models([_moved_model(one, home.our_id) for one in fresh], prints)

    def _bring_models(self, some: list[TheirModel], prints: Prints) -> None:
        bodies, source = tuple(one.model for one in some), self._asked.source
        refused = {one.id: one for one in patiently(lambda: self._client.import_logged_models(source=source, models=bodies))}
        for refusal in refused.values():
            self._account.differs("logged model", refusal.id, "there", f"not brought: {refusal.message}")
        kept = [one for one in some if one.model.id not in refused]
        ids = tuple(one.model.id for one in kept)
        if not ids:
            return
        held: dict[str, ModelContent] = {one.model.id: one for one in patiently(lambda: self._client.read_model_contents(model_ids=ids))}
        places = {one: Place(artifact_uri=held[one].model.artifact_uri, held=_paths(held[one])) for one in ids}
        files = self._carried(kept, places)
        finished = []
        for one in kept:
            found = [*model_differences(one, held[one.model.id]), *files[one.model.id].mismatches]
            self._differ(found)
            finished.append(Finished(id=one.model.id, fingerprint="" if found else prints[one.model.id], lifecycle=one.lifecycle))
            if not found:
                self._account.brought("logged models")
        self._finished("logged_model", finished)

    # -- both --

    def _carried(self, owners: Sequence[Their], places: Mapping[Any, Place]) -> dict[str, Carried]:
        """What became of the files of each, several at once."""
        if not self._asked.has_files:
            return {one: Carried() for one in places}

        def carry(one: Their) -> tuple[str, Carried]:
            holder = one.holder
            return holder.id, carried(self._source, self._client, holder, places[holder.id], is_full=self._asked.is_full)

        found = dict(self._pool.map(carry, owners))
        for owner, one in found.items():
            self._account.there("artifacts", one.there)
            self._account.brought("artifacts", one.brought)
            self._account.brought("bytes", one.brought_bytes)
            self._account.unchanged("artifacts", one.unchanged)
            if one.is_unreadable:
                self._account.unreadable.add(owner)
        return found

    def _differ(self, found: Iterator[Mismatch] | list[Mismatch]) -> None:
        self._account.mismatches.extend(found)

    def _reported(self) -> ImportReport:
        report = self._account.report(self._asked.source, is_dry=self._asked.is_dry)
        brought = self._account.brought_by_kind()
        if brought and not self._asked.is_dry:
            digest = digest_bytes(msgspec.json.encode(report))
            end = ImportEnd(source=self._asked.source, brought=brought, mismatches=len(report.mismatches), report=digest)
            patiently(lambda: self._client.end_import(end))
        return report


def run_print(one: TheirRun) -> str:
    """The fingerprint of a run's state there."""
    return fingerprint(one.run, one.lifecycle, sorted(one.latest.items()))


def _moved(one: TheirRun, experiment_id: ExperimentId) -> TheirRun:
    return msgspec.structs.replace(one, run=msgspec.structs.replace(one.run, experiment_id=experiment_id))


def _moved_model(one: TheirModel, experiment_id: ExperimentId) -> TheirModel:
    return msgspec.structs.replace(one, model=msgspec.structs.replace(one.model, experiment_id=experiment_id))


def _paths(held: RunContent | ModelContent) -> dict[str, Artifact]:
    return {artifact.path: artifact for artifact in held.artifacts}


def _parts(items: Iterator[TheirModel], size: int) -> Iterator[list[TheirModel]]:
    part: list[TheirModel] = []
    for one in items:
        part.append(one)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part

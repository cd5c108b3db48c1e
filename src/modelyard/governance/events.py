"""The lineage of a version as OpenLineage run events: sources to views, views to snapshot, snapshot to model. Owns their names.

Their form is in `rules.lineage`.
"""

import uuid
from typing import Any

from modelyard.core.clock import iso
from modelyard.delivery.domain import StageName
from modelyard.features.domain import Push, Source, Sql, is_address
from modelyard.features.domain.profiles import TableProfile
from modelyard.governance.records import Records, SourceUse
from modelyard.governance.rules.lineage import Dataset, Job, Run, RunEvent

PRODUCER = "urn:modelyard"
FACETS = "https://openlineage.io/spec/facets"
NAMESPACE = "modelyard"
FILES = "file"


def events_of(records: Records, profile: TableProfile | None) -> tuple[RunEvent, ...]:
    """The events, in the order in which they happened."""
    snapshot, evaluated = _snapshot(records, profile), (StageName.CHALLENGE, "evaluate")
    views = [_view(records, use) for use in records.sources]
    namespace, name = _home(records.declaration.observations.source)
    observations = Dataset(namespace=namespace, name=name)
    model = Dataset(namespace=NAMESPACE, name=f"model/{records.name}", facets=_version(f"sha256:{records.subject.sha256}"))
    return (
        *(
            _event(records, StageName.SNAPSHOT, f"view.{use.view}", [_source(records, use)], [view])
            for use, view in zip(records.sources, views, strict=True)
        ),
        _event(records, StageName.SNAPSHOT, "snapshot", [*views, observations], [snapshot]),
        _event(records, StageName.TRAIN, "train", [_bare(snapshot)], [model]),
        _event(records, *evaluated, [_bare(snapshot), model], []),
    )


def _event(records: Records, stage: StageName, step: str, inputs: list[Dataset], outputs: list[Dataset]) -> RunEvent:
    delivery = records.detail.delivery
    parent = {"run": {"runId": _uuid(delivery.id)}, "job": {"namespace": NAMESPACE, "name": f"{records.version.model}.delivery"}}
    owners = {"owners": [{"name": records.declaration.owner}]}
    kind = {"processingType": "BATCH", "integration": "MODELYARD", "jobType": "STAGE"}
    return RunEvent(
        event_time=iso(records.ended_at(stage)),
        run=Run(run_id=_uuid(f"{delivery.id}/{step}"), facets={"parent": _facet("1-2-0", "ParentRunFacet", parent)}),
        job=Job(
            namespace=NAMESPACE,
            name=f"{records.version.model}.{step}",
            facets={"jobType": _facet("2-0-4", "JobTypeJobFacet", kind), "ownership": _facet("1-0-1", "OwnershipJobFacet", owners)},
        ),
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        producer=PRODUCER,
    )


def _source(records: Records, use: SourceUse) -> Dataset:
    namespace, name = _home(records.view(use.view).source)
    return Dataset(namespace=namespace, name=name, facets=_version(use.source))


def _home(source: Source) -> tuple[str, str]:
    """A source's namespace and name in it, as OpenLineage names data sets: the store, then the path."""
    if isinstance(source, Sql):
        return f"connection:{source.connection}", source.table or source.query
    if isinstance(source, Push):
        return "push", source.name
    if not is_address(source.path):
        return FILES, source.path
    scheme, _, rest = source.path.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def _view(records: Records, use: SourceUse) -> Dataset:
    fields = [{"name": one.name, "type": one.dtype or "unknown"} for one in records.view(use.view).columns]
    facets = _version(use.view_digest) | {"schema": _facet("1-2-0", "SchemaDatasetFacet", {"fields": fields})}
    return Dataset(namespace=NAMESPACE, name=f"view/{use.view}/{use.source.removeprefix('sha256:')[:12]}", facets=facets)


def _snapshot(records: Records, profile: TableProfile | None) -> Dataset:
    facts = records.facts(StageName.SNAPSHOT)
    facets = _version(facts["digest"])
    if profile is not None:
        fields = [{"name": one.name, "type": one.dtype} for one in profile.columns]
        facets |= {"schema": _facet("1-2-0", "SchemaDatasetFacet", {"fields": fields})}
    rows = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", {"rowCount": facts["rows"]})
    name = f"{records.version.model}/snapshot/{facts['digest'].removeprefix('sha256:')[:12]}"
    return Dataset(namespace=NAMESPACE, name=name, facets=facets, output_facets={"outputStatistics": rows})


def _bare(dataset: Dataset) -> Dataset:
    return Dataset(namespace=dataset.namespace, name=dataset.name, facets={"version": dataset.facets["version"]})


def _version(digest: str) -> dict[str, Any]:
    return {"version": _facet("1-0-1", "DatasetVersionDatasetFacet", {"datasetVersion": digest})}


def _facet(version: str, name: str, content: dict[str, Any]) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}/{version}/{name}.json#/$defs/{name}", **content}


def _uuid(name: str) -> str:
    """The same id for the same step, so that making the lineage again changes nothing."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{PRODUCER}:{name}"))

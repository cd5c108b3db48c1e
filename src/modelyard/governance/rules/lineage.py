"""OpenLineage run events (version 2): what the lineage of a model says, and whether its path from the sources is whole.

Owns the events' form and the walk. Which events a version has is the service's business.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from modelyard.core.digests import canonical_json
from modelyard.governance.domain import BadBundle
from modelyard.governance.rules.statements import Document

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
COMPLETE = "COMPLETE"


class Dataset(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A dataset by namespace and name, with what is known of it. The version facet holds its digest."""

    namespace: str
    name: str
    facets: Document = {}
    input_facets: Document = {}
    output_facets: Document = {}

    @property
    def digest(self) -> str:
        """The SHA-256 that is its version, in hexadecimal; empty where none was recorded."""
        version = self.facets.get("version")
        text = version.get("datasetVersion") if isinstance(version, dict) else None
        return text.removeprefix("sha256:") if isinstance(text, str) else ""

    @property
    def key(self) -> "Key":
        """What names it: another version is another dataset."""
        return Key(self.namespace, self.name, self.digest)


class Key(NamedTuple):
    """A dataset in one version."""

    namespace: str
    name: str
    digest: str


class Job(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done, again and again."""

    namespace: str
    name: str
    facets: Document = {}


class Run(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One time that it was done."""

    run_id: str
    facets: Document = {}


class RunEvent(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A run's end: from which datasets it made which."""

    event_type: str = COMPLETE
    event_time: str
    run: Run
    job: Job
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()
    producer: str
    schema_url: str = msgspec.field(name="schemaURL", default=SCHEMA)


class Path(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk back from a model met: how many datasets, and the sources, each by name and digest."""

    datasets: int
    sources: frozenset[tuple[str, str]]


def lineage_lines(events: Sequence[RunEvent]) -> bytes:
    """The file `lineage/openlineage.ndjson`."""
    return b"".join(canonical_json(msgspec.to_builtins(one)) + b"\n" for one in events)


def parsed_events(content: bytes) -> tuple[RunEvent, ...]:
    """The events of a file. Raises BadBundle."""
    try:
        return tuple(msgspec.json.decode(line, type=RunEvent) for line in content.splitlines())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadBundle(f"a line of the lineage is no run event: {error}") from error


def walked_back(events: Iterable[RunEvent], model: str, snapshot: str) -> Path:
    """The path back from the dataset of digest `model` to its sources; it leads through the one of digest `snapshot`.

    Raises BadBundle where the model was not made by any run, or not from that snapshot.
    """
    made_from: dict[Key, set[Key]] = {}
    for event in events:
        for output in event.outputs if event.event_type == COMPLETE else ():
            made_from.setdefault(output.key, set()).update(one.key for one in event.inputs)
    start = [key for key in made_from if key.digest == model]
    if len(start) != 1:
        raise BadBundle(f"{len(start)} runs of the lineage made the signed model, expected one")
    seen: set[Key] = set()
    waiting = [*start]
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting.extend(made_from.get(key, ()))
    if snapshot not in {key.digest for key in seen}:
        raise BadBundle("the path from the model does not lead through the training snapshot of its attestation")
    roots = seen - set(made_from)
    if not roots:
        raise BadBundle("the path from the model leads to no source")
    return Path(datasets=len(seen), sources=frozenset((key.name, key.digest) for key in roots))

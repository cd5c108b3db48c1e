"""The bill of materials: CycloneDX 1.6 with the model, its card, the data and the packages, and the records that evidence points to.

Owns what stands where in it. Each record lies under `/declarations/evidence`, named by the catalogue's word for the fact.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from modelyard.core.clock import Instant, iso
from modelyard.core.digests import canonical_json
from modelyard.delivery.domain import StageName
from modelyard.governance.attestations import dependencies
from modelyard.governance.card import by_slice, overall
from modelyard.governance.domain import Measured
from modelyard.governance.records import Records
from modelyard.governance.rules.packages import Package
from modelyard.governance.rules.statements import Resource

Document = dict[str, Any]
MODEL, CARD = "/components/0", "/components/0/modelCard"
EVIDENCE = "/declarations/evidence"


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """The file, and for each record that it holds the pointer to it."""

    content: bytes
    pointers: dict[str, str]


def bill_of(
    records: Records, packages: Sequence[Package], documents: Mapping[str, Document], meanings: Mapping[str, str], at: Instant
) -> Bill:
    """The bill of a version at that instant; `meanings` says what each record is, in the catalogue's words."""
    names = sorted(documents)
    model, data, software = _model(records), _data(records), [_package(one) for one in packages]
    release = {"type": "application", "bom-ref": "release", "name": records.version.model, "version": str(records.version.number)}
    found: Document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:modelyard:{records.subject.sha256}/{at}')}",
        "version": 1,
        "metadata": {
            "timestamp": iso(at),
            "tools": {"components": [{"type": "application", "name": "Modelyard"}]},
            "component": release,
            "authors": [{"name": records.declaration.owner}],
        },
        "components": [model, *data, *software],
        "dependencies": [
            {"ref": "release", "dependsOn": ["model"]},
            {"ref": "model", "dependsOn": [one["bom-ref"] for one in (*data, *software)]},
        ],
        "declarations": {"evidence": [_evidence(name, documents[name], meanings, at) for name in names]},
    }
    if not names:
        del found["declarations"]
    return Bill(content=canonical_json(found), pointers={name: f"{EVIDENCE}/{place}/data/0/contents" for place, name in enumerate(names)})


def _model(records: Records) -> Document:
    declaration, version = records.declaration, records.version
    return {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": version.model,
        "version": str(version.number),
        "description": declaration.purpose,
        "hashes": [{"alg": "SHA-256", "content": records.subject.sha256}],
        "modelCard": _card(records),
        "properties": [
            _property("modelyard:artifact", version.artifact),
            _property("modelyard:content", version.content or ""),
            _property("modelyard:format", version.format),
            _property("modelyard:riskTier", declaration.risk),
            _property("modelyard:owner", declaration.owner),
        ],
    }


def _card(records: Records) -> Document:
    declaration = records.declaration
    approach = "classification" if declaration.task == "binary" else "regression"
    kind = records.facts(StageName.TRAIN).get("kind") or records.version.format
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": approach,
            "architectureFamily": str(records.version.format),
            "modelArchitecture": str(kind),
            "datasets": [{"ref": "data:training snapshot"}],
            "inputs": [{"format": f"{name}: {_dtype(records, name)}"} for name in declaration.inputs],
            "outputs": [{"format": "probability in [0, 1]" if declaration.task == "binary" else "number"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": [_metric(one) for one in (*overall(records), *by_slice(records))]},
        "considerations": {"users": [declaration.owner], "useCases": [declaration.purpose]},
        "properties": [_property("modelyard:declaration", records.detail.delivery.declaration)],
    }


def _dtype(records: Records, name: str) -> str:
    signature = records.version.signature
    return next((column.dtype for column in signature.inputs if column.name == name), "") if signature else ""


def _metric(one: Measured) -> Document:
    found: Document = {"type": one.metric, "value": repr(one.value)}
    if one.slice:
        found["slice"] = one.slice
    if one.low is not None and one.high is not None:
        found["confidenceInterval"] = {"lowerBound": repr(one.low), "upperBound": repr(one.high)}
    return found


def _data(records: Records) -> list[Document]:
    kinds = ("snapshot", "source")
    return [_dataset(one) for one in dependencies(records) if one.annotations.get("kind") in kinds]


def _dataset(one: Resource) -> Document:
    view = one.annotations.get("view")
    name = f"{one.name} ({view})" if view else one.name
    described = [_property(f"modelyard:{term}", str(value)) for term, value in sorted(one.annotations.items())]
    found: Document = {
        "type": "data",
        "bom-ref": f"data:{name}",
        "name": name,
        "data": [{"type": "dataset", "name": name}],
        "properties": described,
    }
    return found | ({"hashes": [{"alg": "SHA-256", "content": one.sha256}]} if one.sha256 else {})


def _package(one: Package) -> Document:
    purl = f"pkg:pypi/{one.name}@{one.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": one.name,
        "version": one.version,
        "purl": purl,
        "scope": "optional" if one.is_optional else "required",
        "properties": [_property("modelyard:locked", f"sha256:{digest}") for digest in one.digests],
    }


def _property(name: str, value: str) -> Document:
    return {"name": name, "value": str(value)}


def _evidence(name: str, document: Document, meanings: Mapping[str, str], at: Instant) -> Document:
    content = canonical_json(document).decode()
    return {
        "bom-ref": f"evidence:{name}",
        "propertyName": name,
        "description": meanings.get(name, name),
        "data": [{"name": name, "contents": {"attachment": {"contentType": "application/json", "content": content}}}],
        "created": iso(at),
    }
